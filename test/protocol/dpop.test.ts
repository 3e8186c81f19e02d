import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { decodeJwt, SignJWT } from 'jose';
import * as openid from 'openid-client';
import { beforeAll, describe, expect, test } from 'vitest';
import { createProver, type ProofUse, type Prover } from '../support/dpop.ts';
import { fetchOver } from '../support/fetching.ts';
import { basic, callback, formOf, type Issuance, openIssuance, type Registered } from '../support/issuing.ts';
import { testIssuer } from '../support/people.ts';
import { openServing, type Received, type Serving } from '../support/serving.ts';

const token = `${testIssuer}/token`;
const userinfoUrl = `${testIssuer}/userinfo`;
const grant = { grant_type: 'client_credentials' };

let serving: Serving;
let issuance: Issuance;
let client: Registered;
let app: Registered;
let key: Prover;
let other: Prover;

const now = () => serving.people.clock.now();

beforeAll(async () => {
  serving = await openServing();
  issuance = await openIssuance(serving.people);
  client = await issuance.add();
  app = await issuance.add({ authentication: 'none', grantTypes: ['authorization_code', 'refresh_token'] });
  key = await createProver(token, now);
  other = await createProver(token, now);
});

type Form = Parameters<typeof formOf>[0];
type Headers = Readonly<Record<string, string | undefined>>;

function post(parameters: Form, headers: Headers, at: Serving = serving): Promise<Received> {
  const type = { 'content-type': 'application/x-www-form-urlencoded' };
  return at.send({ method: 'POST', path: '/token', headers: { ...type, ...headers }, body: formOf(parameters) });
}

/** Of the confidential client, for itself, with this proof. */
const own = (dpop: string | undefined, at?: Serving) => post(grant, { authorization: basic(client), dpop }, at);
const refused = (answer: Received) => [answer.status, answer.json().error];
const invalid = [400, 'invalid_dpop_proof'];

/** Of the public client, from a code to tokens. */
async function tokensOf(prover: Prover | undefined, more: Form = {}): Promise<Received> {
  const { code, verifier } = await issuance.code(app, more);
  const parameters = { grant_type: 'authorization_code', client_id: app.id, code, code_verifier: verifier, redirect_uri: callback };
  return post(parameters, { dpop: await prover?.proof({}) });
}

async function refresh(by: Registered, text: unknown, prover: Prover | undefined): Promise<Received> {
  const parameters = { grant_type: 'refresh_token', refresh_token: String(text), ...(by === app ? { client_id: app.id } : {}) };
  return post(parameters, { authorization: by === app ? undefined : basic(by), dpop: await prover?.proof({}) });
}

