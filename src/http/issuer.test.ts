import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { type GrantId, newId } from '#kernel';
import { freshFor } from '#signin';
import { api, basic, callback, draft, formOf, type Registered } from '../../test/support/issuing.ts';
import { testIssuer, testPassword } from '../../test/support/people.ts';
import { openServing, post, type Serving, type SignedIn, signedIn } from '../../test/support/serving.ts';

let serving: Serving;
let person: SignedIn;
let client: Registered;

beforeAll(async () => {
  serving = await openServing();
  person = await signedIn(serving);
  const secret = 's'.repeat(43);
  const secretHash = createHash('sha256').update(secret).digest('hex');
  const { records } = serving.people.store;
  const by = person.session.principal;
  const id = await records.in(by.organization).write((tx) => serving.issuer.clients.add(tx, by, { ...draft, secretHash }));
  client = { id, secret };
  await serving.people.identity.createOrganization({ slug: 'acme', name: 'Acme' });
});

const form = (path: string, parameters: Parameters<typeof formOf>[0], headers: Readonly<Record<string, string>> = {}) =>
  serving.send({
    method: 'POST',
    path,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: formOf(parameters),
  });
const authorization = () => ({ authorization: basic(client) });

describe('discovery', () => {
  it.each([
    ['/.well-known/oauth-authorization-server', testIssuer],
    ['/.well-known/openid-configuration', testIssuer],
    ['/.well-known/oauth-authorization-server/o/acme', `${testIssuer}/o/acme`],
    ['/.well-known/openid-configuration/o/acme', `${testIssuer}/o/acme`],
    ['/o/acme/.well-known/openid-configuration', `${testIssuer}/o/acme`],
  ])('%s names the exact issuer, and endpoints right below it', async (path, issuer) => {
    const found = await serving.send({ path });
    expect(found.status).toBe(200);
    const document = found.json();
    expect(document).toMatchObject({ issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/jwks.json` });
  });

  it('lists what works and nothing else', async () => {
    const document = (await serving.send({ path: '/.well-known/openid-configuration' })).json();
    expect(document).toMatchObject({
      code_challenge_methods_supported: ['S256'],
      response_types_supported: ['code'],
      grant_types_supported: expect.arrayContaining(['authorization_code', 'refresh_token', 'client_credentials']),
      authorization_response_iss_parameter_supported: true,
      id_token_signing_alg_values_supported: expect.arrayContaining(['RS256']),
    });
    const acme = (await serving.send({ path: '/o/acme/.well-known/openid-configuration' })).json();
    expect(acme).toMatchObject({ response_types_supported: ['code'], authorization_endpoint: `${testIssuer}/o/acme/authorize` });
  });

  it('answers nothing for an organization that is not there, nor for the default one by its slug', async () => {
    for (const slug of ['nobody', 'default']) {
      const answer = await serving.send({ path: `/o/${slug}/.well-known/openid-configuration` });
      expect([answer.status, answer.json().error]).toEqual([404, 'invalid_request']);
    }
  });

  it('lets others keep what it answers, and no error', async () => {
    const damaged = await openServing();
    await signedIn(damaged);
    const ask = async (path: string) => (({ status, headers }) => [status, headers['cache-control']])(await damaged.send({ path }));
    expect(await ask('/.well-known/openid-configuration')).toEqual([200, 'public, max-age=300']);
    expect(await ask('/jwks.json')).toEqual([200, 'public, max-age=300']);
    await damaged.people.store.records.in(damaged.people.organization.id).write(async (tx) => {
      await tx.db.updateTable('signing_keys').set({ public_jwk_json: 'damaged' }).execute();
      await tx.bump('issuing');
    });
    expect(await ask('/jwks.json')).toEqual([500, 'no-store']);
  });

  it('gives each organization keys of its own', async () => {
    const kids = async (path: string) => ((await serving.send({ path })).json().keys as { kid: string }[]).map(({ kid }) => kid);
    const [ours, theirs] = [await kids('/jwks.json'), await kids('/o/acme/jwks.json')];
    expect([ours.length, theirs.length]).toEqual([1, 1]);
    expect(ours).not.toEqual(theirs);
  });
});

describe('the token endpoint', () => {
  const asked = { grant_type: 'client_credentials' };

  it('answers in the words of the standard, uncached', async () => {
    const answer = await form('/token', asked, authorization());
    expect(answer.status).toBe(200);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.json()).toMatchObject({ token_type: 'Bearer', expires_in: 900, scope: 'things:read things:write' });
  });

  it('knows a client in its own organization alone', async () => {
    expect((await form('/o/acme/token', asked, authorization())).json()).toMatchObject({ error: 'invalid_client' });
  });

  it.each([
    ['no client', asked, {}, 401, 'invalid_client'],
    ['a grant type of another day', { grant_type: 'password' }, undefined, 400, 'unsupported_grant_type'],
    ['no grant type', {}, undefined, 400, 'invalid_request'],
    ['a parameter twice', { ...asked, scope: ['a', 'b'] }, undefined, 400, 'invalid_request'],
    ['two ways of proving', { ...asked, client_secret: 'x', client_id: 'y' }, undefined, 400, 'invalid_request'],
    ['an unknown scope', { ...asked, scope: 'nothing' }, undefined, 400, 'invalid_scope'],
    ['an unknown resource', { ...asked, resource: 'https://evil.example/' }, undefined, 400, 'invalid_target'],
  ])('refuses %s', async (_, parameters, headers, status, error) => {
    const answer = await form('/token', parameters, headers ?? authorization());
    expect([answer.status, answer.json().error]).toEqual([status, error]);
    expect(String(answer.json().error_description)).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
  });

  it('refuses JSON, and a method that is not POST', async () => {
    const json = await form('/token', asked, { ...authorization(), 'content-type': 'application/json' });
    expect([json.status, json.json().error]).toEqual([400, 'invalid_request']);
    expect((await serving.send({ path: '/token' })).status).toBe(405);
  });

  it('tells a client that used the header which it should have been', async () => {
    const answer = await form('/token', asked, { authorization: `Basic ${Buffer.from('clt_x:y').toString('base64')}` });
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Basic realm="gatehouse"']);
  });
});

describe('userinfo', () => {
  it('takes the token in the header alone, and says what is wrong with it', async () => {
    const none = await serving.send({ path: '/userinfo?access_token=x' });
    expect(none.status).toBe(401);
    expect(none.headers['www-authenticate']).toMatch(/^Bearer realm="gatehouse", DPoP realm="gatehouse", algs="[^"]+"$/);
    const own = (await form('/token', { grant_type: 'client_credentials' }, authorization())).json().access_token;
    const answer = await serving.send({ path: '/userinfo', headers: { authorization: `Bearer ${String(own)}` } });
    expect([answer.status, answer.json().error]).toEqual([403, 'insufficient_scope']);
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer realm="gatehouse", error="insufficient_scope", DPoP /);
  });
});

describe('the consent page', () => {
  const query = (more: Readonly<Record<string, string>> = {}) =>
    formOf({
      response_type: 'code',
      client_id: client.id,
      redirect_uri: callback,
      code_challenge: 'c'.repeat(43),
      code_challenge_method: 'S256',
      state: 'a b',
      scope: 'openid things:read',
      resource: api,
      ...more,
    });
  const open = (path: string, cookie = person.cookie) => serving.send({ path, headers: { cookie } });
  const browserCookie = (headers: { readonly 'set-cookie'?: string | string[] | undefined }) =>
    [headers['set-cookie'] ?? []]
      .flat()
      .find((text) => text.includes('gatehouse_browser'))
      ?.split(';')[0] ?? '';

  it('names client, account, scopes and host; its answer is good once, in this browser only', async () => {
    const begun = await open(`/authorize?${query()}`);
    const cookie = `${person.cookie}; ${browserCookie(begun.headers)}`;
    const place = String(begun.headers.location).replace(testIssuer, '');
    const page = await open(place, cookie);
    for (const shown of ['The App', 'ada@example.com', 'things:read', 'app.example', api]) expect(page.text).toContain(shown);
    expect(page.headers['content-security-policy']).toContain("form-action 'self' https://app.example;");
    expect((await open(place)).status).toBe(410);
    const transaction = new URLSearchParams(place.split('?')[1]).get('transaction') ?? '';
    const said = await post(serving, { ...person, cookie }, '/authorize/answer', { transaction, answer: 'yes' });
    const to = new URL(String(said.headers.location));
    expect([said.status, to.origin + to.pathname]).toEqual([303, callback]);
    expect(Object.fromEntries(to.searchParams)).toMatchObject({ state: 'a b', iss: testIssuer, code: expect.any(String) });
    expect((await post(serving, { ...person, cookie }, '/authorize/answer', { transaction, answer: 'yes' })).status).toBe(410);
    const again = await open(`/authorize?${query({ prompt: 'none' })}`);
    expect(new URL(String(again.headers.location)).searchParams.get('code')).toMatch(/^[\w-]{43}$/);
  });

  it('takes a yes only with the password where the session is not proof enough, and a no without', async () => {
    const waits = async () => {
      const begun = await open(`/authorize?${query({ prompt: 'consent' })}`);
      const cookie = `${person.cookie}; ${browserCookie(begun.headers)}`;
      const place = String(begun.headers.location).replace(testIssuer, '');
      const transaction = new URLSearchParams(place.split('?')[1]).get('transaction') ?? '';
      const say = (fields: Readonly<Record<string, string>>) =>
        post(serving, { ...person, cookie }, '/authorize/answer', { transaction, ...fields });
      return { page: await open(place, cookie), say };
    };
    expect((await waits()).page.text).not.toContain('type="password"');
    await serving.people.pass(freshFor);
    const { page, say } = await waits();
    expect(page.text).toContain('type="password"');
    for (const password of ['', 'not mine']) {
      const refused = await say({ answer: 'yes', password });
      expect([refused.status, refused.headers.location]).toEqual([403, undefined]);
      expect(refused.text).toContain('Let The App in?');
    }
    expect(String((await (await waits()).say({ answer: 'no' })).headers.location)).toContain('error=access_denied');
    const taken = await say({ answer: 'yes', password: testPassword.reveal() });
    expect(String(taken.headers.location)).toContain(`${callback}?code=`);
  });

  it('is not reached with a client or a redirect URI that is not known: the browser goes nowhere', async () => {
    for (const wrong of [{ client_id: 'nobody' }, { redirect_uri: `${callback}/x` }, { redirect_uri: 'https://evil.example/' }]) {
      const answer = await open(`/authorize?${query(wrong)}`);
      expect([answer.status, answer.headers.location]).toEqual([400, undefined]);
      expect(answer.headers['content-type']).toContain('text/html');
    }
  });

  it.each([
    [{ response_type: 'token' }, 'unsupported_response_type'],
    [{ code_challenge: '' }, 'invalid_request'],
    [{ code_challenge_method: 'plain' }, 'invalid_request'],
    [{ scope: 'everything' }, 'invalid_scope'],
    [{ resource: 'https://evil.example/' }, 'invalid_target'],
    [{ prompt: 'none login' }, 'invalid_request'],
    [{ request_uri: 'https://evil.example/' }, 'request_uri_not_supported'],
    [{ prompt: 'none', max_age: '0' }, 'login_required'],
    [{ prompt: 'none', scope: 'email' }, 'consent_required'],
  ])('gives way to an answer with state and iss for %j', async (wrong, error) => {
    serving.people.clock.advance(1);
    await serving.people.store.migrate();
    const to = new URL(String((await open(`/authorize?${query(wrong)}`)).headers.location));
    expect(Object.fromEntries(to.searchParams)).toMatchObject({ error, state: 'a b', iss: testIssuer });
  });

  it('sends who is not signed in to the sign-in page, and who is once more where the client asks so', async () => {
    const stranger = await serving.send({ path: `/authorize?${query()}` });
    expect(String(stranger.headers.location)).toMatch(/\/signin\?next=%2Fauthorize%2Fcontinue%3Ftransaction%3D[\w-]{43}$/);
    serving.people.clock.advance(1);
    await serving.people.store.migrate();
    const again = await open(`/authorize?${query({ prompt: 'login' })}`);
    expect(String(again.headers.location)).toMatch(/&again=yes$/);
    const page = await open(String(again.headers.location).replace(testIssuer, ''), `${person.cookie}; ${browserCookie(again.headers)}`);
    expect(page.text).toContain('to go on to The App');
  });
});

describe('a grant', () => {
  it('is ended by its person however many newer ones there are, and by nobody else', async () => {
    const { organization, user: owner } = person.session;
    const by = { organization_id: organization, client_id: client.id, user_id: owner.id, scopes_json: '[]', resources_json: '[]' };
    const row = (id: GrantId, user_id = owner.id) => ({
      ...by,
      ...{ id, user_id, created_at: 0, authenticated_at: 0, user_epoch: 1, organization_epoch: 1, version: 1 },
      ...{ expires_at: serving.people.clock.now() + 60_000, ended_at: null, end_reason: null },
    });
    const [oldest, other] = [newId('grt'), newId('grt')];
    const newer = Array.from({ length: 200 }, () => row(newId('grt')));
    await serving.people.store.records.in(organization).write((tx) =>
      tx.db
        .insertInto('grants')
        .values([row(oldest), row(other, newId('usr')), ...newer])
        .execute(),
    );
    const end = async (id: string) => {
      const headers = { cookie: person.cookie, origin: testIssuer, 'sec-fetch-site': 'same-origin' };
      return (await serving.send({ method: 'DELETE', path: `/v1/grants/${id}`, headers })).status;
    };
    expect([await end(oldest), await end(oldest), await end(other), await end('x')]).toEqual([200, 404, 404, 404]);
  });
});

describe('the page that registers a client', () => {
  it('names where the client hears of sign-outs, and how long its tokens live', async () => {
    const body = JSON.stringify({
      name: 'Calendar',
      authentication: 'none',
      redirect_uris: [callback],
      post_logout_redirect_uris: ['https://app.example/signed-out'],
      backchannel_logout_uri: 'https://hooks.example/left',
      lives: { access_token: 300 },
    });
    const parked = await serving.send({
      method: 'POST',
      path: '/v1/clients',
      local: true,
      headers: { 'content-type': 'application/json' },
      body,
    });
    const page = await serving.send({ path: `/confirm/${String(parked.json().id)}`, headers: { cookie: person.cookie } });
    for (const words of ['https://app.example/signed-out', 'https://hooks.example/left', 'access_token: 300 seconds'])
      expect(page.text).toContain(words);
  });
});
