import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { auth, type OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js';
import type { OAuthClientInformationMixed, OAuthTokens } from '@modelcontextprotocol/sdk/shared/auth.js';
import { exportJWK, SignJWT } from 'jose';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Authorization, Issuing } from '#issuer';
import { newId } from '#kernel';
import { createPkce } from '#oauth';
import { fetchOver } from '../support/fetching.ts';
import { formOf } from '../support/issuing.ts';
import { openPeople, testIssuer } from '../support/people.ts';
import { type Published, type Publisher, startPublisher } from '../support/publishing.ts';
import { openServing, type Received, type Serving, type SignedIn, signedIn } from '../support/serving.ts';

const hour = 3_600_000;
const redirect = 'https://app.example/callback';
const path = '/oauth/client.json';

let publisher: Publisher;
let serving: Serving;
let owner: SignedIn;
let at: Issuing;
let url: string;

beforeAll(async () => {
  publisher = await startPublisher();
});

beforeEach(async () => {
  const people = await openPeople();
  serving = await openServing({ people, issuer: { net: publisher.net(people.clock) } });
  owner = await signedIn(serving);
  at = await serving.issuer.at(undefined);
  publisher.pages.clear();
  publisher.seen.splice(0);
  url = `${publisher.origin}${path}`;
});

const document = (changes: Readonly<Record<string, unknown>> = {}) => ({
  client_id: url,
  client_name: 'An editor',
  redirect_uris: [redirect],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
  ...changes,
});

const publish = (changes: Readonly<Record<string, unknown>> = {}, more: Omit<Published, 'body'> = {}) =>
  publisher.pages.set(path, { body: document(changes), ...more });

const browsing = () => ({ session: owner.session, binding: 'the browser', address: '127.0.0.1' });
const { challenge, verifier } = createPkce();

function ask(more: Readonly<Record<string, string>> = {}): Promise<Authorization> {
  const asked = { response_type: 'code', client_id: url, redirect_uri: redirect, scope: 'openid', ...more };
  return serving.issuer.authorize(at, formOf({ ...asked, code_challenge: challenge, code_challenge_method: 'S256' }), browsing());
}

/** The page that people see instead of a redirect. */
async function page(id = url): Promise<Received> {
  const asked = { response_type: 'code', client_id: id, redirect_uri: redirect, code_challenge: challenge, code_challenge_method: 'S256' };
  return serving.send({ path: `/authorize?${formOf(asked)}`, headers: { accept: 'text/html' } });
}

async function code(more: Readonly<Record<string, string>> = {}): Promise<string> {
  let answer = await ask(more);
  if (answer.kind === 'consent') answer = await serving.issuer.answer(at, answer.transaction, browsing(), 'all');
  return new URL(answer.kind === 'redirect' ? answer.to : 'x:').searchParams.get('code') ?? JSON.stringify(answer);
}

const token = (parameters: Readonly<Record<string, string>>) =>
  serving.send({
    method: 'POST',
    path: '/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: formOf({ client_id: url, ...parameters }),
  });
const redeem = async (more: Readonly<Record<string, string>> = {}) =>
  token({ grant_type: 'authorization_code', code: await code(), code_verifier: verifier.reveal(), redirect_uri: redirect, ...more });
