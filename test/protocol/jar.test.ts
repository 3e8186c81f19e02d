import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { SignJWT, UnsecuredJWT } from 'jose';
import * as library from 'openid-client';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { type Authorizing, answerIn, claimsOf, openAuthorizing } from '../support/authorizing.ts';
import { discovered } from '../support/client-library.ts';
import { api, callback, type Registered } from '../support/issuing.ts';
import { testIssuer } from '../support/people.ts';

const other = 'https://other.example/';
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwks = [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256', use: 'sig' }];
let at: Authorizing;
let client: Registered;

beforeAll(async () => {
  at = await openAuthorizing();
  client = await at.add({ jwks });
});

interface Signing {
  readonly key?: KeyObject | Uint8Array;
  readonly header?: Readonly<Record<string, unknown>>;
  readonly by?: Registered;
}

/** A request object of this client, and what is changed in it; `undefined` leaves a claim out. */
function object(changes: Readonly<Record<string, unknown>> = {}, { key = privateKey, header = {}, by = client }: Signing = {}) {
  const now = Math.floor(at.serving.people.clock.now() / 1000);
  const claims = { iss: by.id, aud: testIssuer, iat: now, exp: now + 60, ...at.asked(by), ...changes };
  return new SignJWT(JSON.parse(JSON.stringify(claims)) as Record<string, unknown>)
    .setProtectedHeader({ alg: 'ES256', kid: 'one', typ: 'oauth-authz-req+jwt', ...header })
    .sign(key);
}
const open = (request: string, more: Readonly<Record<string, string>> = {}) => at.open({ client_id: client.id, request, ...more });
const refused = async (request: string) => {
  const answer = await open(request);
  expect([answer.status, answer.headers.location]).toEqual([400, undefined]);
  expect(answer.text).toContain('request object');
};

describe('a signed authorization request (RFC 9101)', () => {
  test('leads to a code with client_id and request alone (§5)', async () => {
    const to = await at.through(await open(await object({ scope: 'openid', max_age: 3600 })));
    expect(answerIn(to)).toMatchObject({ code: expect.any(String), state: 'a b', iss: testIssuer });
  });

  test('wins: parameters outside are ignored, also where the object lacks them (§6.3)', async () => {
    const outside = { scope: 'things:write', state: 'other', redirect_uri: 'https://evil.example/', nonce: 'outside', resource: api };
    const to = await at.through(await open(await object({ scope: 'things:read openid' }), outside));
    expect([to.origin + to.pathname, to.searchParams.get('state')]).toEqual([callback, 'a b']);
    const tokens = (await at.redeem(client, String(to.searchParams.get('code')))).json();
    expect(tokens.scope).toBe('things:read openid');
    expect(claimsOf(tokens.id_token).nonce).toBeUndefined();
    expect(claimsOf(tokens.access_token).aud).toBe(testIssuer);
  });

  test('keeps every value of resource in order', async () => {
    const to = await at.through(await open(await object({ resource: [other, api], scope: 'things:read' })));
    const tokens = (await at.redeem(client, String(to.searchParams.get('code')))).json();
    expect(claimsOf(tokens.access_token).aud).toEqual([other, api]);
  });

  test('may be of type JWT, or of none (§10.8)', async () => {
    for (const typ of ['JWT', undefined]) expect((await open(await object({}, { header: { typ } }))).status).toBe(303);
  });

  test.each([
    ['without a signature', () => new UnsecuredJWT({ ...at.asked(client), iss: client.id, aud: testIssuer }).encode()],
    ['signed by another key', () => object({}, { key: stranger.privateKey })],
    ['keyed with the public key', () => hmacByPublicKey()],
    ['of another type', () => object({}, { header: { typ: 'at+jwt' } })],
    ['with a critical header nobody understands', () => object({}, { header: { crit: ['x'], x: 1 } }).catch(() => 'a.b.c')],
    ['for another issuer (§4)', () => object({ aud: 'https://elsewhere.example' })],
    ['for nobody', () => object({ aud: undefined })],
    ['of another client by iss (§4)', () => object({ iss: 'somebody' })],
    ['of another client by client_id (§5)', () => object({ client_id: 'somebody' })],
    ['without client_id (§5)', () => object({ client_id: undefined })],
    ['that is a client assertion too (§10.8)', () => object({ sub: client.id })],
    ['that has expired', () => object({ exp: Math.floor(at.serving.people.clock.now() / 1000) - 120 })],
    ['that never expires', () => object({ exp: undefined })],
    ['that expires in a year', () => object({ exp: Math.floor(at.serving.people.clock.now() / 1000) + 31_536_000 })],
    ['not good yet', () => object({ nbf: Math.floor(at.serving.people.clock.now() / 1000) + 600 })],
    ['that holds a request (§4)', () => object({ request: 'x' })],
    ['that holds a request_uri (§4)', () => object({ request_uri: 'urn:x' })],
    ['with a parameter of another kind', () => object({ scope: ['openid'] })],
    ['that is none at all', () => 'x'],
    ['that is encrypted', () => 'a.b.c.d.e'],
  ])('is refused on a page of ours %s', async (_, make) => refused(await make()));

  test('is judged as every request is, and its errors go back to its redirect URI', async () => {
    const to = new URL(String((await open(await object({ scope: 'everything' }))).headers.location));
    expect(answerIn(to)).toMatchObject({ error: 'invalid_scope', state: 'a b', iss: testIssuer });
    expect((await open(await object({ redirect_uri: 'https://evil.example/' }))).status).toBe(400);
    const bare = new URL(
      String((await open(await object({ code_challenge: undefined }), { code_challenge: 'c'.repeat(43) })).headers.location),
    );
    expect(answerIn(bare).error).toBe('invalid_request');
  });

  test('by a reference of its own is refused, and not fetched (§5.2.1)', async () => {
    const begun = await at.open({ ...at.asked(client), request_uri: 'https://app.example/request.jwt' });
    expect(answerIn(new URL(String(begun.headers.location)))).toMatchObject({ error: 'request_uri_not_supported', iss: testIssuer });
    const both = await at.open({ ...at.asked(client), request: await object(), request_uri: 'https://app.example/request.jwt' });
    expect(both.status).toBe(400);
  });

  test('can be pushed, and then it is the object that was pushed (RFC 9126 §3)', async () => {
    const answer = await at.push(client, { request: await object({ scope: 'things:read' }), scope: 'things:write' });
    expect(answer.status).toBe(201);
    const to = await at.through(await at.open({ client_id: client.id, request_uri: String(answer.json().request_uri) }));
    expect((await at.redeem(client, String(to.searchParams.get('code')))).json()).toMatchObject({ scope: 'things:read' });
    const wrong = await at.push(client, { request: await object({}, { key: stranger.privateKey }) });
    expect([wrong.status, wrong.json().error]).toEqual([400, 'invalid_request_object']);
    const foreign = await at.add({ jwks });
    expect((await at.push(foreign, { request: await object() })).json().error).toBe('invalid_request_object');
  });
});

describe('a client that is registered to sign its requests (§10.5)', () => {
  test('is refused without a signature, pushed or not', async () => {
    const strict = await at.add({ jwks, requireSignedRequestObject: true });
    expect(answerIn(new URL(String((await at.open(at.asked(strict))).headers.location)))).toMatchObject({ error: 'invalid_request' });
    expect((await at.push(strict, at.asked(strict))).json().error).toBe('invalid_request');
    expect((await at.push(strict, { request: await object({}, { by: strict }) })).status).toBe(201);
    expect((await at.open({ client_id: strict.id, request: await object({}, { by: strict }) })).status).toBe(303);
  });

  test('needs keys', async () => {
    await expect(at.add({ requireSignedRequestObject: true })).rejects.toThrow();
  });
});

test('openid-client signs, pushes and signs a pushed request, by what the metadata says', async () => {
  const config = await discovered(at.serving, client.id, client.secret);
  expect(config.serverMetadata()).toMatchObject({ request_parameter_supported: true, request_uri_parameter_supported: false });
  const key = await crypto.subtle.importKey(
    'pkcs8',
    privateKey.export({ format: 'der', type: 'pkcs8' }),
    { name: 'ECDSA', namedCurve: 'P-256' },
    false,
    ['sign'],
  );
  const pkceCodeVerifier = library.randomPKCECodeVerifier();
  const asked = {
    redirect_uri: callback,
    scope: 'openid things:read',
    code_challenge: await library.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: 'a b',
  };
  // The library signs with the time of this machine.
  vi.useFakeTimers({ toFake: ['Date'], now: at.serving.people.clock.now() });
  const begin = {
    pushed: () => library.buildAuthorizationUrlWithPAR(config, asked),
    signed: () => library.buildAuthorizationUrlWithJAR(config, asked, key),
    both: async () =>
      library.buildAuthorizationUrlWithPAR(config, (await library.buildAuthorizationUrlWithJAR(config, asked, key)).searchParams),
  };
  for (const url of [await begin.pushed(), await begin.signed(), await begin.both()]) {
    const back = await at.through(await at.open(Object.fromEntries(url.searchParams)));
    const tokens = await library.authorizationCodeGrant(config, back, { pkceCodeVerifier, expectedState: 'a b' });
    expect(tokens.scope).toBe('openid things:read');
  }
  vi.useRealTimers();
});

/** HS256 under the bytes of the public key (RFC 8725 §2.1). */
function hmacByPublicKey(): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(at.serving.people.clock.now() / 1000) + 60;
  const signed = `${part({ alg: 'HS256', typ: 'oauth-authz-req+jwt' })}.${part({ ...at.asked(client), iss: client.id, aud: testIssuer, exp })}`;
  const key = publicKey.export({ format: 'pem', type: 'spki' });
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
}
