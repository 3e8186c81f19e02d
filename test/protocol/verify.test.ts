import { createHash, createHmac } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createVerifier, forHono, type Needs, type Presented, type Verdict, type Verifier, type VerifierOptions } from '#verify';
import { openStandIn, resource, type StandIn } from '../support/issuer-stand-in.ts';

let stand: StandIn;
let verifier: Verifier;
const opened = new Set<Verifier>();
beforeAll(async () => {
  stand = await openStandIn();
  verifier = open();
});
afterAll(async () => {
  for (const one of opened) await one.close();
});

function open(options: Partial<VerifierOptions> = {}, at = stand): Verifier {
  const made = createVerifier({ issuer: at.issuer, url: at.url, resource, ...options });
  opened.add(made);
  return made;
}

const request = (authorization?: string, more: Partial<Presented> = {}): Presented => ({
  method: 'POST',
  url: '/mcp',
  ...more,
  headers: { ...(authorization === undefined ? {} : { authorization }), ...more.headers },
});
async function ask(token: string, needs?: Needs, of = verifier): Promise<Verdict> {
  return of.verify(request(`Bearer ${token}`), needs);
}
const errorOf = (verdict: Verdict) => (verdict.good ? 'none' : [verdict.refusal.status, verdict.refusal.body.error].join(' '));
const challengeOf = (verdict: Verdict) => (verdict.good ? '' : (verdict.refusal.headers['www-authenticate'] ?? ''));

describe('an access token (RFC 9068 §4)', () => {
  it('is good when its issuer signed it for this resource', async () => {
    const verdict = await ask(await stand.token());
    expect(verdict).toMatchObject({
      good: true,
      token: { subject: 'usr_1', clientId: 'clt_1', scopes: ['things:read', 'things:write'], audiences: [resource] },
    });
  });

  it('may say its type in full, and name several audiences', async () => {
    expect(errorOf(await ask(await stand.token({}, { typ: 'application/at+jwt' })))).toBe('none');
    expect(errorOf(await ask(await stand.token({ aud: ['https://other.example/', resource] })))).toBe('none');
  });

  const now = Math.floor(Date.now() / 1000);
  it.each([
    ['of another issuer', { iss: 'https://evil.example' }, {}],
    ['for another resource', { aud: 'https://other.example/' }, {}],
    ['for a resource that only begins like this one', { aud: `${resource}/more` }, {}],
    ['that expired', { exp: now - 1 }, {}],
    ['from a time to come', { iat: now + 3_600 }, {}],
    ['that is not good yet', { nbf: now + 3_600 }, {}],
    ['without expiry', { exp: undefined }, {}],
    ['without subject', { sub: undefined }, {}],
    ['without client', { client_id: undefined }, {}],
    ['without an id of its own', { jti: undefined }, {}],
    ['without an issue time', { iat: undefined }, {}],
    ['that does not say what it hangs on', { epochs: undefined }, {}],
    ['whose parents cannot be read', { parents: 'token-0' }, {}],
    ['that is bound in a way that is not known', { cnf: { kid: 'x' } }, {}],
    ['of no type', {}, { typ: undefined }],
    ['of the type of an ID token', {}, { typ: 'JWT' }],
    ['without kid', {}, { kid: undefined }],
    ['with a kid that nobody published', {}, { kid: '../../etc/passwd' }],
    ['that brings its key', {}, { jwk: { kty: 'EC' } }],
    ['that names a place of its key', {}, { jku: 'https://evil.example/keys' }],
  ])('%s is refused', async (_, claims, header) => {
    expect(errorOf(await ask(await stand.token(claims, header)))).toBe('401 invalid_token');
  });

  it('is refused without signature, with one of HMAC by the public key, and of another key', async () => {
    const good = await stand.token();
    const [head = '', body = ''] = good.split('.');
    expect(errorOf(await ask(new UnsecuredJWT({ iss: stand.issuer }).encode()))).toBe('401 invalid_token');
    const hs = Buffer.from(JSON.stringify({ alg: 'HS256', typ: 'at+jwt', kid: 'first' })).toString('base64url');
    const mac = createHmac('sha256', JSON.stringify(await (await fetch(`${stand.url}/keys`)).json()))
      .update(`${hs}.${body}`)
      .digest('base64url');
    expect(errorOf(await ask(`${hs}.${body}.${mac}`))).toBe('401 invalid_token');
    const { privateKey } = await generateKeyPair('ES256');
    const forged = await new SignJWT({}).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'first' }).sign(privateKey);
    expect(errorOf(await ask(forged))).toBe('401 invalid_token');
    expect(errorOf(await ask(`${head}.${body}.${'A'.repeat(86)}`))).toBe('401 invalid_token');
  });

  it('is verified by the one algorithm of its key', async () => {
    for (const algorithm of ['EdDSA', 'RS256']) {
      await stand.addKey(algorithm, algorithm);
      const fresh = open();
      expect(errorOf(await ask(await stand.token({}, {}, algorithm), {}, fresh))).toBe('none');
    }
    const es = await stand.token({}, { kid: 'RS256' });
    expect(errorOf(await ask(es, {}, open()))).toBe('401 invalid_token');
  });

  it('is seen again without another look at its signature, for as long as it is good', async () => {
    let now = Date.now();
    const timed = open({ clock: { now: () => now, monotonic: () => performance.now() } });
    const token = await stand.token();
    expect([errorOf(await ask(token, {}, timed)), errorOf(await ask(token, {}, timed))]).toEqual(['none', 'none']);
    now += 900_000;
    expect(errorOf(await ask(token, {}, timed))).toBe('401 invalid_token');
  });
});