describe('the token endpoint', () => {
  test.each(['ES256', 'EdDSA', 'PS256', 'RS256'])('binds an access token to the key of a good proof signed with %s', async (algorithm) => {
    const prover = await createProver(token, now, algorithm);
    const answer = await own(await prover.proof({}));
    expect([answer.status, answer.json().token_type]).toEqual([200, 'DPoP']);
    expect(decodeJwt(String(answer.json().access_token)).cnf).toEqual({ jkt: prover.jkt });
  });

  test('gives a bearer token, bound to nothing, where no proof comes', async () => {
    const answer = await own(undefined);
    expect(answer.json().token_type).toBe('Bearer');
    expect(decodeJwt(String(answer.json().access_token)).cnf).toBeUndefined();
  });

  const flaws: readonly (readonly [string, ProofUse])[] = [
    ['of another typ', { header: { typ: 'JWT' } }],
    ['without a typ', { header: { typ: undefined } }],
    ['without its key', { header: { jwk: undefined } }],
    ['that names its key by a URL instead', { header: { jwk: undefined, jku: 'https://evil.example/keys' } }],
    ['with a header that must be understood and is not', { header: { crit: ['unknown'], unknown: 1 } }],
    ['without a jti', { claims: { jti: undefined } }],
    ['whose jti is empty', { claims: { jti: '' } }],
    ['without an htm', { claims: { htm: undefined } }],
    ['without an htu', { claims: { htu: undefined } }],
    ['without an iat', { claims: { iat: undefined } }],
    ['for another method', { htm: 'GET' }],
    ['for the method in small letters', { htm: 'post' }],
    ['for another endpoint', { htu: userinfoUrl }],
    ['for another server', { htu: 'https://evil.example/token' }],
    ['for the same server over plain http', { htu: token.replace('https', 'http') }],
    ['for no URL at all', { htu: '/token' }],
    ['that has expired by its own word', { claims: { exp: 1 } }],
  ];
  test.each(flaws)('refuses a proof %s', async (_, use) => {
    expect(refused(await own(await key.proof(use)))).toEqual(invalid);
  });

  test('refuses a proof older than five minutes, and one from more than a minute to come', async () => {
    const at = Math.floor(now() / 1000);
    expect(refused(await own(await key.proof({ iat: at - 302 })))).toEqual(invalid);
    expect(refused(await own(await key.proof({ iat: at + 62 })))).toEqual(invalid);
    expect((await own(await key.proof({ iat: at - 290 }))).status).toBe(200);
    expect((await own(await key.proof({ iat: at + 58 }))).status).toBe(200);
  });

  test('ignores query and fragment of htu, and its spelling where that means the same', async () => {
    for (const htu of [`${token}?a=b#c`, 'HTTPS://GATEHOUSE.example:443/token', `${testIssuer}/x/../token`])
      expect((await own(await key.proof({ htu }))).status, htu).toBe(200);
  });

  test('refuses a proof that holds a private key', async () => {
    expect(refused(await own(await key.proof({ header: { jwk: key.privateJwk } })))).toEqual(invalid);
  });

  test('refuses a proof signed by another key than the one in it', async () => {
    expect(refused(await own(await key.proof({ header: { jwk: other.jwk } })))).toEqual(invalid);
  });

  test('refuses a proof that is not signed, or signed with a secret', async () => {
    const claims = { jti: randomUUID(), htm: 'POST', htu: token, iat: Math.floor(now() / 1000) };
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const unsigned = `${part({ typ: 'dpop+jwt', alg: 'none', jwk: key.jwk })}.${part(claims)}.`;
    const secret = randomBytes(32);
    const jwk = { kty: 'oct', k: secret.toString('base64url') };
    const symmetric = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'dpop+jwt', jwk }).sign(secret);
    for (const proof of [unsigned, symmetric, 'nonsense', `${unsigned}x`]) expect(refused(await own(proof))).toEqual(invalid);
  });

  test('reads no key that is a burden to verify with', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 0xffff_ffff });
    const claims = { jti: randomUUID(), htm: 'POST', htu: token, iat: Math.floor(now() / 1000) };
    const header = { alg: 'RS256', typ: 'dpop+jwt', jwk: publicKey.export({ format: 'jwk' }) };
    expect(refused(await own(await new SignJWT(claims).setProtectedHeader(header as never).sign(privateKey)))).toEqual(invalid);
  });

  test('refuses more than one DPoP header, also in one line', async () => {
    const [first, second] = [await key.proof({}), await key.proof({})];
    expect(refused(await own(`${first}, ${second}`))).toEqual(invalid);
    const headers = { authorization: basic(client), dpop: [first, second] as unknown as string };
    expect(refused(await post(grant, headers))).toEqual(invalid);
  });

  test('refuses a request without proof of a client that is registered for bound tokens', async () => {
    const bound = await issuance.add({ dpopBound: true });
    const ask = async (dpop: string | undefined) => post(grant, { authorization: basic(bound), dpop });
    expect(refused(await ask(undefined))).toEqual(invalid);
    expect((await ask(await key.proof({}))).json().token_type).toBe('DPoP');
  });

  test('says in its metadata which algorithms proofs may be signed with, never none', async () => {
    const { dpop_signing_alg_values_supported: names } = (await serving.send({ path: '/.well-known/oauth-authorization-server' })).json();
    expect(names).toEqual(['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256']);
  });
});

describe('one proof', () => {
  test('is taken once', async () => {
    const proof = await key.proof({});
    expect((await own(proof)).status).toBe(200);
    expect(refused(await own(proof))).toEqual(invalid);
  });

  test('shares its jti with no other proof for the same URL', async () => {
    const jti = randomUUID();
    expect((await own(await key.proof({ claims: { jti } }))).status).toBe(200);
    expect(refused(await own(await other.proof({ claims: { jti } })))).toEqual(invalid);
    expect(refused(await own(await key.proof({ claims: { jti }, htu: `${token}?again` })))).toEqual(invalid);
  });

  test('comes through exactly once of fifty at the same time over two servers', async () => {
    const second = await openServing({ people: serving.people });
    const proof = await key.proof({});
    const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => own(proof, index % 2 === 0 ? serving : second)));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 400)).toHaveLength(49);
  });

  test('is remembered for as long as it would be taken', async () => {
    const proof = await key.proof({ iat: Math.floor(now() / 1000) + 50 });
    expect((await own(proof)).status).toBe(200);
    await serving.people.pass(340_000);
    expect(refused(await own(proof))).toEqual(invalid);
  });
});

