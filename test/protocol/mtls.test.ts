import { createHash, X509Certificate } from 'node:crypto';
import { Agent, request as httpsRequest } from 'node:https';
import { decodeJwt } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { basic, callback, formOf, type Issuance, openIssuance, type Registered } from '../support/issuing.ts';
import { type MutualTls, mutualTls } from '../support/mutual-tls.ts';
import { openServing, type Serving } from '../support/serving.ts';

const grant = { grant_type: 'client_credentials' };
const header = 'client-cert';

let serving: Serving;
let issuance: Issuance;
let server: MutualTls;
let own: MutualTls;
let foreign: MutualTls;
let client: Registered;
let port: number;

const keyOf = ({ cert }: MutualTls) => {
  const certificate = new X509Certificate(cert);
  return { ...certificate.publicKey.export({ format: 'jwk' }), x5c: [certificate.raw.toString('base64')] };
};
const derOf = ({ cert }: MutualTls) => new X509Certificate(cert).raw;
const thumbprintOf = (pair: MutualTls) => createHash('sha256').update(derOf(pair)).digest('base64url');

beforeAll(async () => {
  [server, own, foreign] = [mutualTls(), mutualTls(), mutualTls()];
  serving = await openServing({
    http: { trustedProxies: ['127.0.0.1'], certificateHeader: header },
    issuer: { clientCertificates: true },
  });
  issuance = await openIssuance(serving.people);
  client = await issuance.add({ authentication: 'self_signed_tls_client_auth', jwks: [keyOf(own)], certificateBound: true });
  const encrypted = await openServing({ people: serving.people, issuer: { clientCertificates: true } });
  port = (await encrypted.http.listen({ host: '127.0.0.1', port: 0, tls: { ...server, asksCertificate: true } })).port;
});

interface Sent {
  readonly method?: string;
  readonly path: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}
type Answer = { readonly status: number; readonly body: Record<string, unknown> };

/** Over TLS, with this certificate or none. */
function ask(pair: MutualTls | undefined, { method = 'GET', path, body, headers }: Sent): Promise<Answer> {
  const shown = pair === undefined ? {} : { cert: pair.cert, key: pair.key };
  const agent = new Agent({ ca: server.ca, servername: 'localhost', ...shown });
  return new Promise((resolve, reject) => {
    const form = body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' };
    const sent = httpsRequest({
      host: '127.0.0.1',
      port,
      method,
      path,
      agent,
      headers: { host: 'gatehouse.example', ...form, ...headers },
    });
    sent.on('error', reject);
    sent.on('response', async (response) => {
      const text = (await response.toArray()).join('');
      agent.destroy();
      resolve({ status: response.statusCode ?? 0, body: text === '' ? {} : JSON.parse(text) });
    });
    sent.end(body);
  });
}

const token = (pair: MutualTls | undefined, parameters: Parameters<typeof formOf>[0], headers: Readonly<Record<string, string>> = {}) =>
  ask(pair, { method: 'POST', path: '/token', body: formOf(parameters), headers });
const outcome = ({ status, body }: Answer) => [status, body.error];

describe('a client whose certificate is registered', () => {
  test('proves who it is by the connection, and its token is bound to the certificate', async () => {
    const answer = await token(own, { ...grant, client_id: client.id });
    expect([answer.status, answer.body.token_type]).toEqual([200, 'Bearer']);
    expect(decodeJwt(String(answer.body.access_token)).cnf).toEqual({ 'x5t#S256': thumbprintOf(own) });
  });

  test('is refused with another certificate, with none, or with a secret instead', async () => {
    for (const pair of [foreign, undefined])
      expect(outcome(await token(pair, { ...grant, client_id: client.id }))).toEqual([401, 'invalid_client']);
    expect(outcome(await token(own, { ...grant, client_id: client.id, client_secret: 'x' }))).toEqual([401, 'invalid_client']);
  });

  test('is registered with the certificate of each key', async () => {
    const { x5c: _, ...bare } = keyOf(own);
    await expect(issuance.add({ authentication: 'self_signed_tls_client_auth', jwks: [bare] })).rejects.toThrow();
    await expect(issuance.add({ authentication: 'self_signed_tls_client_auth', jwks: [] })).rejects.toThrow();
  });
});