describe('how a token comes (RFC 6750)', () => {
  it('a request without one is challenged without an error, and told where to read on', async () => {
    const verdict = await verifier.verify(request());
    expect(errorOf(verdict)).toBe('401 invalid_token');
    expect(challengeOf(verdict)).toContain('Bearer resource_metadata="https://api.example/.well-known/oauth-protected-resource/mcp"');
    expect(challengeOf(verdict)).toContain('DPoP resource_metadata=');
    expect(challengeOf(verdict)).not.toContain('error');
  });

  it.each([
    ['in the query', request(undefined, { url: '/mcp?access_token=x' })],
    ['in two headers', request(undefined, { headers: { authorization: ['Bearer x', 'Bearer y'] } })],
    ['in a form that is none', request('Bearer x y')],
    ['as a bearer, with a proof beside it', request('Bearer x', { headers: { dpop: 'y' } })],
  ])('one that comes %s is refused with 400', async (_, presented) => {
    const verdict = await verifier.verify(presented);
    expect(errorOf(verdict)).toBe('400 invalid_request');
    expect(challengeOf(verdict)).toContain('error="invalid_request"');
  });

  it('another scheme is no token', async () => {
    expect(challengeOf(await verifier.verify(request('Basic x')))).not.toContain('error');
  });

  it('a bad one is told so with 401, in the header as well', async () => {
    const verdict = await ask('x');
    expect(errorOf(verdict)).toBe('401 invalid_token');
    expect(challengeOf(verdict)).toMatch(/^Bearer error="invalid_token", error_description="[^"\\]+", resource_metadata="/);
  });

  it('one that does not reach so far is told with 403 what it lacks', async () => {
    const verdict = await ask(await stand.token(), { scopes: ['things:read', 'things:delete'] });
    expect(errorOf(verdict)).toBe('403 insufficient_scope');
    expect(challengeOf(verdict)).toContain('scope="things:read things:delete"');
    expect(challengeOf(verdict)).toContain('resource_metadata="');
  });

  it('scopes of every request are named to who comes without a token, and needed where a request names none', async () => {
    const strict = open({ scopes: ['things:read'] });
    expect(challengeOf(await strict.verify(request()))).toContain('scope="things:read"');
    const other = await stand.token({ scope: 'things:write' });
    const none = { scopes: undefined } as unknown as Needs;
    expect([errorOf(await ask(other, {}, strict)), errorOf(await ask(other, none, strict))]).toEqual(
      Array(2).fill('403 insufficient_scope'),
    );
    expect(errorOf(await ask(other, { scopes: [] }, strict))).toBe('none');
  });
});

