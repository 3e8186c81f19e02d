import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Authorizing, answerIn, claimsOf, openAuthorizing } from '../support/authorizing.ts';
import { formOf, type Registered } from '../support/issuing.ts';
import { createTestUser, testIssuer, testPassword } from '../support/people.ts';
import { post, type Received, type SignedIn } from '../support/serving.ts';

let at: Authorizing;
let client: Registered;

beforeAll(async () => {
  at = await openAuthorizing();
  client = await at.add();
});

const leaves = async (more: Parameters<Authorizing['asked']>[1], by = client) =>
  new URL(String((await at.open(at.asked(by, more))).headers.location));

/** The members of a form that posts itself. */
function membersOf({ text }: Received): Readonly<Record<string, string>> {
  const inputs = [...text.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)">/g)];
  return Object.fromEntries(inputs.map(([, name, value]) => [name, value] as [string, string]));
}

describe('the response mode', () => {
  test('is query without the parameter, and with it, and every answer names the issuer (RFC 9207 §2)', async () => {
    for (const more of [{}, { response_mode: 'query' }]) {
      const to = await at.through(await at.open(at.asked(client, { scope: 'openid', ...more })));
      expect(answerIn(to)).toEqual({ code: expect.any(String), state: 'a b', iss: testIssuer });
    }
    expect(answerIn(await leaves({ scope: 'everything' }))).toMatchObject({ error: 'invalid_scope', iss: testIssuer });
  });

  test('form_post is a form that posts itself, with a button for who runs no scripts, and a policy that lets only that through', async () => {
    await at.through(await at.open(at.asked(client, { scope: 'openid' })));
    const page = await at.open(at.asked(client, { scope: 'openid', response_mode: 'form_post', state: '"><script>alert(1)</script>' }));
    expect([page.status, page.headers['cache-control']]).toEqual([200, 'no-store']);
    expect(page.text).toContain('<form id="answer" method="post" action="https://app.example/callback">');
    expect(page.text).toContain('<button>Go on</button>');
    expect(membersOf(page)).toMatchObject({ code: expect.any(String), iss: testIssuer });
    expect(page.text).not.toContain('<script>alert');
    const [, script = ''] = /<script>(.*?)<\/script>/.exec(page.text) ?? [];
    const policy = String(page.headers['content-security-policy']);
    expect(policy).toContain(`script-src 'sha256-${createHash('sha256').update(script).digest('base64')}';`);
    expect(policy).toContain("form-action https:; frame-ancestors 'none'");
    expect((await at.redeem(client, membersOf(page).code ?? '')).status).toBe(200);
  });

  test('form_post holds for errors too', async () => {
    const page = await at.open(at.asked(client, { scope: 'everything', response_mode: 'form_post' }));
    expect(membersOf(page)).toMatchObject({ error: 'invalid_scope', state: 'a b', iss: testIssuer });
  });

  test('form_post is kept through consent', async () => {
    const app = await at.add();
    const begun = await at.open(at.asked(app, { scope: 'openid', response_mode: 'form_post' }));
    const browser = String([begun.headers['set-cookie']].flat()[0]).split(';')[0];
    const transaction = String(begun.headers.location).split('transaction=')[1] ?? '';
    const cookie = `${at.person.cookie}; ${browser}`;
    const said = await post(at.serving, { ...at.person, cookie }, '/authorize/answer', { transaction, answer: 'yes' });
    expect([said.status, Object.keys(membersOf(said))]).toEqual([200, ['code', 'state', 'iss']]);
  });

  test.each(['fragment', 'web_message', 'jwt'])('%s is refused with an error that says what is taken', async (response_mode) => {
    const answer = answerIn(await leaves({ response_mode }));
    expect(answer).toMatchObject({ error: 'invalid_request', iss: testIssuer });
    expect(answer.error_description).toContain('query or form_post');
    expect(String((await at.push(client, at.asked(client, { response_mode }))).json().error)).toBe('invalid_request');
  });

  test('form_post is refused where no web server listens', async () => {
    const app = await at.add({ redirectUris: ['com.example.app:/back'] });
    const to = await leaves({ response_mode: 'form_post', redirect_uri: 'com.example.app:/back' }, app);
    expect(answerIn(to)).toMatchObject({ error: 'invalid_request' });
  });

  test('and every other way are in the metadata', async () => {
    const metadata = (await at.serving.send({ path: '/.well-known/openid-configuration' })).json();
    expect(metadata).toMatchObject({ response_modes_supported: ['query', 'form_post'], response_types_supported: ['code'] });
  });
});