const claimsOf = (jwt: unknown) =>
  JSON.parse(Buffer.from(String(jwt).split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
const find = () => serving.issuer.clients.find(owner.user.organization, url);

let jti = 0;
const asserted = async (key: KeyObject) => ({
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  client_assertion: await new SignJWT({})
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(url)
    .setSubject(url)
    .setAudience(testIssuer)
    .setJti(`jti-${jti++}`)
    .setIssuedAt(Math.floor(serving.people.clock.now() / 1000))
    .setExpirationTime(Math.floor(serving.people.clock.now() / 1000) + 60)
    .sign(key),
});

describe('a client whose id is the URL of its document', () => {
  test('is announced in the metadata, unless nobody but administrators brings clients', async () => {
    const metadata = async (from: Serving) => (await from.send({ path: '/.well-known/oauth-authorization-server' })).json();
    expect((await metadata(serving)).client_id_metadata_document_supported).toBe(true);
    const people = await openPeople();
    const closed = await openServing({ people, issuer: { registration: 'off', net: publisher.net(people.clock) } });
    await signedIn(closed);
    expect((await metadata(closed)).client_id_metadata_document_supported).toBeUndefined();
  });

  test('gets tokens that name it by this very URL, and refreshes', async () => {
    publish();
    const answer = await redeem();
    expect(answer.status).toBe(200);
    expect(claimsOf(answer.json().access_token)).toMatchObject({ client_id: url, sub: owner.user.id });
    expect(claimsOf(answer.json().id_token).aud).toBe(url);
    const refreshed = await token({ grant_type: 'refresh_token', refresh_token: String(answer.json().refresh_token) });
    expect(refreshed.status).toBe(200);
    expect(await find()).toMatchObject({ id: url, source: 'document', name: 'An editor' });
  });

  test('is written down only once a person agreed to it', async () => {
    publish();
    await ask();
    expect(await find()).toBeUndefined();
    await code();
    expect(await find()).toBeDefined();
  });

  test('goes on with what it was given when its document is gone: its tokens stay readable', async () => {
    publish();
    const answer = (await redeem()).json();
    publisher.pages.clear();
    await serving.people.pass(25 * hour);
    const refreshed = await token({ grant_type: 'refresh_token', refresh_token: String(answer.refresh_token) });
    expect(refreshed.status).toBe(200);
    const userinfo = { path: '/userinfo', headers: { authorization: `Bearer ${String(refreshed.json().access_token)}` } };
    expect((await serving.send(userinfo)).status).toBe(200);
  });

  test('may have a URL of 512 characters: it is known, pushes, and proves itself by it', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const long = `/${'x'.repeat(511 - publisher.origin.length)}`;
    url = publisher.origin + long;
    publisher.pages.set(long, { body: document() });
    expect((await redeem()).status).toBe(200);
    const asked = { response_type: 'code', client_id: url, code_challenge: challenge, code_challenge_method: 'S256' };
    const form = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: formOf(asked) };
    expect((await serving.send({ ...form, path: '/par' })).status).toBe(201);
    expect((await serving.send({ ...form, path: '/authorize' })).status).toBe(303);
    const keyed = document({ token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [await exportJWK(publicKey)] } });
    publisher.pages.set(long, { body: keyed });
    await serving.people.pass(2 * hour);
    expect((await redeem(await asserted(privateKey))).status).toBe(200);
  });

  test('has a copy of its own in each organization', async () => {
    publish();
    await code();
    const other = await serving.issuer.clients.find(newId('org'), url);
    expect(other).toBeUndefined();
  });

  test('is refused for good once an administrator removed it, and its tokens at once', async () => {
    publish();
    const { access_token: access } = (await redeem()).json();
    await serving.issuer.clients.remove(owner.session.principal, url);
    const userinfo = { path: '/userinfo', headers: { authorization: `Bearer ${String(access)}` } };
    expect((await serving.send(userinfo)).status).toBe(401);
    expect((await page()).status).toBe(400);
    await serving.people.pass(101 * 24 * hour);
    await serving.issuer.sweep();
    expect((await page()).status).toBe(400);
  });

  test('is forgotten when nobody uses it, and may come again', async () => {
    publish();
    await code();
    await serving.people.pass(101 * 24 * hour);
    await serving.issuer.sweep();
    expect(await find()).toBeUndefined();
    owner = { ...owner, session: { ...owner.session, authenticatedAt: serving.people.clock.now() } };
    expect((await ask()).kind).toBe('consent');
  });
});

describe('the URL', () => {
  test.each([
    ['over http', () => url.replace('https:', 'http:')],
    ['without a path', () => publisher.origin],
    ['with an empty path', () => `${publisher.origin}/`],
    ['with a fragment', () => `${url}#x`],
    ['with user information', () => url.replace('https://', 'https://user@')],
    ['with dot segments', () => `${publisher.origin}/x/../oauth/client.json`],
    ['with encoded dot segments', () => `${publisher.origin}/x/%2e%2e/oauth/client.json`],
    ['spelled in another way', () => url.replace('client.example', 'CLIENT.example')],
    ['of more than 512 characters', () => `${publisher.origin}/${'x'.repeat(500)}`],
  ])('%s is no client, and nothing is fetched', async (_, spelled) => {
    publish();
    expect((await page(spelled())).status).toBe(400);
    expect(publisher.seen).toEqual([]);
  });
});