describe('a code', () => {
  test('is bound by dpop_jkt: only the key that it names redeems it', async () => {
    expect((await tokensOf(key, { dpop_jkt: key.jkt })).json().token_type).toBe('DPoP');
    expect(refused(await tokensOf(other, { dpop_jkt: key.jkt }))).toEqual([400, 'invalid_grant']);
    expect(refused(await tokensOf(undefined, { dpop_jkt: key.jkt }))).toEqual([400, 'invalid_grant']);
  });

  test('is not asked for with a dpop_jkt that is no thumbprint', async () => {
    await expect(issuance.code(app, { dpop_jkt: 'short' })).rejects.toThrow(/invalid_request/);
  });

  test('is not spent by a proof that is not good', async () => {
    const { code, verifier } = await issuance.code(app);
    const parameters = { grant_type: 'authorization_code', client_id: app.id, code, code_verifier: verifier };
    expect(refused(await post(parameters, { dpop: await key.proof({ htm: 'GET' }) }))).toEqual(invalid);
    expect((await post(parameters, { dpop: await key.proof({}) })).status).toBe(200);
  });
});

describe('a refresh token', () => {
  test('of a public client is bound to the key, through all its successors', async () => {
    const first = (await tokensOf(key)).json();
    const second = await refresh(app, first.refresh_token, key);
    expect(second.json().token_type).toBe('DPoP');
    for (const prover of [undefined, other])
      expect(refused(await refresh(app, second.json().refresh_token, prover))).toEqual([400, 'invalid_grant']);
    expect((await refresh(app, second.json().refresh_token, key)).status).toBe(200);
  });

  test('of a public client that shows a key first when it refreshes, is bound from then on', async () => {
    const first = (await tokensOf(undefined)).json();
    const second = (await refresh(app, first.refresh_token, key)).json();
    expect(refused(await refresh(app, second.refresh_token, undefined))).toEqual([400, 'invalid_grant']);
    expect((await refresh(app, second.refresh_token, key)).status).toBe(200);
  });

  test('of a client that proves who it is goes with any key of it, and each access token with the key that was shown', async () => {
    const { code, verifier } = await issuance.code(client);
    const parameters = { grant_type: 'authorization_code', code, code_verifier: verifier };
    const first = (await post(parameters, { authorization: basic(client), dpop: await key.proof({}) })).json();
    const second = (await refresh(client, first.refresh_token, other)).json();
    expect(decodeJwt(String(second.access_token)).cnf).toEqual({ jkt: other.jkt });
    // The answer that was stored for the other key is not given to this one.
    const again = (await refresh(client, first.refresh_token, key)).json();
    expect(decodeJwt(String(again.access_token)).cnf).toEqual({ jkt: key.jkt });
    expect(again.refresh_token).toBe(second.refresh_token);
    expect((await refresh(client, first.refresh_token, other)).json().access_token).toBe(second.access_token);
  });
});