describe('the method', () => {
  const posted = (body: string, headers: Readonly<Record<string, string>> = {}) =>
    at.serving.send({
      method: 'POST',
      path: '/authorize',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        origin: 'https://app.example',
        'sec-fetch-site': 'cross-site',
        ...headers,
      },
      body,
    });

  test('POST from the site of a client goes on by GET, in whose browser the person is known (OpenID Connect Core §3.1.2.1)', async () => {
    const large = { scope: 'openid', unknown: 'x'.repeat(20_000) };
    const begun = await posted(formOf(at.asked(client, large)));
    const place = String(begun.headers.location);
    expect([begun.status, place.length < 300]).toEqual([303, true]);
    const to = await at.through(await at.serving.send({ path: place, headers: { cookie: at.person.cookie } }));
    expect(answerIn(to)).toMatchObject({ code: expect.any(String), state: 'a b', iss: testIssuer });
    expect((await at.serving.send({ path: place, headers: { cookie: at.person.cookie } })).status).toBe(400);
  });

  test('POST carries a pushed request, and does not count as one', async () => {
    const strict = await at.add({ requirePushedAuthorizationRequests: true });
    const request_uri = String((await at.push(strict, at.asked(strict))).json().request_uri);
    const begun = await posted(formOf({ client_id: strict.id, request_uri }));
    expect(
      answerIn(await at.through(await at.open(Object.fromEntries(new URLSearchParams(String(begun.headers.location).split('?')[1]))))),
    ).toMatchObject({
      code: expect.any(String),
    });
    const bare = await posted(formOf(at.asked(strict)));
    const refused = await at.serving.send({ path: String(bare.headers.location), headers: { cookie: at.person.cookie } });
    expect(answerIn(new URL(String(refused.headers.location)))).toMatchObject({ error: 'invalid_request' });
  });

  test('POST of an unknown client, or of no form, ends on a page of ours', async () => {
    expect((await posted(formOf({ client_id: 'nobody' }))).status).toBe(400);
    expect((await posted('{}', { 'content-type': 'application/json' })).status).toBe(415);
  });

  test('POST to the other steps stays refused from other sites', async () => {
    const answer = await at.serving.send({
      method: 'POST',
      path: '/authorize/answer',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: 'https://app.example', cookie: at.person.cookie },
      body: formOf({ transaction: 'x', answer: 'yes' }),
    });
    expect(answer.status).toBe(403);
  });

  test('HEAD does nothing: what it is sent to is still good', async () => {
    const request_uri = String((await at.push(client, at.asked(client))).json().request_uri);
    const path = `/authorize?${formOf({ client_id: client.id, request_uri })}`;
    const looked = await at.serving.send({ method: 'HEAD', path });
    expect([looked.status, looked.headers.location, looked.headers['set-cookie']]).toEqual([200, undefined, undefined]);
    expect((await at.serving.send({ path, headers: { cookie: at.person.cookie } })).status).toBe(303);
  });
});

const password = 'urn:gatehouse:acr:password';

