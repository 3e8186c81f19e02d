import { createHash, generateKeyPairSync } from 'node:crypto';
import { discoverAuthorizationServerMetadata, registerClient } from '@modelcontextprotocol/sdk/client/auth.js';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Issuing, RegistrationPolicy } from '#issuer';
import { bearerValue, createPkce } from '#oauth';
import { fetchOver } from '../support/fetching.ts';
import { callback, formOf } from '../support/issuing.ts';
import { testIssuer } from '../support/people.ts';
import { openServing, type Received, type Serving, type SignedIn, signedIn } from '../support/serving.ts';

const day = 24 * 3_600_000;

interface Registering {
  readonly serving: Serving;
  readonly owner: SignedIn;
  readonly at: Issuing;
  register(body: unknown, token?: string): Promise<Received>;
  own(method: string, registered: Registered, body?: unknown, token?: string): Promise<Received>;
  /** A token that lets a client register itself. */
  token(more?: { readonly uses?: number; readonly expiresAt?: number }): Promise<{ readonly id: string; readonly text: string }>;
  sweep(): Promise<unknown>;
}

type Registered = Readonly<Record<string, unknown>> & {
  readonly client_id: string;
  readonly registration_access_token: string;
  readonly registration_client_uri: string;
};

async function open(registration: RegistrationPolicy = 'open'): Promise<Registering> {
  const serving = await openServing({ issuer: { registration } });
  const owner = await signedIn(serving);
  const { records } = serving.people.store;
  const by = owner.session.principal;
  const json = { 'content-type': 'application/json' };
  const bearer = (token: string | undefined) => (token === undefined ? {} : { authorization: `Bearer ${token}` });
  return {
    serving,
    owner,
    at: await serving.issuer.at(undefined),
    register: (body, token) =>
      serving.send({ method: 'POST', path: '/register', headers: { ...json, ...bearer(token) }, body: JSON.stringify(body) }),
    own: (method, registered, body, token = registered.registration_access_token) =>
      serving.send({
        method,
        path: new URL(registered.registration_client_uri).pathname,
        headers: { ...(body === undefined ? {} : json), ...bearer(token) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    async token({ uses, expiresAt } = {}) {
      const text = bearerValue().reveal();
      const draft = { name: 'for tests', hash: createHash('sha256').update(text).digest('hex'), uses, expiresAt };
      return { id: await records.in(by.organization).write((tx) => serving.issuer.registrationTokens.add(tx, by, draft)), text };
    },
    sweep: () => serving.issuer.sweep(),
  };
}

const app = {
  client_name: 'An editor',
  redirect_uris: [callback],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
};

let usual: Registering;
beforeAll(async () => {
  usual = await open();
});

async function registered(kit: Registering, changes: Readonly<Record<string, unknown>> = {}): Promise<Registered> {
  const answer = await kit.register({ ...app, ...changes });
  expect([answer.status, answer.text]).toEqual([201, expect.stringContaining('client_id')]);
  return answer.json() as unknown as Registered;
}

/** Through the consent page's own steps to tokens. */
async function tokens({ serving, owner, at }: Registering, client: Registered) {
  const { challenge, verifier } = createPkce();
  const browsing = { session: owner.session, binding: 'the browser', address: '127.0.0.1' };
  const asked = { response_type: 'code', client_id: client.client_id, redirect_uri: callback, scope: 'openid' };
  const query = formOf({ ...asked, code_challenge: challenge, code_challenge_method: 'S256' });
  let answer = await serving.issuer.authorize(at, query, browsing);
  if (answer.kind === 'consent') answer = await serving.issuer.answer(at, answer.transaction, browsing, 'all');
  const code = new URL(answer.kind === 'redirect' ? answer.to : '').searchParams.get('code') ?? '';
  return token(serving, { grant_type: 'authorization_code', code, code_verifier: verifier.reveal(), client_id: client.client_id });
}

async function token(serving: Serving, parameters: Readonly<Record<string, string>>): Promise<Received> {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return serving.send({ method: 'POST', path: '/token', headers, body: formOf(parameters) });
}

describe('a client that registers itself', () => {
  test('is answered with 201, uncached, what was stored, and what it is known and let in by (RFC 7591 §3.2.1)', async () => {
    const answer = await usual.register({ ...app, client_uri: 'https://editor.example/', something_else: 1 });
    expect([answer.status, answer.headers['cache-control']]).toEqual([201, 'no-store']);
    const stored = answer.json();
    expect(stored).toMatchObject({ ...app, client_uri: 'https://editor.example/', application_type: 'web' });
    expect(stored.client_id).toMatch(/^clt_/);
    expect(stored.client_id_issued_at).toBe(Math.floor(usual.serving.people.clock.now() / 1000));
    expect(stored.registration_client_uri).toBe(`${testIssuer}/register/${String(stored.client_id)}`);
    expect(stored).not.toHaveProperty('something_else');
    expect(stored).not.toHaveProperty('client_secret');
  });

  test('has a secret where it proves itself by one, which is told once, with when it expires', async () => {
    const { token_endpoint_auth_method: _method, ...unsaid } = app;
    const stored = (await usual.register(unsaid)).json() as unknown as Registered;
    expect(stored).toMatchObject({ token_endpoint_auth_method: 'client_secret_basic', client_secret_expires_at: 0 });
    expect(stored.client_secret).toMatch(/^[\w-]{43}$/);
    expect((await usual.own('GET', stored)).text).not.toContain(String(stored.client_secret));
  });

  test('is given code and refresh only, whatever it asks for (SECURITY 26)', async () => {
    const wide = ['authorization_code', 'client_credentials', 'urn:ietf:params:oauth:grant-type:device_code'];
    expect(await registered(usual, { grant_types: wide })).toMatchObject({ grant_types: ['authorization_code'] });
    const alone = await usual.register({ ...app, grant_types: ['client_credentials'] });
    expect([alone.status, alone.json().error]).toEqual([400, 'invalid_client_metadata']);
  });

  test('gives itself no scope and no resource by naming it', async () => {
    const stored = await registered(usual, {
      scope: 'openid admin:all email',
      resources: ['https://api.example/'],
      protects: ['https://api.example/'],
    });
    expect(stored.scope).toBe('openid email');
    const { resources, protects } = (await usual.serving.issuer.clients.find(usual.owner.user.organization, stored.client_id)) ?? {};
    expect([resources, protects]).toEqual([[], []]);
  });

  test('can connect: a person signs it in, and it refreshes', async () => {
    const client = await registered(usual);
    const first = await tokens(usual, client);
    expect([first.status, first.json()]).toEqual([200, expect.objectContaining({ scope: 'openid' })]);
    const refresh = { grant_type: 'refresh_token', refresh_token: String(first.json().refresh_token), client_id: client.client_id };
    expect((await token(usual.serving, refresh)).status).toBe(200);
  });

  test('is asked for no scope that it did not name', async () => {
    const client = await registered(usual);
    const { challenge } = createPkce();
    const query = formOf({ response_type: 'code', client_id: client.client_id, code_challenge: challenge, code_challenge_method: 'S256' });
    const browsing = { session: usual.owner.session, binding: 'the browser', address: '127.0.0.1' };
    const answer = await usual.serving.issuer.authorize(usual.at, query, browsing);
    expect(answer.kind === 'consent' ? answer.view.scopes : answer).toEqual([]);
  });

  test.each([
    ['javascript', 'javascript:alert(1)'],
    ['data', 'data:text/html,x'],
    ['vbscript', 'vbscript:x'],
    ['file', 'file:///etc/passwd'],
    ['blob', 'blob:https://app.example/x'],
    ['plain http to a host', 'http://app.example/callback'],
    ['a fragment', 'https://app.example/#x'],
    ['a wildcard', 'https://*.example/'],
    ['user information', 'https://user@app.example/'],
    ['a scheme of one word', 'app:/callback'],
    ['no URI', 'callback'],
  ])('is refused with invalid_redirect_uri: %s', async (_, uri) => {
    const answer = await (await open()).register({ ...app, redirect_uris: [callback, uri] });
    expect([answer.status, answer.json().error]).toEqual([400, 'invalid_redirect_uri']);
  });
});

describe('signing out of a client that registers itself', () => {
  const logout = {
    post_logout_redirect_uris: ['https://app.example/signed-out'],
    backchannel_logout_uri: 'https://hooks.example/backchannel',
    backchannel_logout_session_required: true,
    frontchannel_logout_uri: `${new URL(callback).origin}/front`,
    frontchannel_logout_session_required: true,
  };
  const kept = async (kit: Registering, { client_id: id }: Registered) =>
    (await kit.serving.issuer.clients.find(kit.owner.user.organization, id))?.logout;

  test('is as it asked, is told again, and is gone when it is not named again', async () => {
    const kit = await open();
    const client = await registered(kit, logout);
    expect(client).toMatchObject(logout);
    expect(await kept(kit, client)).toEqual({
      redirectUris: logout.post_logout_redirect_uris,
      backchannelUri: logout.backchannel_logout_uri,
      backchannelSessionRequired: true,
      frontchannelUri: logout.frontchannel_logout_uri,
      frontchannelSessionRequired: true,
    });
    expect((await kit.own('GET', client)).json()).toMatchObject(logout);
    const without = (await kit.own('PUT', client, { ...app, client_id: client.client_id })).json();
    for (const member of Object.keys(logout)) expect(without, member).not.toHaveProperty(member);
    expect(await kept(kit, client)).toMatchObject({ redirectUris: [] });
  });

  test.each([
    ['an address in the clear', { backchannel_logout_uri: 'http://hooks.example/backchannel' }],
    ['a frame of another host than its redirect URIs', { frontchannel_logout_uri: 'https://other.example/front' }],
    ['a place that is a script', { post_logout_redirect_uris: ['javascript:alert(1)'] }],
  ])('is refused: %s', async (_, members) => {
    const answer = await (await open()).register({ ...app, ...members });
    expect([answer.status, answer.json().error]).toEqual([400, 'invalid_client_metadata']);
  });
});

describe('application_type (OpenID Connect Registration §2)', () => {
  let kit: Registering;
  beforeAll(async () => {
    kit = await open();
  });

  test.each([
    ['web', ['https://app.example/cb'], 201],
    ['web', ['http://localhost:5/cb'], 400],
    ['web', ['com.example.app:/cb'], 400],
    ['native', ['http://127.0.0.1/cb', 'com.example.app:/cb', 'cursor://anysphere.cursor-mcp/oauth/callback'], 201],
    ['native', ['https://app.example/cb'], 201],
    ['toaster', ['https://app.example/cb'], 400],
  ])('%s with %j is answered with %i', async (type, uris, status) => {
    expect((await kit.register({ ...app, application_type: type, redirect_uris: uris })).status).toBe(status);
  });

  test('is what the redirect URIs show, where it is not said', async () => {
    expect(await registered(kit, { redirect_uris: ['http://localhost:6274/oauth/callback'] })).toMatchObject({
      application_type: 'native',
    });
    expect(await registered(kit)).toMatchObject({ application_type: 'web' });
  });
});

describe('metadata that cannot be', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keys = (jwk: object) => ({ token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [jwk] } });
  const cases: readonly (readonly [string, unknown, string])[] = [
    ['no object', [], 'invalid_client_metadata'],
    ['no redirect URIs', { ...app, redirect_uris: [] }, 'invalid_redirect_uri'],
    ['redirect URIs that are text', { ...app, redirect_uris: callback }, 'invalid_client_metadata'],
    ['an unknown way to authenticate', { ...app, token_endpoint_auth_method: 'client_secret_jwt' }, 'invalid_client_metadata'],
    ['a response type that is not code', { ...app, response_types: ['token'] }, 'invalid_client_metadata'],
    [
      'keys in two places',
      { ...app, ...keys(publicKey.export({ format: 'jwk' })), jwks_uri: 'https://app.example/jwks' },
      'invalid_client_metadata',
    ],
    ['a private key', { ...app, ...keys(privateKey.export({ format: 'jwk' })) }, 'invalid_client_metadata'],
    ['no key where one is needed', { ...app, token_endpoint_auth_method: 'private_key_jwt' }, 'invalid_client_metadata'],
    [
      'keys over http',
      { ...app, token_endpoint_auth_method: 'private_key_jwt', jwks_uri: 'http://app.example/jwks' },
      'invalid_client_metadata',
    ],
    ['a name that turns the text around', { ...app, client_name: 'Editor\u202eexe' }, 'invalid_client_metadata'],
    ['a logo that is a script', { ...app, logo_uri: 'javascript:alert(1)' }, 'invalid_client_metadata'],
    ['a scope that is none', { ...app, scope: 'a"b' }, 'invalid_client_metadata'],
  ];

  test.each(cases)('is refused: %s', async (_, body, error) => {
    const answer = await (await open()).register(body);
    expect([answer.status, answer.json().error]).toEqual([400, error]);
    expect(String(answer.json().error_description)).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
  });

  test('is refused in another type than JSON, and where it is too large', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expect((await usual.serving.send({ method: 'POST', path: '/register', headers, body: 'a=b' })).status).toBe(415);
    expect((await usual.register({ ...app, x: 'x'.repeat(70_000) })).status).toBe(413);
    expect(
      (await usual.serving.send({ method: 'POST', path: '/register', headers: { 'content-type': 'application/json' }, body: '{' })).status,
    ).toBe(400);
  });
});