describe('a bound access token', () => {
  let bound: string;
  let plain: string;
  beforeAll(async () => {
    bound = String((await tokensOf(key)).json().access_token);
    plain = String((await tokensOf(undefined)).json().access_token);
  });

  const show = (headers: Headers) => serving.send({ path: '/userinfo', headers });
  const proofFor = (accessToken: string, use: ProofUse = {}, prover = key) =>
    prover.proof({ htm: 'GET', htu: userinfoUrl, accessToken, ...use });

  test('is good at userinfo with a proof of its key, by GET and by POST', async () => {
    const answer = await show({ authorization: `DPoP ${bound}`, dpop: await proofFor(bound) });
    expect([answer.status, answer.json().sub]).toEqual([200, issuance.session.user.id]);
    const headers = { authorization: `dpop ${bound}`, dpop: await proofFor(bound, { htm: 'POST' }) };
    expect((await serving.send({ method: 'POST', path: '/userinfo', headers })).status).toBe(200);
  });

  test('is refused as a bearer token, with and without proof', async () => {
    for (const dpop of [undefined, await proofFor(bound)]) {
      const answer = await show({ authorization: `Bearer ${bound}`, dpop });
      expect(refused(answer)).toEqual([401, 'invalid_token']);
      expect(answer.headers['www-authenticate']).toMatch(
        /^Bearer realm="gatehouse", error="invalid_token", DPoP realm="gatehouse", algs="ES256 /,
      );
    }
  });

  test('is refused without proof, with a proof of another key, of another token, of no token, or for another URL or method', async () => {
    expect(refused(await show({ authorization: `DPoP ${bound}` }))).toEqual([401, 'invalid_token']);
    expect(refused(await show({ authorization: `DPoP ${bound}`, dpop: await proofFor(bound, {}, other) }))).toEqual([401, 'invalid_token']);
    const uses = [{ accessToken: plain }, { claims: { ath: undefined } }, { htu: token }, { htm: 'POST' }];
    for (const use of uses) {
      const answer = await show({ authorization: `DPoP ${bound}`, dpop: await proofFor(bound, use) });
      expect(refused(answer)).toEqual([401, 'invalid_dpop_proof']);
      expect(answer.headers['www-authenticate']).toMatch(/^DPoP realm="gatehouse", error="invalid_dpop_proof", algs="ES256 /);
    }
  });

  test('takes each proof once', async () => {
    const dpop = await proofFor(bound);
    expect((await show({ authorization: `DPoP ${bound}`, dpop })).status).toBe(200);
    expect(refused(await show({ authorization: `DPoP ${bound}`, dpop }))).toEqual([401, 'invalid_dpop_proof']);
  });

  test('is not made of an unbound one by showing that with a proof', async () => {
    expect(refused(await show({ authorization: `DPoP ${plain}`, dpop: await proofFor(plain) }))).toEqual([401, 'invalid_token']);
    expect((await show({ authorization: `Bearer ${plain}` })).status).toBe(200);
  });

  test('is asked for in both ways, and told no error, where a request shows none', async () => {
    const answer = await show({});
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer realm="gatehouse", DPoP realm="gatehouse", algs="/);
    expect(answer.headers['www-authenticate']).not.toContain('error');
  });

  test('is introspected with the key that it is bound to', async () => {
    const own = (await post(grant, { authorization: basic(client), dpop: await key.proof({}) })).json();
    const headers = { 'content-type': 'application/x-www-form-urlencoded', authorization: basic(client) };
    const body = formOf({ token: String(own.access_token) });
    const state = (await serving.send({ method: 'POST', path: '/introspect', headers, body })).json();
    expect(state).toMatchObject({ active: true, token_type: 'DPoP', cnf: { jkt: key.jkt } });
  });
});

describe('a nonce, where the operator demands it', () => {
  let first: Serving;
  let second: Serving;
  beforeAll(async () => {
    first = await openServing({ people: serving.people, issuer: { dpopNonce: true } });
    second = await openServing({ people: serving.people, issuer: { dpopNonce: true } });
  });

  const nonceOf = ({ headers }: Received) => String(headers['dpop-nonce']);

  test('is told with use_dpop_nonce, uncached, and taken by every server', async () => {
    const answer = await own(await key.proof({}), first);
    expect(refused(answer)).toEqual([400, 'use_dpop_nonce']);
    expect(answer.headers['cache-control']).toBe('no-store');
    const nonce = nonceOf(answer);
    expect(nonce).toMatch(/^[\x21\x23-\x5b\x5d-\x7e]{40,}$/);
    const good = await own(await key.proof({ claims: { nonce } }), second);
    expect([good.status, nonceOf(good)]).toEqual([200, nonce]);
  });

  test('is rolled: the one before is taken, an older one is not', async () => {
    const nonce = nonceOf(await own(await key.proof({}), first));
    await serving.people.pass(180_000);
    const next = await own(await key.proof({ claims: { nonce } }), first);
    expect(next.status).toBe(200);
    expect(nonceOf(next)).not.toBe(nonce);
    await serving.people.pass(180_000);
    expect(refused(await own(await key.proof({ claims: { nonce } }), first))).toEqual([400, 'use_dpop_nonce']);
  });

  test('is not one that somebody made up', async () => {
    for (const nonce of ['made-up', randomBytes(32).toString('base64url')])
      expect(refused(await own(await key.proof({ claims: { nonce } }), first))).toEqual([400, 'use_dpop_nonce']);
  });

  test('spends neither the code nor the proof that lacks it', async () => {
    const { code, verifier } = await issuance.code(app);
    const parameters = { grant_type: 'authorization_code', client_id: app.id, code, code_verifier: verifier };
    const nonce = nonceOf(await post(parameters, { dpop: await key.proof({}) }, first));
    expect((await post(parameters, { dpop: await key.proof({ claims: { nonce } }) }, first)).status).toBe(200);
  });

  test('is demanded at userinfo with 401', async () => {
    const bound = String((await tokensOf(key)).json().access_token);
    const show = async (nonce?: string) => {
      const dpop = await key.proof({ htm: 'GET', htu: userinfoUrl, accessToken: bound, claims: { nonce } });
      return first.send({ path: '/userinfo', headers: { authorization: `DPoP ${bound}`, dpop } });
    };
    const answer = await show();
    expect(refused(answer)).toEqual([401, 'use_dpop_nonce']);
    expect(answer.headers['www-authenticate']).toMatch(/^DPoP .*error="use_dpop_nonce"/);
    expect((await show(nonceOf(answer))).status).toBe(200);
  });
});

describe('a pushed request', () => {
  const parUrl = `${testIssuer}/par`;
  const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';
  const asked = { response_type: 'code', redirect_uri: callback, code_challenge: challenge, code_challenge_method: 'S256' };
  const push = async (dpop: string | undefined, more: Form = {}) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', dpop };
    return serving.send({ method: 'POST', path: '/par', headers, body: formOf({ client_id: app.id, ...asked, ...more }) });
  };

  test('that comes with a proof binds the code to its key', async () => {
    const pushed = await push(await key.proof({ htu: parUrl }));
    expect(pushed.status).toBe(201);
    const { code } = await issuance.code(app, { request_uri: String(pushed.json().request_uri) });
    const verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
    const redeem = async (prover: Prover) =>
      post({ grant_type: 'authorization_code', client_id: app.id, code, code_verifier: verifier }, { dpop: await prover.proof({}) });
    expect(refused(await redeem(other))).toEqual([400, 'invalid_grant']);
    const again = await push(await key.proof({ htu: parUrl }), { dpop_jkt: key.jkt });
    const second = await issuance.code(app, { request_uri: String(again.json().request_uri) });
    const parameters = { grant_type: 'authorization_code', client_id: app.id, code: second.code, code_verifier: verifier };
    expect((await post(parameters, { dpop: await key.proof({}) })).json().token_type).toBe('DPoP');
  });

  test('is refused where dpop_jkt names another key than the proof shows', async () => {
    expect(refused(await push(await key.proof({ htu: parUrl }), { dpop_jkt: other.jkt }))).toEqual(invalid);
  });

  test('takes a proof for its own URL only, and once', async () => {
    expect(refused(await push(await key.proof({})))).toEqual(invalid);
    const proof = await key.proof({ htu: parUrl });
    expect((await push(proof)).status).toBe(201);
    expect(refused(await push(proof))).toEqual(invalid);
  });
});

