import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { bearerValue } from '#oauth';
import { sha256 } from '#store';
import { type Authorizing, openAuthorizing } from '../support/authorizing.ts';
import { giveUpstream, type IdentityProvider, startIdentityProvider, upstreamDraft } from '../support/identity-provider.ts';
import { basic, callback, formOf, type Registered } from '../support/issuing.ts';
import { signInAgain, tokensOf } from '../support/logging-out.ts';
import { completeTestSetup, openPeople, testIssuer } from '../support/people.ts';
import { type Publisher, startPublisher } from '../support/publishing.ts';
import { openServing, type Received, type Serving } from '../support/serving.ts';

const hour = 3_600_000;
const runs = { numRuns: 30 };

let at: Authorizing;
let client: Registered;
let signer: Signer;

/** A client that proves itself by a key, and whatever that key signs. */
interface Signer {
  readonly id: string;
  jws(header: unknown, payload: unknown): string;
}

beforeAll(async () => {
  at = await openAuthorizing();
  const grantTypes = [
    'authorization_code',
    'refresh_token',
    'client_credentials',
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:ietf:params:oauth:grant-type:jwt-bearer',
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'urn:openid:params:grant-type:ciba',
  ] as const;
  client = await at.add({ grantTypes });
  const { privateKey, publicKey } = newKeys();
  const jwks = [{ ...publicKey.export({ format: 'jwk' }) }];
  const { id } = await at.add({ authentication: 'private_key_jwt', jwks, grantTypes: ['client_credentials'] });
  signer = { id, jws: (header, payload) => signedBy(privateKey, header, payload) };
});
// What earlier requests used up of any limit is there again.
afterEach(() => at.serving.people.pass(hour));

const newKeys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const encoded = (value: unknown) => Buffer.from(JSON.stringify(value) ?? '').toString('base64url');

/** Whatever the header says, and however little of it a library would sign. */
function signedBy(key: KeyObject, header: unknown, payload: unknown): string {
  const text = `${encoded(header)}.${encoded(payload)}`;
  return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

/** An answer of the standard, for whatever came. */
function answers(answer: Received, ...statuses: readonly number[]): void {
  expect(statuses, answer.text).toContain(answer.status);
  if (answer.status >= 400) expect(answer.json().error).toMatch(/^[a-z_]+$/);
}

const text = fc.oneof(fc.string({ maxLength: 60 }), fc.string({ unit: 'binary', maxLength: 60 }));
const part = text.map((one) => Buffer.from(one).toString('base64url'));
const compact = fc.array(part, { maxLength: 5 }).map((parts) => parts.join('.'));
const claims = ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'htm', 'htu', 'ath', 'nonce', 'sid', 'client_id', 'cnf'];
const time = fc.constantFrom(-1, 0, 1e20, Number.MAX_SAFE_INTEGER, '1', null);
const claimSet = fc.dictionary(fc.constantFrom(...claims), fc.oneof(fc.jsonValue({ maxDepth: 3 }), time), { maxKeys: 4 });
const headers = fc.dictionary(
  fc.constantFrom('typ', 'alg', 'kid', 'crit', 'jwk', 'jku', 'x5c', 'b64', 'zip', 'cty'),
  fc.jsonValue({ maxDepth: 3 }),
  {
    maxKeys: 3,
  },
);
const deep = fc.constantFrom('['.repeat(4_000), '{"a":'.repeat(4_000), '%'.repeat(4_000), '.'.repeat(4_000));

describe('the header of a client that sends its secret', () => {
  const show = (authorization: string) => at.form('/token', { grant_type: 'client_credentials' }, { authorization });
  const pair = fc.tuple(text, text).map(([id, secret]) => Buffer.from(`${id}:${secret}`).toString('base64'));
  const header = fc.oneof(
    pair.map((one) => `Basic ${one}`),
    pair.map((one) => `basic ${one}====`),
    fc.string({ maxLength: 80 }).map((one) => `Basic ${one.trim()}`),
    fc.string({ maxLength: 80 }).map((one) => one.trim()),
    fc.constantFrom('Basic', 'Basic ', 'Basic :', `Basic ${btoa('%:%')}`, `Basic ${btoa(':')}`, 'Bearer x', 'DPoP x'),
  );

  test('is read, or refused as invalid_client', async () => {
    await fc.assert(
      fc.asyncProperty(header, async (one) => answers(await show(one), 400, 401)),
      runs,
    );
  });
});

