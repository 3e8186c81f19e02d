import { randomUUID } from 'node:crypto';
import { type CryptoKey, decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose';
import * as client from 'openid-client';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { TrustedIssuerDraft } from '#issuer';
import type { ClientId } from '#kernel';
import { startScriptedProvider } from '../support/connecting.ts';
import { api, type Registered } from '../support/issuing.ts';
import { createTestUser, testIssuer, testPassword } from '../support/people.ts';
import { asClient, register, relyingParty } from '../support/relying.ts';
import { openServing, post, type Received, type Serving, type SignedIn, signedIn } from '../support/serving.ts';

const bearerGrant = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const foreign = 'https://ci.example/issuer';
const subject = 'repo:acme/app:ref:refs/heads/main';

interface KeyPair {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly jwk: Readonly<Record<string, unknown>>;
}

async function keyPair(kid: string = randomUUID()): Promise<KeyPair> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' } };
}

let serving: Serving;
let person: SignedIn;
let job: Registered;
let key: KeyPair;
/** What the other issuer publishes, over plain http on loopback, which the operator opened. */
let publisher: Awaited<ReturnType<typeof startScriptedProvider>>;
let published: readonly KeyPair[];

beforeAll(async () => {
  key = await keyPair();
  published = [key];
  publisher = await startScriptedProvider(({ path }) => {
    if (path === '/.well-known/openid-configuration') return { body: { issuer: publisher.origin, jwks_uri: `${publisher.origin}/keys` } };
    if (path === '/lying/.well-known/openid-configuration')
      return { body: { issuer: publisher.origin, jwks_uri: `${publisher.origin}/keys` } };
    return path === '/keys' ? { body: { keys: published.map(({ jwk }) => jwk) } } : { status: 404, body: {} };
  });
  serving = await openServing({ ports: [publisher.port] });
  person = await signedIn(serving);
  job = await newClient();
  await trust();
});
// What was fetched a minute ago may be fetched again.
beforeEach(() => serving.people.pass(2 * 60_000));

function newClient(changes: Parameters<typeof register>[2] = {}): Promise<Registered> {
  return register(serving, person.session.principal, { redirectUris: [], grantTypes: [bearerGrant], ...changes });
}

async function trust(changes: Partial<TrustedIssuerDraft> = {}): Promise<string> {
  const by = person.session.principal;
  const keys = { kind: 'jwks', keys: [key.jwk] } as const;
  const draft = { issuer: foreign, keys, client: job.id, user: undefined, subjects: [subject], claims: {} };
  const { records } = serving.people.store;
  return records.in(by.organization).write((tx) => serving.issuer.trustedIssuers.add(tx, by, { ...draft, ...changes }));
}

interface Asserted {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  readonly by?: KeyPair;
}

function assertion({ claims = {}, header = {}, by = key }: Asserted = {}): Promise<string> {
  const now = Math.floor(serving.people.clock.now() / 1000);
  const standard = { iss: foreign, sub: subject, aud: testIssuer, iat: now, exp: now + 300, jti: randomUUID() };
  const given = Object.fromEntries(Object.entries({ ...standard, ...claims }).filter(([, value]) => value !== undefined));
  return new SignJWT(given).setProtectedHeader({ alg: 'ES256', kid: by.kid, ...header }).sign(by.privateKey);
}

const present = async (text: string | Promise<string>, as = job, more: Readonly<Record<string, string>> = {}) =>
  asClient(serving, as, '/token', { grant_type: bearerGrant, assertion: await text, ...more });
const errorOf = (answer: Received) => [answer.status, answer.json().error];
const refused = [400, 'invalid_grant'];

describe('openid-client', () => {
  it('presents an assertion and gets an access token of the client, and no refresh token', async () => {
    const config = await relyingParty(serving, job);
    expect(config.serverMetadata().grant_types_supported).toContain(bearerGrant);
    const given = { assertion: await assertion(), scope: 'things:read', resource: api };
    const answer = await client.genericGrantRequest(config, bearerGrant, given);
    expect(decodeJwt(answer.access_token)).toMatchObject({ sub: job.id, client_id: job.id, aud: api, scope: 'things:read' });
    expect([answer.refresh_token, answer.id_token]).toEqual([undefined, undefined]);
    expect((await client.tokenIntrospection(config, answer.access_token)).active).toBe(true);
  });
});