describe('who may register', () => {
  test('nobody where it is turned off, and the metadata names no endpoint', async () => {
    const kit = await open('off');
    const answer = await kit.register(app);
    expect([answer.status, answer.json().error]).toEqual([403, 'access_denied']);
    expect((await kit.serving.send({ path: '/.well-known/oauth-authorization-server' })).json().registration_endpoint).toBeUndefined();
  });

  test('who has an initial access token, where one is needed (RFC 7591 §3)', async () => {
    const kit = await open('token');
    const refused = await kit.register(app);
    expect([refused.status, refused.json().error, refused.headers['www-authenticate']]).toEqual([
      401,
      'invalid_token',
      'Bearer realm="gatehouse", error="invalid_token"',
    ]);
    expect((await kit.register(app, 'x'.repeat(43))).status).toBe(401);
    expect((await kit.register(app, (await kit.token()).text)).status).toBe(201);
  });

  test('a token that is wrong is refused also where none is needed', async () => {
    expect((await usual.register(app, 'x'.repeat(43))).status).toBe(401);
  });

  test('a token ends with its time, with its uses, and when it is ended', async () => {
    const kit = await open('token');
    const { clock } = kit.serving.people;
    const brief = await kit.token({ expiresAt: clock.now() + 1_000 });
    const ended = await kit.token();
    await kit.serving.issuer.registrationTokens.end(kit.owner.session.principal, ended.id);
    clock.advance(2_000);
    expect((await kit.register(app, brief.text)).status).toBe(401);
    expect((await kit.register(app, ended.text)).status).toBe(401);
  });

  test('of a token for one client that registers 30 times at once, one is registered', async () => {
    const kit = await open('token');
    const { text } = await kit.token({ uses: 1 });
    const answers = await Promise.all(Array.from({ length: 30 }, () => kit.register(app, text)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(29).fill(401)]);
  });

  test('not more than 20 an hour from one address', async () => {
    const kit = await open();
    for (let i = 0; i < 20; i++) expect((await kit.register(app)).status).toBe(201);
    const answer = await kit.register(app);
    expect([answer.status, answer.headers['retry-after']]).toEqual([429, '3600']);
  });

  test('not more than the organization has room for', async () => {
    const kit = await open();
    await kit.serving.people.store.records.in(kit.owner.user.organization).write(async (tx) => {
      const row = {
        organization_id: kit.owner.user.organization,
        created_at: 0,
        token_hash: null,
        registration_token_id: null,
        used_at: null,
      };
      for (let i = 0; i < 10_000; i += 500) {
        const rows = Array.from({ length: 500 }, (_, at) => ({ ...row, client_id: `c${i + at}`, expires_at: 9e15, version: 1 }));
        await tx.db.insertInto('registrations').values(rows).execute();
      }
    });
    const answer = await kit.register(app);
    expect([answer.status, answer.json().error_description]).toEqual([403, expect.stringContaining('registered themselves')]);
  });
});