describe('the document', () => {
  const cases: readonly (readonly [string, () => Published])[] = [
    ['that names another URL', () => ({ body: document({ client_id: `${url}?x` }) })],
    ['that names none', () => ({ body: document({ client_id: undefined }) })],
    ['that is not there', () => ({ status: 404, body: document() })],
    ['that is another success than 200', () => ({ status: 203, body: document() })],
    ['that is elsewhere', () => ({ status: 302, headers: { location: `${publisher.origin}/other.json` } })],
    ['that is a page', () => ({ headers: { 'content-type': 'text/html' }, body: document() })],
    ['that is no JSON', () => ({ body: '{' })],
    ['that is a list', () => ({ body: [document()] })],
    ['that is larger than 5 KB', () => ({ body: document({ padding: 'x'.repeat(5_200) }) })],
    ['with a shared secret', () => ({ body: document({ token_endpoint_auth_method: 'client_secret_post' }) })],
    ['that holds a secret', () => ({ body: document({ client_secret: 'x' }) })],
    ['that says when a secret ends', () => ({ body: document({ client_secret_expires_at: 0 }) })],
    ['without a redirect URI', () => ({ body: document({ redirect_uris: [] }) })],
    ['with none that can be used', () => ({ body: document({ redirect_uris: ['javascript:alert(1)', 'http://app.example/'] }) })],
    ['for client credentials alone', () => ({ body: document({ grant_types: ['client_credentials'] }) })],
    ['that proves itself by keys it does not name', () => ({ body: document({ token_endpoint_auth_method: 'private_key_jwt' }) })],
  ];

  test.each(cases)('%s is refused on a page of ours, never by a redirect, and is asked for again', async (_, published) => {
    publisher.pages.set(path, published());
    publisher.pages.set('/other.json', { body: document() });
    const refused = await page();
    expect([refused.status, refused.headers.location]).toEqual([400, undefined]);
    expect(publisher.seen).toEqual([path]);
    publish();
    expect((await ask()).kind).toBe('consent');
  });

  test('at an address of special use is not fetched, whatever its name says', async () => {
    const elsewhere = `https://inner.example:${publisher.port}${path}`;
    publisher.pages.set(path, { body: document({ client_id: elsewhere }) });
    expect((await page(elsewhere)).status).toBe(400);
    for (const host of ['127.0.0.1', '169.254.169.254', '[::1]', '[::ffff:127.0.0.1]', '10.0.0.1'])
      expect((await page(`https://${host}:${publisher.port}${path}`)).status, host).toBe(400);
    expect(publisher.seen).toEqual([]);
  });

  test('is kept as long as its headers say, within a minute and a day', async () => {
    publish({}, { headers: { 'cache-control': 'max-age=600' } });
    for (let i = 0; i < 3; i++) await ask();
    expect(publisher.seen).toHaveLength(1);
    await serving.people.pass(601_000);
    await ask();
    expect(publisher.seen).toHaveLength(2);
    publish({}, { headers: { 'cache-control': 'no-store' } });
    await serving.people.pass(601_000);
    await ask();
    await serving.people.pass(59_000);
    await ask();
    expect(publisher.seen).toHaveLength(3);
    await serving.people.pass(2_000);
    await ask();
    expect(publisher.seen).toHaveLength(4);
  });

  test('is read for what it is good for: what other servers take is left out', async () => {
    publish({
      redirect_uris: ['http://localhost/callback', 'http://127.0.0.1/callback', 'app:/callback', redirect],
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      logo_uri: 'data:image/png;base64,x',
      contacts: null,
      scope: 'openid "x"',
      something_else: {},
    });
    for (const uri of ['http://localhost:52000/callback', 'http://127.0.0.1:52000/callback', redirect])
      expect((await ask({ redirect_uri: uri })).kind, uri).toBe('consent');
    await expect(ask({ redirect_uri: 'app:/callback' })).rejects.toMatchObject({ code: 'redirect_unregistered' });
    await expect(ask({ redirect_uri: `${redirect}/` })).rejects.toMatchObject({ code: 'redirect_unregistered' });
  });

  test('says where its sign-out leads and where it hears that a person left, as far as that can be used', async () => {
    publish({
      post_logout_redirect_uris: ['https://app.example/signed-out', 'app:/signed-out'],
      backchannel_logout_uri: `${publisher.origin}/left`,
      frontchannel_logout_uri: 'https://other.example/front',
    });
    await code();
    expect((await find())?.logout).toMatchObject({
      redirectUris: ['https://app.example/signed-out'],
      backchannelUri: `${publisher.origin}/left`,
    });
    expect((await find())?.logout?.frontchannelUri).toBeUndefined();
  });

  test('of one host is fetched 30 times a minute at most', async () => {
    publisher.pages.set(path, { status: 500 });
    const answers = [];
    for (let i = 0; i < 31; i++) answers.push((await page()).status);
    expect([answers.slice(0, 30), answers[30]]).toEqual([Array(30).fill(400), 429]);
    expect(publisher.seen).toHaveLength(30);
  });
});