describe('an assertion (RFC 7523 §3)', () => {
  it.each([
    ['of an issuer that is not trusted', { claims: { iss: 'https://other.example' } }],
    ['that says it is ours', { claims: { iss: testIssuer } }],
    ['of a subject that no trust names', { claims: { sub: 'repo:evil/app:ref:refs/heads/main' } }],
    ['without a subject', { claims: { sub: undefined } }],
    ['for another audience', { claims: { aud: 'https://other.example' } }],
    ['for the token endpoint instead of the issuer', { claims: { aud: `${testIssuer}/token` } }],
    ['for us and somebody else', { claims: { aud: [testIssuer, 'https://other.example'] } }],
    ['without an audience', { claims: { aud: undefined } }],
    ['that has expired', { claims: { exp: 1 } }],
    ['without an end', { claims: { exp: undefined } }],
    ['with an end that is far away', { claims: { exp: 4_000_000_000 } }],
    ['that is not good yet', { claims: { nbf: 4_000_000_000 } }],
    ['made in the future', { claims: { iat: 4_000_000_000 } }],
    ['that is an access token', { header: { typ: 'at+jwt' } }],
    ['that is an ID-JAG', { header: { typ: 'oauth-id-jag+jwt' } }],
    ['with a critical header that nobody knows', { header: { crit: ['x'], x: 1 } }],
    ['by another key of the same name', { by: 'stranger' }],
  ])('%s is refused', async (_, changed) => {
    const { by, ...given } = changed as { by?: 'stranger' } & Omit<Asserted, 'by'>;
    const text = await assertion({ ...given, ...(by === undefined ? {} : { by: await keyPair(key.kid) }) }).catch(() => 'not signed');
    expect(errorOf(await present(text))).toEqual(refused);
  });

  it.each(['none', 'HS256'])('with alg %s is refused', async (alg) => {
    const [, payload] = (await assertion()).split('.');
    const header = Buffer.from(JSON.stringify({ alg, kid: key.kid })).toString('base64url');
    expect(errorOf(await present(`${header}.${payload}.${alg === 'none' ? '' : 'c2ln'}`))).toEqual(refused);
  });

  it('is refused in the same words, whatever is wrong with it', async () => {
    const wrong = [await assertion({ claims: { sub: 'x' } }), await assertion({ claims: { iss: 'https://x.example' } }), 'x', 'a.b.c'];
    const texts = [];
    for (const text of wrong) texts.push((await present(text)).text);
    expect(new Set(texts).size).toBe(1);
  });

  it('is taken within the skew of clocks', async () => {
    const now = Math.floor(serving.people.clock.now() / 1000);
    expect((await present(assertion({ claims: { exp: now - 30, iat: now + 30 } }))).status).toBe(200);
  });

  it('is good once, also for another client', async () => {
    const other = await newClient();
    await trust({ client: other.id });
    const text = await assertion();
    expect((await present(text)).status).toBe(200);
    expect(errorOf(await present(text))).toEqual(refused);
    expect(errorOf(await present(text, other))).toEqual(refused);
  });

  it('without a jti is good once as well, whatever is done to its signature', async () => {
    const text = await assertion({ claims: { jti: undefined } });
    expect((await present(text)).status).toBe(200);
    expect(errorOf(await present(text))).toEqual(refused);
    expect(errorOf(await present(`${text}=`))).toEqual(refused);
  });

  it('gives exactly one of fifty at once a token', async () => {
    for (let round = 0; round < 5; round++) {
      const text = await assertion();
      const answers = await Promise.all(Array.from({ length: 50 }, () => present(text)));
      expect(answers.filter(({ status }) => status === 200).length).toBe(1);
      expect(answers.filter(({ status }) => status >= 500)).toEqual([]);
    }
  });

  it('gives no more than the client may have, and no scope of a sign-in', async () => {
    expect(errorOf(await present(assertion(), job, { scope: 'things:delete' }))).toEqual([400, 'invalid_scope']);
    expect(errorOf(await present(assertion(), job, { scope: 'openid' }))).toEqual([400, 'invalid_scope']);
    expect(errorOf(await present(assertion(), job, { resource: 'https://evil.example/' }))).toEqual([400, 'invalid_target']);
  });

  it('that was not used up by a wrong request can be presented again', async () => {
    const text = await assertion();
    expect(errorOf(await present(text, job, { scope: 'things:delete' }))).toEqual([400, 'invalid_scope']);
    expect((await present(text)).status).toBe(200);
  });
});