describe('a registration of its client (RFC 7592)', () => {
  let kit: Registering;
  let client: Registered;
  beforeAll(async () => {
    kit = await open();
    client = await registered(kit, { client_uri: 'https://editor.example/', scope: 'openid' });
  });

  test('is read with its registration access token, and with no other', async () => {
    const other = await registered(kit);
    expect((await kit.own('GET', client)).json()).toMatchObject({ client_id: client.client_id, scope: 'openid' });
    for (const wrong of [other.registration_access_token, 'x'.repeat(43)]) {
      const answer = await kit.own('GET', client, undefined, wrong);
      expect([answer.status, answer.json().error]).toEqual([401, 'invalid_token']);
    }
    expect((await kit.serving.send({ path: `/register/${client.client_id}` })).status).toBe(401);
  });

  test('is replaced whole: what is not named again is gone', async () => {
    const answer = await kit.own('PUT', client, { ...app, client_id: client.client_id, client_name: 'Another name' });
    expect([answer.status, answer.json()]).toEqual([200, expect.objectContaining({ client_name: 'Another name' })]);
    const read = (await kit.own('GET', client)).json();
    expect(read.client_name).toBe('Another name');
    expect(read).not.toHaveProperty('client_uri');
    expect(read).not.toHaveProperty('scope');
  });

  test.each([
    ['of another client', { client_id: 'clt_01k8' }],
    ['with a secret that it does not have', { client_secret: 'x'.repeat(43) }],
    ['that sets its own token', { registration_access_token: 'x'.repeat(43) }],
    ['that sets its own address', { registration_client_uri: 'https://evil.example/' }],
    ['that sets when its secret ends', { client_secret_expires_at: 0 }],
    ['that sets when it was made', { client_id_issued_at: 0 }],
  ])('is not replaced by one %s', async (_, changes) => {
    const answer = await kit.own('PUT', client, { ...app, client_id: client.client_id, ...changes });
    expect([answer.status, answer.json().error]).toEqual([400, 'invalid_client_metadata']);
  });

  test('is replaced 60 times an hour at most', async () => {
    const own = await registered(kit);
    const replace = () => kit.own('PUT', own, { ...app, client_id: own.client_id });
    for (let i = 0; i < 60; i++) expect((await replace()).status).toBe(200);
    expect((await replace()).status).toBe(429);
  });

  test('gives a secret to a client that comes to need one, and ends it where it no longer does', async () => {
    const secretly = { ...app, client_id: client.client_id, token_endpoint_auth_method: 'client_secret_post' };
    const changed = (await kit.own('PUT', client, secretly)).json();
    expect(changed).toMatchObject({ client_secret: expect.stringMatching(/^[\w-]{43}$/), client_secret_expires_at: 0 });
    const again = await kit.own('PUT', client, { ...secretly, client_secret: changed.client_secret });
    expect([again.status, again.json().client_secret]).toEqual([200, undefined]);
    await kit.own('PUT', client, { ...app, client_id: client.client_id });
    const found = await kit.serving.issuer.clients.find(kit.owner.user.organization, client.client_id);
    expect(found?.secrets).toEqual([]);
  });

  test('is ended by its client, with every token; afterwards its token opens nothing', async () => {
    const doomed = await registered(kit);
    const { access_token: access } = (await tokens(kit, doomed)).json();
    const userinfo = () => kit.serving.send({ path: '/userinfo', headers: { authorization: `Bearer ${String(access)}` } });
    expect((await userinfo()).status).toBe(200);
    expect((await kit.own('DELETE', doomed)).status).toBe(204);
    expect((await userinfo()).status).toBe(401);
    for (const method of ['GET', 'DELETE']) expect((await kit.own(method, doomed)).status).toBe(401);
    expect((await kit.own('PUT', doomed, { ...app, client_id: doomed.client_id })).status).toBe(401);
  });
});