describe('step-up (RFC 9470 §3)', () => {
  const ago = Math.floor(Date.now() / 1000) - 600;

  it('asks for a sign-in that is recent enough', async () => {
    const token = await stand.token({ auth_time: ago });
    expect(errorOf(await ask(token, { maxAgeSeconds: 3_600 }))).toBe('none');
    const verdict = await ask(token, { maxAgeSeconds: 300 });
    expect(errorOf(verdict)).toBe('401 insufficient_user_authentication');
    expect(challengeOf(verdict)).toContain('error="insufficient_user_authentication"');
    expect(challengeOf(verdict)).toContain('max_age="300"');
  });

  it('asks for one of the ways of proof that will do', async () => {
    const verdict = await ask(await stand.token({ acr: 'password' }), { acr: ['passkey', 'urn:x:"y'] });
    expect(errorOf(verdict)).toBe('401 insufficient_user_authentication');
    expect(challengeOf(verdict)).toContain('acr_values="passkey urn:x:\\"y"');
    expect(errorOf(await ask(await stand.token({ acr: 'passkey' }), { acr: ['passkey'] }))).toBe('none');
  });

  it('asks it of a token that does not say when the person signed in', async () => {
    expect(errorOf(await ask(await stand.token({ auth_time: undefined }), { maxAgeSeconds: 300 }))).toMatch(/insufficient_user/);
  });
});

describe('a token bound to its sender', () => {
  let key: Awaited<ReturnType<typeof generateKeyPair>>;
  let jkt: string;
  let jwk: Awaited<ReturnType<typeof exportJWK>>;
  beforeAll(async () => {
    key = await generateKeyPair('ES256', { extractable: true });
    jwk = await exportJWK(key.publicKey);
    const { crv, kty, x, y } = jwk;
    jkt = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
  });

  const proof = (token: string, claims: Readonly<Record<string, unknown>> = {}) =>
    new SignJWT({
      htm: 'POST',
      htu: resource,
      iat: Math.floor(Date.now() / 1000),
      jti: crypto.randomUUID(),
      ath: createHash('sha256').update(token).digest('base64url'),
      ...claims,
    })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
      .sign(key.privateKey);
  const withProof = (token: string, dpop: string | readonly string[], of = verifier) =>
    of.verify(request(`DPoP ${token}`, { headers: { dpop } }));

  it('is good with a proof for this request and this token, each proof once (RFC 9449 §4.3, §7)', async () => {
    const token = await stand.token({ cnf: { jkt } });
    const once = await proof(token);
    const verdicts = await Promise.all(Array.from({ length: 20 }, () => withProof(token, once)));
    expect(verdicts.filter(({ good }) => good).length).toBe(1);
    expect(errorOf(await withProof(token, await proof(token)))).toBe('none');
  });

  it.each([
    ['method', { htm: 'GET' }],
    ['URL', { htu: 'https://api.example/other' }],
    ['host', { htu: 'https://evil.example/mcp' }],
    ['token', { ath: 'x' }],
    ['token at all', { ath: undefined }],
    ['time', { iat: Math.floor(Date.now() / 1000) - 3_600 }],
    ['time to come', { iat: Math.floor(Date.now() / 1000) + 3_600 }],
  ])('is refused with a proof for another %s', async (_, claims) => {
    const token = await stand.token({ cnf: { jkt } });
    const verdict = await withProof(token, await proof(token, claims));
    expect(errorOf(verdict)).toBe('401 invalid_dpop_proof');
    expect(challengeOf(verdict)).toMatch(/^DPoP error="invalid_dpop_proof".*algs="[^"]*ES256/);
  });

  it('is refused with the proof of another key, with two proofs, without one, and as a bearer', async () => {
    const token = await stand.token({ cnf: { jkt: 'another' } });
    expect(errorOf(await withProof(token, await proof(token)))).toBe('401 invalid_dpop_proof');
    const own = await stand.token({ cnf: { jkt } });
    expect(errorOf(await withProof(own, [await proof(own), await proof(own)]))).toBe('401 invalid_dpop_proof');
    expect(errorOf(await verifier.verify(request(`DPoP ${own}`)))).toBe('401 invalid_dpop_proof');
    expect(errorOf(await ask(own))).toBe('401 invalid_token');
    expect(await verifier.token(own)).toBeUndefined();
  });

  it('that is not bound is not taken with a proof', async () => {
    const token = await stand.token();
    expect(errorOf(await withProof(token, await proof(token)))).toBe('401 invalid_token');
  });

  it('needs the nonce of this resource, where it asks for one; it comes with the refusal and with what succeeds (RFC 9449 §9)', async () => {
    const asking = open({ dpop: { nonce: true } });
    const token = await stand.token({ cnf: { jkt } });
    const verdict = await withProof(token, await proof(token), asking);
    expect(errorOf(verdict)).toBe('401 use_dpop_nonce');
    const nonce = verdict.good ? '' : (verdict.refusal.headers['dpop-nonce'] ?? '');
    const good = await withProof(token, await proof(token, { nonce }), asking);
    expect(good).toMatchObject({ good: true, headers: { 'dpop-nonce': nonce } });
    expect(errorOf(await withProof(token, await proof(token, { nonce: `${nonce}ö` }), asking))).toBe('401 use_dpop_nonce');
  });

  it('to a certificate is good with that certificate alone (RFC 8705 §3)', async () => {
    const certificate = Buffer.from('a certificate');
    const x5t = createHash('sha256').update(certificate).digest('base64url');
    const token = await stand.token({ cnf: { 'x5t#S256': x5t } });
    const by = (given: Uint8Array | undefined) => verifier.verify(request(`Bearer ${token}`, { certificate: given }));
    expect(errorOf(await by(certificate))).toBe('none');
    expect(errorOf(await by(Buffer.from('another')))).toBe('401 invalid_token');
    expect(errorOf(await by(undefined))).toBe('401 invalid_token');
  });

  it('is the only one taken, where the resource says so', async () => {
    const strict = open({ requireBinding: true });
    expect(errorOf(await ask(await stand.token(), {}, strict))).toBe('401 invalid_token');
    const token = await stand.token({ cnf: { jkt } });
    expect(errorOf(await withProof(token, await proof(token), strict))).toBe('none');
    expect(challengeOf(await strict.verify(request()))).not.toContain('Bearer');
  });
});