/** Signs in at the page that this answer leads to, as whoever this is; gives the new session, and where the browser goes on. */
async function signInAt(begun: Received, email = 'ada@example.com') {
  const place = String(begun.headers.location);
  const browser = [begun.headers['set-cookie'] ?? []].flat().map((text) => text.split(';')[0]);
  // Without the session of before: it goes on, for the tests that follow.
  const page = await at.serving.send({ path: place, headers: { cookie: browser.join('; ') } });
  const jar = [...browser, ...[page.headers['set-cookie'] ?? []].flat().map((text) => text.split(';')[0])].join('; ');
  const token = /name="form_token" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
  const next = new URLSearchParams(place.split('?')[1]).get('next') ?? '';
  const said = await post(at.serving, { cookie: jar, token }, '/signin', { next, email, password: testPassword.reveal() });
  const session = [said.headers['set-cookie'] ?? []]
    .flat()
    .find((text) => text.includes('gatehouse_session'))
    ?.split(';')[0];
  const cookie = [session, ...browser].join('; ');
  return { page, cookie, went: await at.serving.send({ path: String(said.headers.location), headers: { cookie } }) };
}

/** What the person's own session gets, after the clock has moved so that it is older than the request. */
async function later(more: Parameters<Authorizing['asked']>[1], by = client): Promise<Received> {
  await at.serving.people.pass(1);
  return at.open(at.asked(by, more));
}