describe('a client that registered itself', () => {
  test('is forgotten after a week without use', async () => {
    const kit = await open();
    const client = await registered(kit);
    await kit.serving.people.pass(6 * day);
    await kit.sweep();
    expect((await kit.own('GET', client)).status).toBe(200);
    await kit.serving.people.pass(1 * day + 1);
    await kit.sweep();
    expect((await kit.own('GET', client)).status).toBe(401);
    expect(await kit.serving.issuer.clients.find(kit.owner.user.organization, client.client_id)).toBeUndefined();
  });

  test('is kept by its use for longer than anything it was given', async () => {
    const kit = await open();
    const client = await registered(kit);
    const { refresh_token: refresh } = (await tokens(kit, client)).json();
    await kit.serving.people.pass(8 * day);
    await kit.sweep();
    const answer = await token(kit.serving, { grant_type: 'refresh_token', refresh_token: String(refresh), client_id: client.client_id });
    expect(answer.status).toBe(200);
    await kit.serving.people.pass(99 * day);
    await kit.sweep();
    expect((await kit.own('GET', client)).status).toBe(200);
    await kit.serving.people.pass(2 * day);
    await kit.sweep();
    expect((await kit.own('GET', client)).status).toBe(401);
  });

  test('is not forgotten while a grant of it stands, whatever its time says: its tokens stay readable', async () => {
    const kit = await open();
    const client = await registered(kit);
    const { access_token: access } = (await tokens(kit, client)).json();
    const { records } = kit.serving.people.store;
    await records.in(kit.owner.user.organization).write((tx) => tx.db.updateTable('registrations').set({ expires_at: 1 }).execute());
    await kit.sweep();
    expect((await kit.serving.send({ path: '/userinfo', headers: { authorization: `Bearer ${String(access)}` } })).status).toBe(200);
  });
});

describe('client libraries', () => {
  test('the MCP SDK registers as it does by itself', async () => {
    const kit = await open();
    const fetchFn = fetchOver(kit.serving);
    const metadata = await discoverAuthorizationServerMetadata(testIssuer, { fetchFn });
    expect(metadata?.registration_endpoint).toBe(`${testIssuer}/register`);
    const clientMetadata = { ...app, redirect_uris: ['http://localhost:8090/callback'], client_name: 'MCP client' };
    const found = await registerClient(testIssuer, {
      ...(metadata === undefined ? {} : { metadata }),
      clientMetadata,
      scope: 'openid',
      fetchFn,
    });
    expect(found).toMatchObject({ client_name: 'MCP client', scope: 'openid', redirect_uris: ['http://localhost:8090/callback'] });
    const old = await registerClient(testIssuer, { clientMetadata, fetchFn });
    expect(old.client_id).toMatch(/^clt_/);
  });

  test('the MCP SDK tells why it may not', async () => {
    const kit = await open('token');
    const clientMetadata = { ...app, redirect_uris: [callback] };
    await expect(registerClient(testIssuer, { clientMetadata, fetchFn: fetchOver(kit.serving) })).rejects.toThrow(/registration-token/);
  });
});