describe('what has ended (SECURITY 16)', () => {
  it.each([
    ['grant', 'grt_1'],
    ['token', 'token-1'],
    ['client', 'clt_1'],
    ['person', 'usr_1/1'],
    ['parent', 'token-0'],
    ["parent's client", 'clt_0'],
  ])('the end of its %s ends a token within a second, also one that was seen', async (_, parent) => {
    const at = await openStandIn();
    const fresh = open({}, at);
    const token = await at.token({ parents: ['token-0'], parent_clients: ['clt_0'] });
    expect(errorOf(await ask(token, {}, fresh))).toBe('none');
    at.end(parent);
    const began = performance.now();
    while ((await ask(token, {}, fresh)).good) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(performance.now() - began).toBeLessThan(1_000);
    const other = { jti: 'token-2', client_id: 'clt_2', sub: 'usr_2', grant_id: 'grt_2' };
    expect(errorOf(await ask(await at.token(other), {}, fresh))).toBe('none');
  });

  it('another epoch of the organization ends every token of the one before', async () => {
    const at = await openStandIn();
    at.state.epoch = 2;
    const fresh = open({}, at);
    expect(errorOf(await ask(await at.token(), {}, fresh))).toBe('401 invalid_token');
    expect(errorOf(await ask(await at.token({ epochs: [2, 1] }), {}, fresh))).toBe('none');
  });

  it('a later epoch of a person is another', async () => {
    const at = await openStandIn();
    at.end('usr_1/1');
    expect(errorOf(await ask(await at.token({ epochs: [1, 2] }), {}, open({}, at)))).toBe('none');
  });

  it('nothing is let in where it cannot be learnt, nor three seconds after it could', async () => {
    const at = await openStandIn();
    let monotonic = 0;
    const fresh = open({ clock: { now: () => Date.now(), monotonic: () => monotonic } }, at);
    const token = await at.token();
    at.state.failing = true;
    const refused = await ask(token, {}, fresh);
    expect(errorOf(refused)).toBe('503 temporarily_unavailable');
    expect(refused.good ? {} : refused.refusal.headers).toMatchObject({ 'retry-after': '1' });
    at.state.failing = false;
    monotonic += 1_000;
    expect(errorOf(await ask(token, {}, fresh))).toBe('none');
    at.state.failing = true;
    monotonic += 3_000;
    expect(errorOf(await ask(token, {}, fresh))).toBe('none');
    monotonic += 1;
    expect(errorOf(await ask(token, {}, fresh))).toBe('503 temporarily_unavailable');
  });

  it('what the issuer itself knew too late counts as old', async () => {
    const at = await openStandIn();
    at.state.age = 3_500;
    expect(errorOf(await ask(await at.token(), {}, open({}, at)))).toBe('503 temporarily_unavailable');
  });

  it('a crowd of requests asks once', async () => {
    const at = await openStandIn();
    const fresh = open({}, at);
    const token = await at.token();
    const verdicts = await Promise.all(Array.from({ length: 200 }, () => ask(token, {}, fresh)));
    expect(verdicts.every(({ good }) => good)).toBe(true);
    expect([at.asked.get('/keys'), at.asked.get('/.well-known/openid-configuration')]).toEqual([1, 1]);
    expect(at.asked.get('/ended')).toBeLessThanOrEqual(2);
  });
});