describe('a token that is bound to a certificate', () => {
  let bound: string;
  let refresh: string;
  let app: Registered;
  beforeAll(async () => {
    app = await issuance.add({ authentication: 'none', certificateBound: true, grantTypes: ['authorization_code', 'refresh_token'] });
    const { code, verifier } = await issuance.code(app);
    const parameters = { grant_type: 'authorization_code', client_id: app.id, code, code_verifier: verifier, redirect_uri: callback };
    const { body } = await token(own, parameters);
    [bound, refresh] = [String(body.access_token), String(body.refresh_token)];
  });

  test('is good at userinfo over a connection with that certificate, and over no other', async () => {
    const show = (pair: MutualTls | undefined) => ask(pair, { path: '/userinfo', headers: { authorization: `Bearer ${bound}` } });
    expect((await show(own)).status).toBe(200);
    for (const pair of [foreign, undefined]) expect(outcome(await show(pair))).toEqual([401, 'invalid_token']);
  });

  test('is refreshed, by a client that proves nothing else, with that certificate alone', async () => {
    const parameters = { grant_type: 'refresh_token', client_id: app.id, refresh_token: refresh };
    expect(outcome(await token(foreign, parameters))).toEqual([400, 'invalid_grant']);
    expect(outcome(await token(undefined, parameters))).toEqual([401, 'invalid_client']);
    expect((await token(own, parameters)).status).toBe(200);
  });

  test('is introspected with the certificate that it is bound to', async () => {
    const made = String((await token(own, { ...grant, client_id: client.id })).body.access_token);
    const body = formOf({ token: made, client_id: client.id });
    const state = await ask(own, { method: 'POST', path: '/introspect', body });
    expect(state.body).toMatchObject({ active: true, cnf: { 'x5t#S256': thumbprintOf(own) } });
  });

  test('goes with a secret as well: what proves the client and what the token is bound to are two things', async () => {
    const secret = await issuance.add({ certificateBound: true });
    const answer = await token(foreign, grant, { authorization: basic(secret) });
    expect(decodeJwt(String(answer.body.access_token)).cnf).toEqual({ 'x5t#S256': thumbprintOf(foreign) });
    expect(outcome(await token(undefined, grant, { authorization: basic(secret) }))).toEqual([401, 'invalid_client']);
  });
});

describe('a certificate that a proxy hands on', () => {
  const viaProxy = (at: Serving, value: string | undefined, more: Readonly<Record<string, string>> = {}) =>
    at.send({
      method: 'POST',
      path: '/token',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...more, ...(value === undefined ? {} : { [header]: value }) },
      body: formOf({ ...grant, client_id: client.id }),
    });

  test.each([
    ['as RFC 9440 writes it', () => `:${derOf(own).toString('base64')}:`],
    ['as PEM with percent signs', () => encodeURIComponent(own.cert)],
    ['as base64', () => derOf(own).toString('base64')],
  ])('is taken %s from a trusted proxy', async (_, value) => {
    expect((await viaProxy(serving, value())).status).toBe(200);
  });

  test('is not taken from anybody else, whatever the header says', async () => {
    const value = `:${derOf(own).toString('base64')}:`;
    for (const trustedProxies of [[], ['10.0.0.0/8']]) {
      const untrusting = await openServing({ people: serving.people, http: { trustedProxies, certificateHeader: header } });
      expect((await viaProxy(untrusting, value)).status).toBe(401);
    }
    const unnamed = await openServing({ people: serving.people, http: { trustedProxies: ['127.0.0.1'] } });
    expect((await viaProxy(unnamed, value)).status).toBe(401);
  });

  test('is not taken where it is not well formed, or comes with a script of a page', async () => {
    for (const value of ['', 'nonsense', ':AAAA:', '%zz', `:${derOf(foreign).toString('base64')}:`])
      expect((await viaProxy(serving, value)).status).toBe(401);
    expect((await viaProxy(serving, `:${derOf(own).toString('base64')}:`, { origin: 'https://app.example' })).status).toBe(401);
  });
});

describe('the metadata', () => {
  const methodsOf = async (at: Serving) => (await at.send({ path: '/.well-known/oauth-authorization-server' })).json();

  test('tells of certificates where they are taken, and nowhere else', async () => {
    const taken = await methodsOf(serving);
    expect(taken.token_endpoint_auth_methods_supported).toContain('self_signed_tls_client_auth');
    expect(taken.tls_client_certificate_bound_access_tokens).toBe(true);
    const without = await methodsOf(await openServing({ people: serving.people }));
    expect(without.token_endpoint_auth_methods_supported).not.toContain('self_signed_tls_client_auth');
    expect(without.tls_client_certificate_bound_access_tokens).toBeUndefined();
  });
});