describe('openid-client with DPoP', () => {
  test.each([false, true])('gets, uses and refreshes tokens; a nonce demanded: %s', async (dpopNonce) => {
    const server = await openServing({ people: serving.people, issuer: { dpopNonce } });
    const options = { [openid.customFetch]: fetchOver(server) as openid.CustomFetch };
    const metadata = { [openid.clockSkew]: Math.round((now() - Date.now()) / 1000) };
    const config = await openid.discovery(new URL(testIssuer), app.id, metadata, openid.None(), options);
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'));
    const { code, verifier } = await issuance.code(app, { dpop_jkt: await DPoP.calculateThumbprint(), scope: 'openid email' });
    const back = new URL(`${callback}?code=${code}&iss=${encodeURIComponent(testIssuer)}`);
    const checks = { pkceCodeVerifier: verifier, idTokenExpected: true };
    const tokens = await openid.authorizationCodeGrant(config, back, checks, undefined, { DPoP });
    expect(tokens.token_type).toBe('dpop');
    const sub = tokens.claims()?.sub ?? '';
    expect((await openid.fetchUserInfo(config, tokens.access_token, sub, { DPoP })).sub).toBe(sub);
    const refreshed = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '', undefined, { DPoP });
    expect((await openid.fetchUserInfo(config, refreshed.access_token, sub, { DPoP })).sub).toBe(sub);
    await expect(openid.fetchUserInfo(config, refreshed.access_token, sub)).rejects.toThrow();
    await expect(openid.refreshTokenGrant(config, refreshed.refresh_token ?? '')).rejects.toMatchObject({ error: 'invalid_grant' });
  });
});
