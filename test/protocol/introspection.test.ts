import { createHash } from 'node:crypto';
import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, jwtVerify } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ClientDraft } from '#issuer';
import { basic, draft, formOf, type Registered } from '../support/issuing.ts';
import { testIssuer } from '../support/people.ts';
import { openServing, type Serving, type SignedIn, signedIn } from '../support/serving.ts';

const [files, mail] = ['https://files.example/', 'https://mail.example/'];
const wanted = 'application/token-introspection+jwt';
let serving: Serving;
let person: SignedIn;
let client: Registered;
let server: Registered;
let token: string;

beforeAll(async () => {
  serving = await openServing();
  person = await signedIn(serving);
  for (const identifier of [files, mail]) {
    const scopes = [{ name: identifier === files ? 'files:read' : 'mail:send', tells: 'do it' }];
    const by = person.session.principal;
    const resource = { identifier, name: identifier, scopes, tokenFormat: 'jwt', algorithm: 'ES256', open: false } as const;
    await serving.people.store.records.in(by.organization).write((tx) => serving.issuer.resources.add(tx, by, resource));
  }
  client = await register({ scopes: ['files:read', 'mail:send'], resources: [files, mail] });
  server = await register({ grantTypes: [], redirectUris: [], scopes: [], resources: [], protects: [files] });
  const answer = await form('/token', { grant_type: 'client_credentials', resource: [files, mail] }, { authorization: basic(client) });
  token = String(answer.json().access_token);
});

let made = 0;
async function register(changes: Partial<ClientDraft>): Promise<Registered> {
  const secret = `secret-${made++}`.padEnd(43, 's');
  const secretHash = createHash('sha256').update(secret).digest('hex');
  const by = person.session.principal;
  const { records } = serving.people.store;
  const id = await records.in(by.organization).write((tx) => serving.issuer.clients.add(tx, by, { ...draft, ...changes, secretHash }));
  return { id, secret };
}

const form = (path: string, parameters: Parameters<typeof formOf>[0], headers: Readonly<Record<string, string>> = {}) =>
  serving.send({
    method: 'POST',
    path,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: formOf(parameters),
  });
const introspect = (by: Registered, text: string, headers: Readonly<Record<string, string>> = {}) =>
  form('/introspect', { token: text }, { authorization: basic(by), ...headers });
const keys = async () => createLocalJWKSet((await serving.send({ path: '/jwks.json' })).json() as unknown as JSONWebKeySet);
const signed = async (by: Registered, text: string) => {
  const answer = await introspect(by, text, { accept: wanted });
  const currentDate = new Date(serving.people.clock.now());
  return { answer, ...(await jwtVerify(answer.text, await keys(), { currentDate })) };
};

describe('introspection (RFC 7662)', () => {
  it('tells the server of a resource of that resource and its scopes alone', async () => {
    expect((await introspect(server, token)).json()).toMatchObject({ active: true, aud: files, scope: 'files:read', client_id: client.id });
    expect((await introspect(client, token)).json()).toMatchObject({ aud: [files, mail], scope: 'files:read mail:send' });
  });

  it('tells whoever is not concerned that the token is not active, and nothing else', async () => {
    expect((await introspect(await register({}), token)).json()).toEqual({ active: false });
  });

  it('is refused to whoever does not authenticate, in either form', async () => {
    for (const accept of ['application/json', wanted]) {
      const answer = await form('/introspect', { token }, { accept });
      expect([answer.status, answer.json().error]).toEqual([401, 'invalid_client']);
    }
  });
});

describe('introspection as a JWT (RFC 9701)', () => {
  it('has a media type and a typ of its own, uncached', async () => {
    const { answer, protectedHeader } = await signed(server, token);
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe(wanted);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(protectedHeader).toMatchObject({ typ: 'token-introspection+jwt', alg: 'ES256', kid: expect.any(String) });
  });

  it('is from the issuer, for the server that asked, of now', async () => {
    const { payload } = await signed(server, token);
    const now = Math.floor(serving.people.clock.now() / 1000);
    expect(payload).toMatchObject({ iss: testIssuer, aud: server.id, iat: now });
  });

  it('holds in token_introspection what the answer in JSON would', async () => {
    const { payload } = await signed(server, token);
    expect(payload.token_introspection).toEqual((await introspect(server, token)).json());
  });

  it('passes for no access token: neither sub nor exp is at its top, and no endpoint takes it', async () => {
    const { answer, payload } = await signed(server, token);
    expect(Object.keys(payload).sort()).toEqual(['aud', 'iat', 'iss', 'token_introspection']);
    expect((await introspect(server, answer.text)).json()).toEqual({ active: false });
    const userinfo = await serving.send({ path: '/userinfo', headers: { authorization: `Bearer ${answer.text}` } });
    expect(userinfo.status).toBe(401);
  });

  it('says of a token that is not active that, and nothing else', async () => {
    expect((await signed(server, 'nonsense')).payload.token_introspection).toEqual({ active: false });
    expect((await signed(await register({}), token)).payload.token_introspection).toEqual({ active: false });
  });

  it('is signed as the asker is registered', async () => {
    const rsa = await register({ protects: [files], signing: 'RS256' });
    expect((await signed(rsa, token)).protectedHeader.alg).toBe('RS256');
  });

  it.each([
    [undefined, false],
    ['*/*', false],
    ['application/json', false],
    [`application/json, ${wanted};q=0.5`, false],
    [`${wanted};q=0`, false],
    [`${wanted}, application/json;q=0.9`, true],
    [wanted.toUpperCase(), true],
  ])('is given for Accept: %s: %s', async (accept, expected) => {
    const answer = await introspect(server, token, accept === undefined ? {} : { accept });
    expect(answer.headers['content-type']).toBe(expected ? wanted : 'application/json; charset=utf-8');
    expect(expected ? decodeJwt(answer.text).aud : answer.json().active).toBe(expected ? server.id : true);
  });

  it('is announced in the metadata with its algorithms', async () => {
    const document = (await serving.send({ path: '/.well-known/oauth-authorization-server' })).json();
    expect(document.introspection_signing_alg_values_supported).toEqual(['ES256', 'RS256', 'EdDSA']);
  });
});