describe('who may present it', () => {
  it('is the client that the trust names, and no other', async () => {
    expect(errorOf(await present(assertion(), await newClient()))).toEqual(refused);
  });

  it('is a client that is registered for the grant type', async () => {
    const plain = await newClient({ grantTypes: ['client_credentials'] });
    expect(errorOf(await present(assertion(), plain))).toEqual([400, 'unauthorized_client']);
  });

  it('is a client without a secret as well: the assertion proves who it is', async () => {
    const { id } = await newClient({ authentication: 'none' });
    await trust({ client: id, subjects: ['system:serviceaccount:prod:*'] });
    const text = await assertion({ claims: { sub: 'system:serviceaccount:prod:agent' } });
    const body = new URLSearchParams({ grant_type: bearerGrant, client_id: id, assertion: text, scope: 'things:read' }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expect((await serving.send({ method: 'POST', path: '/token', headers, body })).json()).toMatchObject({ scope: 'things:read' });
  });
});

describe('a trust', () => {
  it('takes the beginning of a subject, up to a boundary', async () => {
    const own = await newClient();
    await trust({ client: own.id, subjects: ['repo:acme/*'] });
    const by = (sub: string) => present(assertion({ claims: { sub } }), own);
    expect((await by('repo:acme/app')).status).toBe(200);
    expect(errorOf(await by('repo:acme-evil/app'))).toEqual(refused);
    expect(errorOf(await by('repo:acme'))).toEqual(refused);
    for (const subjects of [['*'], ['repo:acme*'], ['a*b'], []]) await expect(trust({ subjects }), String(subjects)).rejects.toThrow();
  });

  it('wants every claim that it names, with exactly that value', async () => {
    const own = await newClient();
    await trust({ client: own.id, claims: { environment: 'production' } });
    const by = (environment: unknown) => present(assertion({ claims: { environment } }), own);
    expect((await by('production')).status).toBe(200);
    for (const wrong of ['staging', undefined, true, { production: 1 }]) expect(errorOf(await by(wrong))).toEqual(refused);
  });

  it('in the name of a person gives tokens of theirs that end with the grant, and without a time of sign-in', async () => {
    const own = await newClient({
      grantTypes: [bearerGrant, 'refresh_token', 'authorization_code'],
      redirectUris: ['https://app.example/'],
    });
    const user = await createTestUser(serving.people, 'worker@example.com');
    await trust({ client: own.id, user: user.id });
    const answer = (await present(assertion(), own)).json();
    const claims = decodeJwt(String(answer.access_token));
    expect(claims).toMatchObject({ sub: user.id, client_id: own.id });
    expect([claims.auth_time, answer.refresh_token, answer.id_token]).toEqual([undefined, undefined, undefined]);
    const active = async () => (await asClient(serving, own, '/introspect', { token: String(answer.access_token) })).json().active;
    expect(await active()).toBe(true);
    const [grant] = await serving.issuer.grants(user.organization, user.id);
    if (grant === undefined) throw new Error('no grant');
    const principal = { organization: user.organization, subject: { kind: 'user', id: user.id }, actors: [] } as const;
    await serving.issuer.endGrant(principal, grant.id);
    expect(await active()).toBe(false);
  });

  it('in the name of a person who is locked out gives nothing', async () => {
    const own = await newClient();
    const user = await createTestUser(serving.people, 'gone@example.com');
    await trust({ client: own.id, user: user.id });
    await serving.people.store.records.in(user.organization).write(async (tx) => {
      await tx.db.updateTable('users').set({ status: 'suspended' }).where('id', '=', user.id).execute();
      await tx.bump('identity');
    });
    expect(errorOf(await present(assertion(), own))).toEqual(refused);
  });

  it('that is removed gives nothing from then on', async () => {
    const own = await newClient();
    const id = await trust({ client: own.id });
    expect((await present(assertion(), own)).status).toBe(200);
    await serving.issuer.trustedIssuers.remove(person.session.principal, id);
    expect(errorOf(await present(assertion(), own))).toEqual(refused);
  });
});

describe('keys that the issuer publishes', () => {
  const issued = (by = key, iss = publisher.origin) => assertion({ claims: { iss }, by });

  async function trusting(keys: TrustedIssuerDraft['keys'], issuer = publisher.origin): Promise<Registered> {
    const own = await newClient();
    await trust({ client: own.id as ClientId, issuer, keys });
    return own;
  }

  it('are found by discovery or at their address, and kept', async () => {
    for (const keys of [{ kind: 'discovery' }, { kind: 'jwks_uri', uri: `${publisher.origin}/keys` }] as const) {
      const own = await trusting(keys);
      expect((await present(issued(), own)).status, keys.kind).toBe(200);
      const before = publisher.seen.length;
      expect((await present(issued(), own)).status).toBe(200);
      expect(publisher.seen.length).toBe(before);
    }
  });

  it('are fetched again for a new key, once a minute and no more', async () => {
    const own = await trusting({ kind: 'jwks_uri', uri: `${publisher.origin}/keys` });
    await present(issued(), own);
    const next = await keyPair();
    published = [key, next];
    expect((await present(issued(next), own)).status).toBe(200);
    const before = publisher.seen.length;
    const stranger = await keyPair();
    for (let count = 0; count < 5; count++) expect(errorOf(await present(issued(stranger), own))).toEqual(refused);
    expect(publisher.seen.length).toBe(before);
    published = [key];
  });

  it('of a discovery document that names another issuer are not believed', async () => {
    const own = await trusting({ kind: 'discovery' }, `${publisher.origin}/lying`);
    expect(errorOf(await present(issued(key, `${publisher.origin}/lying`), own))).toEqual(refused);
  });

  it('are not fetched from a private address that the operator did not open', async () => {
    const own = await trusting({ kind: 'jwks_uri', uri: 'https://localhost:1/keys' });
    expect(errorOf(await present(issued(), own))).toEqual(refused);
    await expect(trust({ keys: { kind: 'jwks_uri', uri: 'http://example.com/keys' } })).rejects.toThrow();
  });
});

describe('an administrator', () => {
  const ask = (user: string, own: Registered) =>
    serving.send({
      method: 'POST',
      path: '/v1/trusts',
      headers: { cookie: person.cookie, 'content-type': 'application/json', origin: testIssuer, 'sec-fetch-site': 'same-origin' },
      body: JSON.stringify({ issuer: foreign, client: own.id, subjects: [subject], user }),
    });

  it('names a member or themselves as the person, and no other administrator', async () => {
    const own = await newClient();
    await createTestUser(serving.people, 'member@example.com');
    await createTestUser(serving.people, 'admin@example.com', 'administrator');
    const statuses = [];
    for (const email of ['ada@example.com', 'member@example.com', 'admin@example.com', 'nobody@example.com'])
      statuses.push((await ask(email, own)).status);
    expect(statuses).toEqual([202, 202, 400, 400]);
  });

  it('confirms it in the browser, told in whose name it is, and until then nothing is trusted', async () => {
    const own = await newClient();
    const parked = (await ask('member@example.com', own)).json();
    expect(errorOf(await present(assertion(), own))).toEqual(refused);
    const path = new URL(String(parked.url)).pathname;
    const page = await serving.send({ path, headers: { cookie: person.cookie } });
    expect(page.text).toContain('They act as member@example.com, who is not asked.');
    expect(page.text).toContain('from its discovery document');
    await post(serving, person, path, { answer: 'yes', password: testPassword.reveal() });
    const { items } = await serving.issuer.trustedIssuers.list(person.user.organization, { limit: 50 });
    expect(items.filter((one) => one.client === own.id)).toHaveLength(1);
  });
});