const endpoints: readonly (readonly [string, readonly string[], readonly number[]])[] = [
  ['/token', ['grant_type', 'code', 'code_verifier', 'redirect_uri', 'refresh_token', 'device_code', 'auth_req_id'], [200, 400, 401]],
  ['/token', ['assertion', 'subject_token', 'subject_token_type', 'actor_token', 'requested_token_type', 'audience'], [200, 400, 401]],
  ['/introspect', ['token', 'token_type_hint', 'client_id', 'client_secret'], [200, 400, 401]],
  ['/revoke', ['token', 'token_type_hint', 'client_id', 'client_secret'], [200, 400, 401]],
  ['/device_authorization', ['scope', 'resource', 'client_id', 'authorization_details'], [200, 400, 401, 429]],
  ['/backchannel-authentication', ['scope', 'login_hint', 'id_token_hint', 'login_hint_token', 'binding_message'], [200, 400, 401, 429]],
  ['/backchannel-authentication', ['requested_expiry', 'acr_values', 'user_code', 'request', 'resource'], [200, 400, 401, 429]],
];
const grantTypes = ['authorization_code', 'refresh_token', 'client_credentials'].concat(
  ['device_code', 'jwt-bearer', 'token-exchange'].map((name) => `urn:ietf:params:oauth:grant-type:${name}`),
  'urn:openid:params:grant-type:ciba',
);
const tokenTypes = ['access_token', 'id_token', 'jwt', 'x'].map((name) => `urn:ietf:params:oauth:token-type:${name}`);

describe.each(endpoints)('a form to %s', (path, names, statuses) => {
  const value = fc.oneof(text, fc.json({ maxDepth: 5 }), compact, deep, fc.constantFrom(...grantTypes, ...tokenTypes, testIssuer));
  const known = fc.dictionary(fc.constantFrom(...names, 'scope', 'resource', 'client_assertion', 'client_assertion_type'), value, {
    maxKeys: 5,
  });
  const usual = { scope: 'openid', login_hint: 'ada@example.com' };

  test(`with whatever ${names.join(', ')} gets what it asks for or an error of OAuth`, async () => {
    const run = async (fields: Readonly<Record<string, string>>, grant_type: string) =>
      answers(await at.form(path, { ...usual, grant_type, ...fields }, { authorization: basic(client) }), ...statuses);
    await fc.assert(fc.asyncProperty(known, fc.constantFrom(...grantTypes), run), runs);
  });

  test('of whatever bytes is no failure of ours', async () => {
    const run = async (body: Uint8Array | string) => {
      const type = { 'content-type': 'application/x-www-form-urlencoded', authorization: basic(client) };
      answers(await at.serving.send({ method: 'POST', path, headers: type, body }), ...statuses);
    };
    await fc.assert(fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.string({ unit: 'binary' }), deep), run), {
      numRuns: 30,
    });
  });
});