describe('what is asked of the person (OpenID Connect Core §3.1.2.1)', () => {
  let tokens: Readonly<Record<string, unknown>>;
  let who: Pick<SignedIn, 'cookie'>;
  const idToken = () => String(tokens.id_token);

  beforeAll(async () => {
    who = at.person;
    const to = await at.through(await at.open(at.asked(client, { scope: 'openid email profile' })));
    tokens = (await at.redeem(client, answerIn(to).code ?? '')).json();
  });

  test('prompt=none gives a code at once, or says what is missing, without a page', async () => {
    expect(answerIn(await leaves({ scope: 'openid', prompt: 'none' })).code).toBeDefined();
    const app = await at.add();
    expect(answerIn(await leaves({ scope: 'openid', prompt: 'none' }, app)).error).toBe('consent_required');
    const stranger = await at.serving.send({ path: `/authorize?${formOf(at.asked(client, { prompt: 'none' }))}` });
    expect(answerIn(new URL(String(stranger.headers.location)))).toMatchObject({ error: 'login_required', state: 'a b', iss: testIssuer });
  });

  test.each(['none login', 'none select_account', 'none create', 'sometimes'])('prompt=%s is refused', async (prompt) => {
    expect(answerIn(await leaves({ prompt })).error).toBe('invalid_request');
  });

  test('prompt=login and max_age ask for the password once more, and the tokens say when (§2 auth_time)', async () => {
    for (const more of [{ prompt: 'login' }, { max_age: '0' }]) {
      const begun = await later({ scope: 'openid', ...more });
      expect(String(begun.headers.location)).toContain('/signin?');
      const { went } = await signInAt(begun);
      const answer = (await at.redeem(client, answerIn(new URL(String(went.headers.location))).code ?? '')).json();
      expect(claimsOf(answer.id_token).auth_time).toBe(Math.floor(at.serving.people.clock.now() / 1000));
    }
    expect(answerIn(new URL(String((await later({ prompt: 'none', max_age: '0' })).headers.location))).error).toBe('login_required');
  });

  test('prompt=consent asks although the person agreed before', async () => {
    expect(String((await later({ scope: 'openid', prompt: 'consent' })).headers.location)).toContain('/authorize/continue?');
  });

  test('prompt=select_account lets the person say who they are, once for the request', async () => {
    const begun = await later({ scope: 'openid', prompt: 'select_account' });
    const place = String(begun.headers.location);
    const browser = String([begun.headers['set-cookie']].flat()[0]).split(';')[0];
    const own = { ...at.person, cookie: `${at.person.cookie}; ${browser}` };
    const page = await at.serving.send({ path: place, headers: { cookie: own.cookie } });
    expect(page.text).toContain('Go on as ada@example.com');
    const transaction = place.split('transaction=')[1] ?? '';
    const chosen = await post(at.serving, own, '/authorize/account', { transaction });
    const went = await at.serving.send({ path: String(chosen.headers.location), headers: { cookie: own.cookie } });
    expect(answerIn(new URL(String(went.headers.location))).code).toBeDefined();
    expect((await post(at.serving, own, '/authorize/account', { transaction })).status).toBe(410);
  });

  test('prompt=create opens on how to have an account (Initiating User Registration §4)', async () => {
    const begun = await later({ scope: 'openid', prompt: 'create' });
    const { page, went } = await signInAt(begun);
    expect(page.text).toContain('No account yet?');
    expect(answerIn(new URL(String(went.headers.location))).code).toBeDefined();
  });

  test('login_hint stands in the field, as text; ui_locales is taken', async () => {
    const begun = await later({ scope: 'openid', prompt: 'login', login_hint: '"><b>grace@example.com', ui_locales: 'de en' });
    const { page } = await signInAt(begun);
    expect(page.text).toContain('value="&quot;&gt;&lt;b&gt;grace@example.com"');
  });

  test('id_token_hint of the person at the browser goes through, also with prompt=none', async () => {
    expect(answerIn(await leaves({ scope: 'openid', prompt: 'none', id_token_hint: idToken() })).code).toBeDefined();
  });

  test('id_token_hint of somebody else, or a sub that is asked for, needs them: login_required, or a sign-in that ends so', async () => {
    const { user } = at.person;
    const grace = await createTestUser(at.serving.people, 'grace@example.com');
    const claims = JSON.stringify({ id_token: { sub: { value: grace.id } } });
    expect(answerIn(await leaves({ scope: 'openid', prompt: 'none', claims })).error).toBe('login_required');
    const begun = await later({ scope: 'openid', claims });
    expect(String(begun.headers.location)).toContain('again=yes');
    expect(answerIn(new URL(String((await signInAt(begun)).went.headers.location))).error).toBe('login_required');
    const { cookie, went } = await signInAt(await later({ scope: 'openid', claims }), 'grace@example.com');
    expect([went.status, cookie.length > 0, who.cookie.length > 0]).toEqual([200, true, true]);
    const both = { id_token_hint: idToken(), claims };
    expect(answerIn(await leaves({ scope: 'openid', ...both })).error).toBe('invalid_request');
    expect(claimsOf(idToken()).sub).toBe(user.id);
  });

  test.each([
    ['an access token', () => String(tokens.access_token)],
    ['nothing of ours', () => 'a.b.c'],
    ['a changed one', () => `${idToken().slice(0, -8)}AAAAAAAA`],
  ])('id_token_hint that is %s is refused', async (_, hint) => {
    expect(answerIn(await leaves({ scope: 'openid', id_token_hint: hint() })).error).toBe('invalid_request');
  });

  test('id_token_hint of another client is refused, and an expired one is taken', async () => {
    const app = await at.add();
    expect(answerIn(await leaves({ scope: 'openid', id_token_hint: idToken() }, app)).error).toBe('invalid_request');
    await at.serving.people.pass(2 * 60 * 60_000);
    expect(answerIn(await leaves({ scope: 'openid', prompt: 'none', id_token_hint: idToken() })).code).toBeDefined();
  });
});

