import { createHmac, randomUUID } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createPkce } from '#oauth';
import { type Authorizing, answerIn, claimsOf, openAuthorizing } from '../support/authorizing.ts';
import { basic, callback, formOf, type Registered } from '../support/issuing.ts';
import { tokensOf } from '../support/logging-out.ts';
import { testIssuer, testPassword } from '../support/people.ts';
import { openServing, post, type Received, type SignedIn } from '../support/serving.ts';

let at: Authorizing;
let client: Registered;

beforeAll(async () => {
  at = await openAuthorizing();
  client = await at.add();
});
beforeEach(() => at.serving.people.pass(1_000));

const markup = `"><b onmouseover='alert(1)'>x</b>\u2028`;

/** The same person in another browser, just signed in. */
async function person(): Promise<SignedIn> {
  const { signin, vault } = at.serving.people;
  const { user } = at.person;
  const { session, bearer } = await signin.signIn(user.organization, user.email, testPassword, '127.0.0.1', undefined);
  const token = vault.mac('http form', `session ${session.id}`);
  return { user, session, token, cookie: `__Host-gatehouse_session=${bearer.reveal()}` };
}

const get = (path: string, cookie = at.person.cookie) => at.serving.send({ path, headers: { accept: 'text/html', cookie } });

/** A page that runs nothing, frames in nothing, and repeats no markup. */
function inert(page: Received): void {
  const policy = String(page.headers['content-security-policy']);
  expect(page.headers['content-type']).toContain('text/html');
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toContain('unsafe-');
  expect(page.text).not.toContain('<b onmouseover');
  expect(page.text.replaceAll(/"[^"]*"/g, '')).not.toMatch(/<[^>]+\son\w+=/i);
}

/** The page on which the person is asked. */
async function asked(of: Registered, more: Readonly<Record<string, string>> = {}): Promise<Received> {
  const begun = await at.open(at.asked(of, { prompt: 'consent', ...more }));
  const to = new URL(String(begun.headers.location), testIssuer);
  const binding = [begun.headers['set-cookie'] ?? []].flat().map((one) => one.split(';')[0]);
  return get(to.pathname + to.search, [at.person.cookie, ...binding].join('; '));
}

describe('a redirect URI', () => {
  const variants = [
    'https://app.example/callback/',
    'https://app.example/callback/more',
    'https://app.example/x/../callback',
    'https://app.example/./callback',
    'https://app.example:8443/callback',
    'https://app.example:443/callback',
    'https://app.example./callback',
    'https://APP.example/callback',
    'https://app.example/Callback',
    'HTTPS://app.example/callback',
    'https://user@app.example/callback',
    'https://app.example@evil.example/callback',
    'https://app.example\\@evil.example/callback',
    'https://evil.example\\app.example/callback',
    '//app.example/callback',
    'https://*.example/callback',
    'https://appxexample/callback',
    'https://app.example/callback*',
    'https://app.example%2fcallback',
    'https://app.example/%63allback',
    'https://[::1]/callback',
    'https://аpp.example/callback',
    'https://app。example/callback',
    'https://app.example/callback?',
    'https://app.example/callback#',
    'https://app.example/callback?a=1',
    'http://app.example/callback',
  ];

  test.each(variants)('that is not the registered one leads to a page of ours and nowhere else: %s', async (redirect_uri) => {
    for (const more of [{}, { prompt: 'none' }, { response_type: 'token' }]) {
      const answer = await at.open(at.asked(client, { redirect_uri, ...more }));
      expect([answer.status, answer.headers.location]).toEqual([400, undefined]);
      inert(answer);
      expect(answer.text).not.toContain('evil.example');
    }
  });

  test('that comes twice leads nowhere, in either order', async () => {
    for (const redirect_uri of [
      [callback, 'https://evil.example/'],
      ['https://evil.example/', callback],
    ]) {
      const answer = await at.open(at.asked(client, { redirect_uri }));
      expect([answer.status, answer.headers.location]).toEqual([400, undefined]);
    }
  });

  test('is never trusted on first use: a client without one gets no code, whatever it names', async () => {
    const bare = await at.add({ redirectUris: [], grantTypes: ['client_credentials'] });
    for (const redirect_uri of [callback, '', 'https://evil.example/']) {
      const answer = await at.open(at.asked(bare, { redirect_uri }));
      expect([answer.status, answer.headers.location]).toEqual([400, undefined]);
    }
  });
});

describe('a dangerous scheme', () => {
  const schemes = ['javascript:alert(1)', 'data:text/html,x', 'vbscript:x', 'file:///etc/passwd', 'blob:https://app.example/x'];
  const names = ['redirect_uris', 'post_logout_redirect_uris', 'logo_uri', 'client_uri', 'policy_uri', 'tos_uri'];
  const register = (body: object) =>
    at.serving.send({ method: 'POST', path: '/register', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

  test.each(names)('cannot be registered as %s', async (name) => {
    const body = { client_name: 'An editor', redirect_uris: [callback], token_endpoint_auth_method: 'none' };
    for (const uri of schemes) {
      const answer = await register({ ...body, [name]: name.endsWith('uris') ? [uri] : uri });
      expect(answer.status === 400 || !answer.text.includes(uri), `${answer.status} ${answer.text}`).toBe(true);
    }
    await at.serving.people.pass(3_600_000);
  });

  test('leads nowhere at use: as a redirect URI, after signing out, or after signing in', async () => {
    const who = await person();
    for (const uri of schemes) {
      const begun = await at.open(at.asked(client, { redirect_uri: uri }));
      expect([begun.status, begun.headers.location]).toEqual([400, undefined]);
      const out = await get(`/logout?${formOf({ client_id: client.id, post_logout_redirect_uri: uri })}`, who.cookie);
      expect([out.status, out.headers.location]).toEqual([400, undefined]);
      const page = await get(`/signin?${formOf({ again: 'yes', next: uri })}`, who.cookie);
      expect(page.text).not.toContain(uri);
    }
  });
});

describe('markup in a request', () => {
  const names = ['state', 'login_hint', 'ui_locales', 'nonce', 'scope', 'prompt', 'response_mode', 'redirect_uri', 'client_id', 'claims'];

  test('stands on no page as markup, whichever parameter brings it', async () => {
    for (const name of [...names, 'error_description', 'error_hint', 'resource', 'display']) {
      const answer = await at.open(at.asked(client, { [name]: markup, response_type: 'token' }));
      if (answer.status === 400) inert(answer);
      else expect(String(answer.headers.location)).not.toContain('<b');
    }
    for (const path of ['/signin', '/device', '/logout', '/done', '/signin/callback/corp', '/nothing']) {
      const query = formOf({
        next: `/${markup}`,
        user_code: markup,
        error: markup,
        error_description: markup,
        login_hint: markup,
        state: markup,
      });
      for (const cookie of ['', (await person()).cookie]) {
        const page = await get(`${path}?${query}`, cookie);
        if (page.status !== 303) inert(page);
      }
    }
  });

  test('stands on the page that asks, and in the form that posts the answer, as text', async () => {
    const odd = await at.add({ name: `<b onmouseover='alert(1)'>` });
    const page = await asked(odd, { login_hint: markup, state: markup });
    expect(page.text).toContain('&lt;b onmouseover=');
    inert(page);
    const posted = await get(`/authorize?${formOf(at.asked(client, { response_mode: 'form_post', prompt: 'none', state: markup }))}`);
    expect([posted.status, posted.text.includes('&lt;b onmouseover=')]).toEqual([200, true]);
    inert(posted);
  });
});

describe('PKCE', () => {
  test('is not got around: without a challenge, with plain, without or with another verifier, or with one that comes twice', async () => {
    const app = await at.add({ authentication: 'none', grantTypes: ['authorization_code'] });
    for (const wrong of [
      { code_challenge: '' },
      { code_challenge_method: 'plain' },
      { code_challenge_method: '' },
      { code_challenge: 'short' },
    ])
      for (const of of [client, app]) {
        const back = new URL(String((await at.open(at.asked(of, wrong))).headers.location));
        expect(answerIn(back)).toMatchObject({ error: 'invalid_request', iss: testIssuer });
      }
    for (const code_verifier of ['', createPkce().verifier.reveal(), 'short', ['a'.repeat(43), at.verifier]]) {
      const code = (await at.through(await at.open(at.asked(client)))).searchParams.get('code') ?? '';
      expect((await at.redeem(client, code, { code_verifier })).status).toBe(400);
    }
    const metadata = (await at.serving.send({ path: '/.well-known/oauth-authorization-server' })).json();
    expect(metadata.code_challenge_methods_supported).toEqual(['S256']);
  });
});

describe('a form of another site', () => {
  const paths = ['/signin', '/signin/upstream', '/authorize/answer', '/authorize/account', '/logout/answer', '/signout', '/device'].concat([
    '/device/answer',
    '/device/approve',
    '/account/password',
    '/account/sessions/end-others',
    '/requests/bcr_x',
    '/claim',
  ]);

  test.each(paths)('does nothing at %s, with the cookies of the person and even with their token', async (path) => {
    const who = await person();
    const foreign = [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site', origin: testIssuer },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of foreign) {
      const answer = await at.serving.send({
        method: 'POST',
        path,
        headers: { cookie: who.cookie, 'content-type': 'application/x-www-form-urlencoded', accept: 'text/html', ...headers },
        body: formOf({ form_token: who.token, answer: 'yes' }),
      });
      expect([answer.status, answer.headers.location, answer.headers['set-cookie']]).toEqual([403, undefined, undefined]);
    }
    const tokenless = await post(at.serving, { ...who, token: '' }, path, { answer: 'yes' });
    expect(tokenless.status).toBe(403);
  });
});

describe('a page', () => {
  test.each(['/signin', '/', '/device', '/logout', '/signout', '/account', '/requests', '/authorize', '/nothing'])(
    'cannot be framed by anybody: %s',
    async (path) => {
      const page = await get(path, (await person()).cookie);
      expect(String(page.headers['content-security-policy'])).toContain("frame-ancestors 'none'");
      expect(page.headers['x-frame-options'] ?? 'DENY').toBe('DENY');
    },
  );

  test('that asks a person whether a client may cannot be framed', async () => {
    inert(await asked(client));
  });
});

describe('a refresh token', () => {
  test('of a client that proves who it is goes nowhere without that proof, or with another client’s', async () => {
    const { refresh_token } = await tokensOf(at.serving, await person(), client, 'openid');
    const other = await at.add();
    const given = { grant_type: 'refresh_token', refresh_token };
    expect((await at.form('/token', given)).status).toBe(401);
    expect((await at.form('/token', { ...given, client_id: client.id })).status).toBe(401);
    expect((await at.form('/token', given, { authorization: basic({ ...client, secret: other.secret }) })).status).toBe(401);
    expect((await at.form('/token', given, { authorization: basic(other) })).json().error).toBe('invalid_grant');
    expect((await at.form('/token', given, { authorization: basic(client) })).status).toBe(200);
  });

  test('that was revoked is refused by another server of the same installation, and after a restart', async () => {
    const { refresh_token, access_token } = await tokensOf(at.serving, await person(), client, 'openid');
    const authorization = basic(client);
    expect((await at.form('/revoke', { token: refresh_token }, { authorization })).status).toBe(200);
    const fresh = await openServing({ people: at.serving.people });
    const send = (path: string, body: Readonly<Record<string, string>>) =>
      fresh.send({
        method: 'POST',
        path,
        headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
        body: formOf(body),
      });
    expect((await send('/token', { grant_type: 'refresh_token', refresh_token })).json().error).toBe('invalid_grant');
    expect((await send('/introspect', { token: access_token })).json()).toEqual({ active: false });
  });

  test('and a client for itself get no scope and no resource beyond what was granted', async () => {
    const { refresh_token } = await tokensOf(at.serving, await person(), client, 'openid things:read');
    const authorization = basic(client);
    const refresh = { grant_type: 'refresh_token', refresh_token };
    const ask = async (fields: Readonly<Record<string, string>>) => (await at.form('/token', fields, { authorization })).json().error;
    expect(await ask({ ...refresh, scope: 'openid things:write' })).toBe('invalid_scope');
    expect(await ask({ ...refresh, resource: 'https://evil.example/' })).toBe('invalid_target');
    expect(await ask({ grant_type: 'client_credentials', scope: 'admin:all' })).toBe('invalid_scope');
    expect(await ask({ grant_type: 'client_credentials', resource: 'https://evil.example/' })).toBe('invalid_target');
  });
});

describe('an access token', () => {
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

  test('that was made up or changed in any way is no token, at userinfo and at introspection', async () => {
    const { access_token, id_token } = await tokensOf(at.serving, await person(), client, 'openid');
    const keys = (await at.serving.send({ path: '/jwks.json' })).json().keys as readonly object[];
    const [head = '', body = '', signature = ''] = access_token.split('.');
    const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as Readonly<Record<string, unknown>>;
    const claims = claimsOf(access_token);
    const mac = (key: string, top: object) => {
      const text = `${encoded({ ...header, alg: 'HS256', ...top })}.${body}`;
      return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
    };
    const resigned = (top: object) => `${encoded({ ...header, ...top })}.${body}.${signature}`;
    const bad = {
      'no signature': `${encoded({ ...header, alg: 'none' })}.${body}.`,
      'HMAC by the public key': mac(JSON.stringify(keys[0]), {}),
      'HMAC by nothing': mac('', {}),
      'another claim': `${head}.${encoded({ ...claims, sub: 'usr_x' })}.${signature}`,
      'an unknown crit': resigned({ crit: ['x'], x: 1 }),
      'a key in it': resigned({ jwk: keys[0] }),
      'a key elsewhere': resigned({ jku: 'https://evil.example/jwks.json', x5u: 'https://evil.example/x' }),
      'a kid with a path': resigned({ kid: '../../../../dev/null' }),
      'a kid with SQL': resigned({ kid: "' OR 1=1 --" }),
      'another typ': resigned({ typ: 'JWT' }),
      'an ID token': id_token,
      'a JWE': `${encoded({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' })}..${'a'.repeat(16)}.${'a'.repeat(8_000)}.${'a'.repeat(22)}`,
    };
    expect((await at.serving.send({ path: '/userinfo', headers: { authorization: `Bearer ${access_token}` } })).status).toBe(200);
    for (const [name, token] of Object.entries(bad)) {
      const shown = await at.serving.send({ path: '/userinfo', headers: { authorization: `Bearer ${token}` } });
      expect([name, shown.status, shown.json().error]).toEqual([name, 401, 'invalid_token']);
      expect((await at.form('/introspect', { token }, { authorization: basic(client) })).json(), name).toEqual({ active: false });
    }
  });

  test('of one client is nothing to another, which can neither look at it nor end it', async () => {
    const { access_token, refresh_token } = await tokensOf(at.serving, await person(), client, 'openid');
    const other = await at.add();
    for (const token of [access_token, refresh_token]) {
      expect((await at.form('/introspect', { token }, { authorization: basic(other) })).json()).toEqual({ active: false });
      await at.form('/revoke', { token }, { authorization: basic(other) });
      expect((await at.form('/introspect', { token }, { authorization: basic(client) })).json().active, token).toBe(true);
    }
  });

  test('is had by no grant type that its client is not registered for', async () => {
    const narrow = await at.add({ grantTypes: ['client_credentials'], redirectUris: [] });
    const grants = ['authorization_code', 'refresh_token', 'password', 'implicit', 'urn:ietf:params:oauth:grant-type:device_code'].concat(
      ['jwt-bearer', 'token-exchange', 'saml2-bearer'].map((name) => `urn:ietf:params:oauth:grant-type:${name}`),
      'urn:openid:params:grant-type:ciba',
    );
    for (const grant_type of grants) {
      const given = { grant_type, username: 'ada@example.com', password: 'x', code: randomUUID(), refresh_token: randomUUID() };
      const answer = await at.form('/token', given, { authorization: basic(narrow) });
      expect([grant_type, answer.status]).toEqual([grant_type, 400]);
      expect(['unauthorized_client', 'unsupported_grant_type']).toContain(answer.json().error);
    }
  });
});

describe('a forged name of this server', () => {
  test.each(['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration'])(
    'changes nothing that %s says',
    async (path) => {
      const usual = (await at.serving.send({ path })).text;
      for (const name of ['x-forwarded-host', 'forwarded', 'x-original-host', 'x-host', 'x-forwarded-server', 'x-forwarded-prefix'])
        expect(
          (await at.serving.send({ path, headers: { [name]: name === 'forwarded' ? 'host=evil.example' : 'evil.example' } })).text,
        ).toBe(usual);
      expect((await at.serving.send({ path, headers: { host: 'evil.example' } })).text).not.toContain('evil.example');
    },
  );
});

describe('a long input', () => {
  test('is refused quickly: a password of a megabyte, a hundred thousand scopes, ten thousand claims', async () => {
    const who = await person();
    const started = process.cpuUsage();
    const password = await post(at.serving, who, '/signin', { email: 'ada@example.com', password: 'a'.repeat(1_000_000) });
    expect([400, 401, 413]).toContain(password.status);
    const many = await at.form('/par', at.asked(client, { scope: 'a '.repeat(100_000) }), { authorization: basic(client) });
    expect([400, 413]).toContain(many.status);
    const claims = { id_token: Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`c${index}`, null])) };
    const wide = await at.form('/par', at.asked(client, { claims: JSON.stringify(claims) }), { authorization: basic(client) });
    expect([400, 413]).toContain(wide.status);
    const { user, system } = process.cpuUsage(started);
    expect((user + system) / 1000).toBeLessThan(3_000);
  });
});

describe('a client assertion', () => {
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

  test.each([5, ['x'], { a: 1 }, null, true, ''])('whose sub is %j is refused as every other that names no client', async (sub) => {
    const answer = await at.form('/token', {
      grant_type: 'client_credentials',
      client_assertion: `${encoded({ alg: 'ES256' })}.${encoded({ sub, aud: testIssuer })}.${encoded('x')}`,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    });
    expect([answer.status, answer.json().error]).toEqual([401, 'invalid_client']);
  });
});