describe('a signed proof', () => {
  const present = (client_assertion: string) =>
    at.form('/token', {
      grant_type: 'client_credentials',
      client_assertion,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    });

  test('of a client, by its own key, with whatever header and claims, lets it in or does not', async () => {
    const now = Math.floor(at.serving.people.clock.now() / 1000);
    const good = { iss: signer.id, sub: signer.id, aud: testIssuer, iat: now, exp: now + 100 };
    const run = async (header: object, more: object) =>
      answers(await present(signer.jws({ alg: 'ES256', ...header }, { ...good, jti: Math.random().toString(), ...more })), 200, 400, 401);
    await fc.assert(fc.asyncProperty(headers, claimSet, run), runs);
  });

  test.each([5, ['x'], { a: 1 }, null, true, ''])('of a client whose sub is %j is refused', async (sub) => {
    const answer = await present(signer.jws({ alg: 'ES256' }, { iss: signer.id, sub, aud: testIssuer }));
    expect([answer.status, answer.json().error]).toEqual([401, 'invalid_client']);
  });

  test('of an issuer that is trusted, with whatever header and claims, is taken or is an invalid_grant', async () => {
    const { privateKey, publicKey } = newKeys();
    const keys = { kind: 'jwks', keys: [{ ...publicKey.export({ format: 'jwk' }) }] } as const;
    const { people, issuer } = at.serving;
    const by = at.person.session.principal;
    const trust = { issuer: 'https://ci.example', keys, client: client.id, user: undefined, subjects: ['repo:acme/app:*'], claims: {} };
    await people.store.records.in(by.organization).write((tx) => issuer.trustedIssuers.add(tx, by, trust));
    const now = Math.floor(people.clock.now() / 1000);
    const good = { iss: trust.issuer, sub: 'repo:acme/app:main', aud: testIssuer, iat: now, exp: now + 100 };
    const show = async (header: object, more: object) => {
      const assertion = signedBy(privateKey, { alg: 'ES256', ...header }, { ...good, jti: Math.random().toString(), ...more });
      const grant_type = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
      answers(await at.form('/token', { grant_type, assertion }, { authorization: basic(client) }), 200, 400);
    };
    for (const sub of [5, ['job'], { a: 1 }, null]) await show({}, { sub });
    await fc.assert(fc.asyncProperty(headers, claimSet, show), runs);
  });

  test('of a client, of whatever parts, is refused', async () => {
    const run = async (one: string) => answers(await present(one), 400, 401);
    await fc.assert(fc.asyncProperty(fc.oneof(compact, text, deep), run), runs);
  });

  test('of a DPoP key, with whatever header, key and claims, is taken or is an invalid_dpop_proof', async () => {
    const { privateKey, publicKey } = newKeys();
    const jwk = publicKey.export({ format: 'jwk' });
    const good = { htm: 'POST', htu: `${testIssuer}/token`, iat: Math.floor(at.serving.people.clock.now() / 1000) };
    const own = (dpop: string) => at.form('/token', { grant_type: 'client_credentials' }, { authorization: basic(client), dpop });
    const keyParts = fc.dictionary(
      fc.constantFrom('kty', 'crv', 'x', 'y', 'n', 'e', 'd', 'k', 'alg', 'use'),
      fc.oneof(part, fc.jsonValue({ maxDepth: 1 })),
      {
        maxKeys: 3,
      },
    );
    const run = async (header: object, key: object, more: object) => {
      const whole = { typ: 'dpop+jwt', alg: 'ES256', jwk: { ...jwk, ...key }, ...header };
      const answer = await own(signedBy(privateKey, whole, { ...good, jti: Math.random().toString(), ...more }));
      answers(answer, 200, 400);
      if (answer.status === 400) expect(answer.json().error).toBe('invalid_dpop_proof');
    };
    await fc.assert(fc.asyncProperty(headers, keyParts, claimSet, run), runs);
    const whatever = fc
      .oneof(
        compact,
        fc.string({ maxLength: 60 }).map((one) => one.trim()),
      )
      .filter((one) => one !== '');
    await fc.assert(
      fc.asyncProperty(whatever, async (one) => answers(await own(one), 400)),
      runs,
    );
  });
});

const metadataNames = [
  ...[
    'redirect_uris',
    'client_name',
    'client_uri',
    'logo_uri',
    'tos_uri',
    'policy_uri',
    'grant_types',
    'response_types',
    'scope',
    'contacts',
  ],
  ...['token_endpoint_auth_method', 'jwks', 'jwks_uri', 'application_type', 'post_logout_redirect_uris', 'backchannel_logout_uri'],
  ...['software_statement', 'id_token_signed_response_alg', 'dpop_bound_access_tokens', 'authorization_details_types', 'client_id'],
];
const metadataValue = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.webUrl({ withFragments: true, withQueryParameters: true }),
  fc.array(fc.oneof(fc.webUrl(), text), { maxLength: 3 }),
  fc.constantFrom('private_key_jwt', 'client_secret_basic', 'self_signed_tls_client_auth', 'tls_client_auth', 'native', 'RS256'),
  fc.constant({ keys: [{ kty: 'EC', crv: 'P-256', x: '', y: '' }] }),
);
const metadata = fc.dictionary(fc.constantFrom(...metadataNames), metadataValue, { maxKeys: 6 });
const registration = { client_name: 'An editor', redirect_uris: [callback], token_endpoint_auth_method: 'none' };

/** Where a browser may be sent, or a picture or a page be taken from. */
function harmless(uri: unknown): boolean {
  return typeof uri !== 'string' || !/^\s*(javascript|data|vbscript|file|blob|about):/i.test(uri);
}