describe('the claims parameter (OpenID Connect Core §5.5)', () => {
  const told = async (claims: object, scope = 'openid', by = client) => {
    const to = await at.through(await at.open(at.asked(by, { scope, claims: JSON.stringify(claims) })));
    return (await at.redeem(by, answerIn(to).code ?? '')).json();
  };

  test('puts what it asks for into the ID token, or into userinfo', async () => {
    const inToken = await told({ id_token: { email: { essential: true }, name: null, unknown: null } });
    expect(claimsOf(inToken.id_token)).toMatchObject({ email: 'ada@example.com', name: 'Ada' });
    const inUserinfo = await told({ userinfo: { email: null } });
    expect(claimsOf(inUserinfo.id_token).email).toBeUndefined();
    const headers = { authorization: `Bearer ${String(inUserinfo.access_token)}` };
    expect((await at.serving.send({ path: '/userinfo', headers })).json()).toMatchObject({ email: 'ada@example.com' });
  });

  test('gives no claim that the client may not ask for, and the person sees what it gives', async () => {
    const app = await at.add({ scopes: ['openid'] });
    expect(claimsOf((await told({ id_token: { email: null } }, 'openid', app)).id_token).email).toBeUndefined();
    const other = await at.add({ scopes: ['openid', 'email'] });
    const begun = await at.open(at.asked(other, { scope: 'openid', claims: '{"id_token":{"email":null}}' }));
    const browser = String([begun.headers['set-cookie']].flat()[0]).split(';')[0];
    const page = await at.serving.send({ path: String(begun.headers.location), headers: { cookie: `${at.person.cookie}; ${browser}` } });
    expect(page.text).toContain('see your e-mail address');
  });

  test.each(['x', '[]', '{"id_token":1}', '{"id_token":{"acr":{"values":[1]}}}'])(
    'is refused where it is malformed: %s',
    async (claims) => {
      expect(answerIn(await leaves({ scope: 'openid', claims })).error).toBe('invalid_request');
    },
  );
});

describe('how the person signed in (RFC 9470, OpenID Connect Core §5.5.1.1)', () => {
  test('stands in ID token, access token and introspection, and is kept over a refresh', async () => {
    const to = await at.through(await at.open(at.asked(client, { scope: 'openid', acr_values: password })));
    const tokens = (await at.redeem(client, answerIn(to).code ?? '')).json();
    const expected = { acr: password, amr: ['pwd'], auth_time: expect.any(Number) };
    for (const token of [tokens.id_token, tokens.access_token]) expect(claimsOf(token)).toMatchObject(expected);
    const { authorization } = { authorization: `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}` };
    const state = await at.form('/introspect', { token: String(tokens.access_token) }, { authorization });
    expect(state.json()).toMatchObject({ active: true, ...expected });
    const next = await at.form('/token', { grant_type: 'refresh_token', refresh_token: String(tokens.refresh_token) }, { authorization });
    expect(claimsOf(next.json().access_token)).toMatchObject(expected);
  });

  test('an essential acr that nobody can reach here is unmet_authentication_requirements at once; a voluntary one is not', async () => {
    const essential = JSON.stringify({ id_token: { acr: { essential: true, values: ['urn:elsewhere:gold'] } } });
    expect(answerIn(await leaves({ scope: 'openid', claims: essential }))).toMatchObject({
      error: 'unmet_authentication_requirements',
      iss: testIssuer,
    });
    expect(String((await at.push(client, at.asked(client, { claims: essential }))).json().error)).toBe('unmet_authentication_requirements');
    expect(answerIn(await leaves({ scope: 'openid', acr_values: 'urn:elsewhere:gold' })).code).toBeDefined();
  });

  test("a resource's challenge leads to a fresh sign-in with the acr it asks for (RFC 9470 §4, §5)", async () => {
    const { records } = at.serving.people.store;
    await records.in(at.person.session.organization).write(async (tx) => {
      await tx.db.updateTable('sessions').set({ amr: null }).execute();
      await tx.bump('revocations');
    });
    const weak = answerIn(await leaves({ scope: 'openid' }));
    expect(claimsOf((await at.redeem(client, weak.code ?? '')).json().access_token).acr).toBe('urn:gatehouse:acr:session');
    const quiet = await later({ scope: 'openid', acr_values: password, prompt: 'none' });
    expect(answerIn(new URL(String(quiet.headers.location))).error).toBe('login_required');
    const challenged = { scope: 'openid', acr_values: password, max_age: '300' };
    const { went } = await signInAt(await later(challenged));
    const tokens = (await at.redeem(client, answerIn(new URL(String(went.headers.location))).code ?? '')).json();
    const auth_time = Math.floor(at.serving.people.clock.now() / 1000);
    expect(claimsOf(tokens.access_token)).toMatchObject({ acr: password, amr: ['pwd'], auth_time });
  });
});