describe('the person', () => {
  const shown = async () => {
    const cookie = `${owner.cookie}; __Host-gatehouse_browser=${'b'.repeat(32)}`;
    const asked = { response_type: 'code', client_id: url, code_challenge: challenge, code_challenge_method: 'S256', scope: 'openid' };
    const begun = await serving.send({ path: `/authorize?${formOf(asked)}`, headers: { cookie } });
    return serving.send({ path: String(begun.headers.location), headers: { cookie, accept: 'text/html' } });
  };

  test('is shown the host that publishes the client, where the answer goes, and that nobody checked the name', async () => {
    publish({ client_name: 'Your bank' });
    const { status, text } = await shown();
    expect(status).toBe(200);
    expect(text).toContain('client.example');
    expect(text).toContain('app.example');
    expect(text).toContain('Nobody here has checked this client');
    expect(text).not.toContain('any program there could call itself by this name');
  });

  test('is warned of a client that runs on their machine only', async () => {
    publish({ redirect_uris: ['http://localhost/callback'] });
    expect((await shown()).text).toContain('any program there could call itself by this name');
  });

  test('is not asked again, until the document changes', async () => {
    publish({}, { headers: { 'cache-control': 'max-age=60' } });
    await code();
    expect((await ask()).kind).toBe('redirect');
    publish({ client_name: 'Another name' });
    await serving.people.pass(61_000);
    expect((await ask()).kind).toBe('consent');
    publish({ jwks: { keys: [generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })] } });
    await serving.people.pass(2 * hour);
    expect((await ask()).kind).toBe('consent');
  });

  test('answers what they saw, whatever the document has become', async () => {
    publish({}, { headers: { 'cache-control': 'no-store' } });
    const asked = await ask();
    publish({ client_name: 'Another name' });
    await serving.people.pass(2 * 60_000);
    await serving.issuer.answer(at, asked.kind === 'consent' ? asked.transaction : '', browsing(), 'all');
    expect((await find())?.name).toBe('An editor');
    expect((await ask()).kind).toBe('consent');
  });
});