describe('what a client says of itself', () => {
  let token: string;
  beforeAll(async () => {
    token = bearerValue().reveal();
    const { people, issuer } = at.serving;
    const draft = { name: 'for tests', hash: sha256(token), uses: undefined, expiresAt: undefined };
    const by = at.person.session.principal;
    await people.store.records.in(by.organization).write((tx) => issuer.registrationTokens.add(tx, by, draft));
  });
  const register = (body: string | Uint8Array) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    return at.serving.send({ method: 'POST', path: '/register', headers, body });
  };

  test('is registered or refused, and what is registered leads nowhere harmful', async () => {
    const run = async (more: object) => {
      const answer = await register(JSON.stringify({ ...registration, ...more }));
      answers(answer, 201, 400);
      const stored = Object.entries(answer.json()).filter(([name]) => name.includes('uri'));
      expect(stored.flatMap(([, uri]) => uri).filter((uri) => !harmless(uri))).toEqual([]);
    };
    await fc.assert(fc.asyncProperty(metadata, run), { numRuns: 100 });
  });

  test('is refused where it is no object', async () => {
    const run = async (body: string | Uint8Array) => answers(await register(body), 400);
    const whatever = fc.oneof(
      fc.json({ maxDepth: 3 }).filter((one) => !one.startsWith('{')),
      fc.uint8Array({ maxLength: 100 }),
      deep,
    );
    await fc.assert(fc.asyncProperty(whatever, run), runs);
  });
});

describe('the document of a client', () => {
  let publisher: Publisher;
  let serving: Serving;
  const path = '/client.json';
  beforeAll(async () => {
    publisher = await startPublisher();
    const people = await openPeople();
    serving = await openServing({ people, issuer: { net: publisher.net(people.clock) } });
    await completeTestSetup(people);
  });

  async function open(): Promise<Received> {
    // One host is asked thirty times a minute, and a document is kept for a day at most.
    await serving.people.pass(25 * hour);
    const asked = { response_type: 'code', client_id: publisher.origin + path, redirect_uri: callback, code_challenge: 'a'.repeat(43) };
    return serving.send({ path: `/authorize?${formOf({ ...asked, code_challenge_method: 'S256' })}`, headers: { accept: 'text/html' } });
  }

  test('is read or refused on a page of ours, whatever it holds', async () => {
    const run = async (more: object) => {
      publisher.pages.set(path, { body: { client_id: publisher.origin + path, ...registration, ...more } });
      const answer = await open();
      expect([303, 400]).toContain(answer.status);
      if (answer.status === 303) expect(String(answer.headers.location)).toMatch(/^(\/|https:\/\/app\.example\/callback\?)/);
    };
    await fc.assert(fc.asyncProperty(metadata, run), runs);
  });

  test('is refused where it is no document', async () => {
    const run = async (body: string) => {
      publisher.pages.set(path, { body });
      expect((await open()).status).toBe(400);
    };
    await fc.assert(fc.asyncProperty(fc.oneof(fc.json(), text, deep), run), { numRuns: 30 });
  });
});

describe('a redirect URI', () => {
  const registered = [callback, 'https://app.example/cb?a=1', 'http://127.0.0.1/cb', 'http://localhost/cb', 'com.example.app:/cb'];
  const bits = [
    '/',
    '//',
    '\\',
    '..',
    '@',
    '#',
    '?',
    '%2f',
    '%00',
    '*',
    '.',
    ':',
    ':8080',
    '\t',
    ' ',
    'A',
    'é',
    '。',
    '&a=1',
    'evil.example',
    '[::1]',
  ];
  /** One that is registered, with something put into it at some place. */
  const changed = fc
    .tuple(fc.constantFrom(...registered), fc.nat(40), fc.constantFrom(...bits), fc.boolean())
    .map(([uri, place, bit, over]) => uri.slice(0, place) + bit + uri.slice(place + (over ? bit.length : 0)));
  let app: Registered;
  beforeAll(async () => {
    app = await at.add({ redirectUris: registered });
  });

  test('that is not one of its client’s is never gone to', async () => {
    const run = async (redirect_uri: string) => {
      const answer = await at.open(at.asked(app, { redirect_uri, prompt: 'none' }));
      expect([303, 400]).toContain(answer.status);
      const to = answer.headers.location;
      if (to === undefined) return;
      const loopback = /^http:\/\/(127\.0\.0\.1|localhost)(:\d{1,5})?\/cb\?/.test(String(to));
      expect(loopback || registered.some((uri) => String(to).startsWith(`${uri}${uri.includes('?') ? '&' : '?'}`)), redirect_uri).toBe(
        true,
      );
    };
    await fc.assert(fc.asyncProperty(fc.oneof(changed, text, fc.webUrl()), run), { numRuns: 150 });
  });
});