describe('gates of two resources before one handler', () => {
  it('each judge the token for their own', async () => {
    const other = open({ resource: 'https://other.example/' });
    const through = async (token: string) => {
      const headers = { authorization: `Bearer ${token}` };
      const context = { req: { raw: new Request(resource, { method: 'POST', headers }) }, header: () => undefined };
      const answers = [];
      for (const gate of [verifier, other, verifier]) answers.push((await forHono(gate).needs()(context, async () => undefined))?.status);
      return answers;
    };
    expect(await through(await stand.token())).toEqual([undefined, 401, undefined]);
    expect(await through(await stand.token({ aud: [resource, other.resource] }))).toEqual([undefined, undefined, undefined]);
  });
});

describe('keys', () => {
  it('that were made since are fetched when a token names them, at most once in five seconds', async () => {
    const at = await openStandIn();
    let monotonic = 0;
    const fresh = open({ clock: { now: () => Date.now(), monotonic: () => monotonic } }, at);
    expect(errorOf(await ask(await at.token(), {}, fresh))).toBe('none');
    await at.addKey('second');
    const token = await at.token({}, {}, 'second');
    expect(errorOf(await ask(token, {}, fresh))).toBe('401 invalid_token');
    monotonic += 2_500;
    expect(errorOf(await ask(token, {}, fresh))).toBe('401 invalid_token');
    monotonic += 2_500;
    for (let round = 0; round < 3; round++) expect(errorOf(await ask(token, {}, fresh))).toBe('none');
    for (let round = 0; round < 50; round++) await ask(await at.token({}, { kid: `unknown-${round}` }), {}, fresh);
    expect(at.asked.get('/keys')).toBe(2);
  });

  it('that count no more end what they signed within a second', async () => {
    const at = await openStandIn();
    await at.addKey('second');
    const fresh = open({}, at);
    const token = await at.token({}, {}, 'second');
    expect(errorOf(await ask(token, {}, fresh))).toBe('none');
    at.removeKey('second');
    const began = performance.now();
    while ((await ask(token, {}, fresh)).good) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(errorOf(await ask(await at.token(), {}, fresh))).toBe('none');
  });
});

describe('the metadata of a resource (RFC 9728)', () => {
  it('names the resource exactly, its issuer and how tokens come', () => {
    const told = open({ scopes: ['a'], metadata: { name: 'Things', scopes: ['a', 'b'], documentation: 'https://api.example/docs' } });
    expect(told.metadata).toMatchObject({
      resource,
      authorization_servers: [stand.issuer],
      scopes_supported: ['a', 'b'],
      bearer_methods_supported: ['header'],
      resource_name: 'Things',
      resource_documentation: 'https://api.example/docs',
      dpop_signing_alg_values_supported: expect.arrayContaining(['ES256']),
    });
  });

  it.each([
    ['https://api.example/', '/.well-known/oauth-protected-resource'],
    ['https://api.example', '/.well-known/oauth-protected-resource'],
    ['https://api.example/mcp', '/.well-known/oauth-protected-resource/mcp'],
    ['https://api.example/a/b', '/.well-known/oauth-protected-resource/a/b'],
  ])('of %s lies at %s', (of, path) => {
    const told = open({ resource: of });
    expect([told.metadataPath, told.metadataUrl]).toEqual([path, `https://api.example${path}`]);
  });
});

describe('a verifier is not made', () => {
  it.each([
    ['for a resource that is no URL', { resource: 'things' }],
    ['for a resource with a fragment', { resource: 'https://api.example/#x' }],
    ['for an issuer that is no URL', { issuer: 'issuer' }],
    ['for an issuer that is spelled in another way', { issuer: 'HTTPS://issuer.example' }],
    ['where plain http leads to another machine', { url: 'http://gatehouse.internal:7300' }],
  ])('%s', (_, options) => {
    expect(() => open(options)).toThrow();
  });

  it('but where it is said that plain http may lead there', () => {
    expect(open({ url: 'http://gatehouse.internal:7300', allowInsecureHttp: true }).issuer).toBe(stand.issuer);
  });

  it('and lets nothing in where the metadata is of another issuer', async () => {
    const lost = open({ issuer: 'https://other.example' });
    expect(errorOf(await ask(await stand.token(), {}, lost))).toBe('503 temporarily_unavailable');
  });
});