describe('a client that proves itself by keys', () => {
  const keyPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwks = async (...keys: readonly KeyObject[]) => ({ keys: await Promise.all(keys.map((key) => exportJWK(key))) });

  test('has them fetched from its jwks_uri, and again when it signs by a new one', async () => {
    const [first, second] = [keyPair(), keyPair()];
    publish({ token_endpoint_auth_method: 'private_key_jwt', jwks_uri: `${publisher.origin}/jwks.json` });
    publisher.pages.set('/jwks.json', { body: await jwks(first.publicKey), headers: { 'cache-control': 'max-age=3600' } });
    expect((await redeem(await asserted(first.privateKey))).status).toBe(200);
    expect((await redeem(await asserted(second.privateKey))).status).toBe(401);
    publisher.pages.set('/jwks.json', { body: await jwks(second.publicKey), headers: { 'cache-control': 'max-age=3600' } });
    await serving.people.pass(61_000);
    expect((await redeem(await asserted(second.privateKey))).status).toBe(200);
    expect((await redeem(await asserted(first.privateKey))).status).toBe(401);
    expect((await redeem()).status).toBe(401);
  });

  test('signs its requests by a new one as well', async () => {
    const [first, second] = [keyPair(), keyPair()];
    const rotated = async (key: KeyObject) =>
      publisher.pages.set('/jwks.json', { body: await jwks(key), headers: { 'cache-control': 'max-age=3600' } });
    const signed = async (key: KeyObject) => {
      const now = Math.floor(serving.people.clock.now() / 1000);
      const pkce = { code_challenge: challenge, code_challenge_method: 'S256' };
      const claims = { client_id: url, response_type: 'code', redirect_uri: redirect, ...pkce, iss: url, aud: testIssuer, exp: now + 60 };
      const request = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'oauth-authz-req+jwt' }).sign(key);
      return serving.issuer.authorize(at, formOf({ client_id: url, request }), browsing());
    };
    publish({ jwks_uri: `${publisher.origin}/jwks.json` });
    await rotated(first.publicKey);
    expect((await signed(first.privateKey)).kind).toBe('consent');
    await rotated(second.publicKey);
    expect((await signed(second.privateKey)).kind).toBe('consent');
    await expect(signed(first.privateKey)).rejects.toMatchObject({ code: 'request_object_invalid' });
  });

  test('is met, and proves itself, while strangers use up what is fetched for them from its host', async () => {
    const { publicKey, privateKey } = keyPair();
    const brief = { headers: { 'cache-control': 'max-age=60' } };
    publish({ token_endpoint_auth_method: 'private_key_jwt', jwks_uri: `${publisher.origin}/jwks.json` }, brief);
    publisher.pages.set('/jwks.json', { body: await jwks(publicKey), ...brief });
    expect((await redeem(await asserted(privateKey))).status).toBe(200);
    await serving.people.pass(61_000);
    const strangers = [];
    for (let i = 0; i < 31; i++) strangers.push((await page(`${publisher.origin}/none/${i}.json`)).status);
    expect(strangers.at(-1)).toBe(429);
    expect((await redeem(await asserted(privateKey))).status).toBe(200);
  });

  test('proves itself also by keys that are too long to be kept', async () => {
    const { publicKey, privateKey } = keyPair();
    publish({ token_endpoint_auth_method: 'private_key_jwt', jwks_uri: `${publisher.origin}/jwks.json` });
    const key = JSON.stringify({ ...(await exportJWK(publicKey)), more: [] }).replace('[]', `[${Array(8_000).fill('1e20')}]`);
    publisher.pages.set('/jwks.json', { body: `{"keys":[${key}]}` });
    for (let i = 0; i < 2; i++) expect((await redeem(await asserted(privateKey))).status).toBe(200);
  });

  test('proves nothing by keys that cannot be fetched', async () => {
    const { privateKey } = keyPair();
    publish({ token_endpoint_auth_method: 'private_key_jwt', jwks_uri: `${publisher.origin}/none.json` });
    expect((await redeem(await asserted(privateKey))).status).toBe(401);
  });
});

describe('the MCP SDK', () => {
  test('connects by its document, without registering', async () => {
    const seen: string[] = [];
    let information: OAuthClientInformationMixed | undefined;
    let tokens: OAuthTokens | undefined;
    let sent: URL | undefined;
    let verifying = '';
    publish();
    const provider: OAuthClientProvider = {
      clientMetadataUrl: url,
      redirectUrl: redirect,
      clientMetadata: { redirect_uris: [redirect], client_name: 'An editor' },
      clientInformation: () => information,
      saveClientInformation: (given) => {
        information = given;
      },
      tokens: () => tokens,
      saveTokens: (given) => {
        tokens = given;
      },
      redirectToAuthorization: (to) => {
        sent = to;
      },
      saveCodeVerifier: (given) => {
        verifying = given;
      },
      codeVerifier: () => verifying,
    };
    const over = fetchOver(serving);
    const fetchFn: typeof fetch = (input, init) => {
      seen.push(new URL(String(input)).pathname);
      return over(input, init);
    };
    expect(await auth(provider, { serverUrl: testIssuer, fetchFn })).toBe('REDIRECT');
    expect(seen).not.toContain('/register');
    const asked = await serving.issuer.authorize(at, sent?.search.slice(1) ?? '', browsing());
    const answer = asked.kind === 'consent' ? await serving.issuer.answer(at, asked.transaction, browsing(), 'all') : asked;
    const authorizationCode = new URL(answer.kind === 'redirect' ? answer.to : 'x:').searchParams.get('code') ?? '';
    const params = answer.kind === 'redirect' ? { iss: new URL(answer.to).searchParams.get('iss') ?? '' } : {};
    expect(await auth(provider, { serverUrl: testIssuer, authorizationCode, ...params, fetchFn })).toBe('AUTHORIZED');
    expect(claimsOf(tokens?.access_token)).toMatchObject({ client_id: url });
  });
});