describe('a request to sign out', () => {
  const ask = (fields: Readonly<Record<string, string>>) =>
    at.serving.send({ path: `/logout?${formOf(fields)}`, headers: { accept: 'text/html', cookie: at.person.cookie } });

  test('of whatever hint and address is answered by a page, and leads nowhere', async () => {
    const again = await signInAgain(at.serving, at.person);
    const hint = (await tokensOf(at.serving, again, client)).id_token;
    const damaged = fc.tuple(fc.nat(hint.length), text).map(([place, one]) => hint.slice(0, place) + one + hint.slice(place + one.length));
    const fields = fc.record(
      {
        id_token_hint: fc.oneof(
          damaged,
          compact,
          text,
          fc.tuple(headers, claimSet).map(([header, payload]) => signer.jws(header, payload)),
        ),
        post_logout_redirect_uri: fc.oneof(text, fc.webUrl()),
        client_id: fc.oneof(text, fc.constant(client.id)),
        logout_hint: text,
        state: text,
        ui_locales: text,
      },
      { requiredKeys: [] },
    );
    const run = async (given: object) => {
      const answer = await ask(given as Readonly<Record<string, string>>);
      expect([200, 400]).toContain(answer.status);
      expect(answer.headers.location).toBeUndefined();
    };
    await fc.assert(fc.asyncProperty(fields, run), runs);
  });
});

describe('an answer of an upstream', () => {
  let idp: IdentityProvider;
  let serving: Serving;
  beforeAll(async () => {
    idp = await startIdentityProvider();
    serving = await openServing({ ports: [idp.port] });
    await completeTestSetup(serving.people);
    await giveUpstream(serving.people, upstreamDraft(idp.issuer));
  });
  const names = ['code', 'state', 'iss', 'error', 'error_description', 'error_uri', 'session_state', 'id_token', 'response'];
  const fields = fc.dictionary(fc.constantFrom(...names), fc.oneof(text, compact, fc.webUrl()), { maxKeys: 5 });
  const back = (query: string, cookie?: string) =>
    serving.send({ path: `/signin/callback/corp?${query}`, headers: { accept: 'text/html', cookie } });

  test('to nobody’s question is refused on a page of ours, whatever it holds', async () => {
    const run = async (query: string) => {
      const answer = await back(query);
      expect([400, 410, 414, 431]).toContain(answer.status);
      expect([answer.headers.location, answer.headers['set-cookie'] ?? []].flat().join()).not.toContain('gatehouse_session');
    };
    const queries = fc.oneof(fields.map(formOf), fc.webQueryParameters(), deep);
    await fc.assert(fc.asyncProperty(queries, run), runs);
  });

  test('to a question of ours, with whatever beside its state, signs nobody in', async () => {
    const run = async (given: Readonly<Record<string, string>>) => {
      const page = await serving.send({ path: '/signin', headers: { accept: 'text/html' } });
      const cookie = [page.headers['set-cookie'] ?? []]
        .flat()
        .map((one) => one.split(';')[0])
        .join('; ');
      const form_token = /name="form_token" value="([^"]+)"/.exec(page.text)?.[1] ?? '';
      const left = await serving.send({
        method: 'POST',
        path: '/signin/upstream',
        headers: { cookie, 'content-type': 'application/x-www-form-urlencoded', origin: testIssuer, 'sec-fetch-site': 'same-origin' },
        body: formOf({ form_token, upstream: 'corp', next: '/' }),
      });
      const state =
        new URL(/content="0;url=([^"]+)"/.exec(left.text)?.[1]?.replaceAll('&amp;', '&') ?? 'x:').searchParams.get('state') ?? '';
      const kept = [left.headers['set-cookie'] ?? []].flat().map((one) => one.split(';')[0]);
      const answer = await back(formOf({ iss: idp.issuer, ...given, state }), [cookie, ...kept].join('; '));
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.text).not.toContain('internal');
      expect([answer.headers['set-cookie'] ?? []].flat().filter((one) => /gatehouse_session=[^;]/.test(one))).toEqual([]);
    };
    await fc.assert(fc.asyncProperty(fields, run), { numRuns: 25 });
  });
});
