import { beforeAll, describe, expect, test } from 'vitest';
import { createPkce } from '#oauth';
import { type Authorizing, answerIn, claimsOf, openAuthorizing } from '../support/authorizing.ts';
import { api, basic, callback, faultOf, formOf, openIssuance, type Registered } from '../support/issuing.ts';
import { count } from '../support/need.ts';
import { openPeople, testIssuer } from '../support/people.ts';

const other = 'https://other.example/';
/** Of many browsers at once with one reference. */
const rounds = count(5, 1_000);
let at: Authorizing;
let client: Registered;

beforeAll(async () => {
  at = await openAuthorizing();
  client = await at.add();
});

const push = (more: Parameters<Authorizing['asked']>[1] = {}, by = client) => at.push(by, at.asked(by, more));
const pushed = async (more?: Parameters<Authorizing['asked']>[1], by = client) => String((await push(more, by)).json().request_uri);

describe('a pushed authorization request (RFC 9126)', () => {
  test('is answered with 201, a reference nobody can guess and its life, uncached (§2.2)', async () => {
    const answer = await push();
    expect(answer.status).toBe(201);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.json()).toEqual({
      request_uri: expect.stringMatching(/^urn:ietf:params:oauth:request_uri:[\w-]{43}$/),
      expires_in: 60,
    });
  });

  test('leads to a code with client_id and request_uri alone, and the code to tokens (§4)', async () => {
    const to = await at.through(await at.open({ client_id: client.id, request_uri: await pushed({ scope: 'openid things:read' }) }));
    expect(answerIn(to)).toMatchObject({ state: 'a b', iss: testIssuer });
    const tokens = await at.redeem(client, String(to.searchParams.get('code')));
    expect(tokens.json()).toMatchObject({ scope: 'openid things:read' });
  });

  test('is what counts: other parameters in the browser are ignored (§4)', async () => {
    const request_uri = await pushed({ scope: 'things:read' });
    const begun = await at.open({
      ...at.asked(client),
      request_uri,
      scope: 'things:write',
      state: 'other',
      redirect_uri: 'https://evil.example/',
    });
    const to = await at.through(begun);
    expect([to.origin + to.pathname, to.searchParams.get('state')]).toEqual([callback, 'a b']);
    expect((await at.redeem(client, String(to.searchParams.get('code')))).json()).toMatchObject({ scope: 'things:read' });
  });

  test('takes a client that proves who it is, as at the token endpoint (§2)', async () => {
    const refused = await at.form('/par', at.asked(client), { authorization: basic({ ...client, secret: 'wrong' }) });
    expect([refused.status, refused.json().error]).toEqual([401, 'invalid_client']);
    expect((await at.form('/par', at.asked(client))).json().error).toBe('invalid_client');
    const asPost = await at.form('/par', { ...at.asked(client), client_secret: client.secret });
    expect(asPost.status).toBe(201);
  });

  test('serves a client without a secret too, 200 times in a quarter of an hour from one address', async () => {
    const own = await openAuthorizing();
    const app = await own.add({ authentication: 'none', grantTypes: ['authorization_code'] });
    const bare = () => own.form('/par', own.asked(app));
    expect((await bare()).status).toBe(201);
    for (let count = 2; count <= 200; count++) await bare();
    expect((await bare()).status).toBe(429);
  });

  test('is refused when it holds a request_uri (§2.1)', async () => {
    const answer = await push({ request_uri: await pushed() });
    expect([answer.status, answer.json().error]).toEqual([400, 'invalid_request']);
  });

  test('is refused where it is too long to be kept, as one is that a browser posts', async () => {
    for (const length of [50_000, 60_000]) {
      const answer = await push({ state: 'x'.repeat(length) });
      expect([answer.status, answer.json().error]).toEqual([400, 'invalid_request']);
      expect((await at.form('/authorize', at.asked(client, { state: 'x'.repeat(length) }))).status).toBe(400);
    }
    expect((await push({ state: 'x'.repeat(40_000) })).status).toBe(201);
  });

  test('is POST of a form only (§2)', async () => {
    expect((await at.serving.send({ path: '/par' })).status).toBe(405);
    const json = await at.form('/par', at.asked(client), { authorization: basic(client), 'content-type': 'application/json' });
    expect(json.json().error).toBe('invalid_request');
  });

  test.each([
    ['an unregistered redirect URI', { redirect_uri: 'https://evil.example/' }, 'invalid_request'],
    ['no challenge', { code_challenge: '' }, 'invalid_request'],
    ['the challenge of another method', { code_challenge_method: 'plain' }, 'invalid_request'],
    ['another response type', { response_type: 'token' }, 'unsupported_response_type'],
    ['a scope it may not have', { scope: 'everything' }, 'invalid_scope'],
    ['a resource it may not have', { resource: 'https://evil.example/' }, 'invalid_target'],
    ['an unknown prompt', { prompt: 'sometimes' }, 'invalid_request'],
    ['a parameter twice', { state: ['a', 'b'] }, 'invalid_request'],
  ])('is refused at once, and not in the browser, for %s (§2.3)', async (_, wrong, error) => {
    const answer = await push(wrong);
    expect([answer.status, answer.json().error]).toEqual([400, error]);
    expect(answer.headers.location).toBeUndefined();
  });

  test('is good once: a second use ends on a page of ours with the right error, never a redirect (§4, §7.3)', async () => {
    const request_uri = await pushed();
    expect((await at.open({ client_id: client.id, request_uri })).status).toBe(303);
    const again = await at.open({ ...at.asked(client), request_uri });
    expect([again.status, again.headers.location]).toEqual([400, undefined]);
    expect(again.text).toContain('was used, has expired');
  });

  test('gives 50 browsers that bring one reference at once a single request', async () => {
    const request_uri = await pushed();
    const tries = await Promise.all(Array.from({ length: 50 }, () => at.open({ client_id: client.id, request_uri })));
    expect(tries.filter(({ status }) => status === 303).length).toBe(1);
    expect(tries.filter(({ status }) => status === 400).length).toBe(49);
  });

  test(`gives one code to 50 browsers at two servers at once, in ${rounds} rounds`, async () => {
    const one = await openIssuance();
    const other = await openIssuance(one.people, undefined, one.session);
    const app = await one.add();
    await one.code(app, { scope: 'openid' });
    const { challenge } = createPkce();
    const asked = { response_type: 'code', client_id: app.id, redirect_uri: callback, scope: 'openid' };
    const parameters = formOf({ ...asked, code_challenge: challenge, code_challenge_method: 'S256' });
    for (let round = 0; round < rounds; round++) {
      const { requestUri } = await one.issuer.push(one.at, { parameters, authorization: basic(app) }, '192.0.2.1');
      const query = formOf({ client_id: app.id, request_uri: requestUri });
      const browsing = { session: one.session, binding: 'a browser', address: '192.0.2.1' };
      const tries = await Promise.allSettled(
        Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? one : other).issuer.authorize(one.at, query, browsing)),
      );
      expect(tries.filter(({ status }) => status === 'fulfilled').length).toBe(1);
    }
  }, 600_000);

  test('expires after 60 seconds (§4)', async () => {
    const request_uri = await pushed();
    await at.serving.people.pass(60_000);
    expect((await at.open({ client_id: client.id, request_uri })).status).toBe(400);
  });

  test('is of its client alone: another one finds nothing, and does not spend it (§2.2, §7.2)', async () => {
    const stranger = await at.add();
    const request_uri = await pushed();
    expect((await at.open({ client_id: stranger.id, request_uri })).status).toBe(400);
    expect((await at.open({ client_id: client.id, request_uri })).status).toBe(303);
  });

  test('keeps every value of resource, in order, through the push, sign-in and the token (RFC 8707 §2)', async () => {
    const resource = [other, api];
    const begun = await at.open({ client_id: client.id, request_uri: await pushed({ resource, scope: 'things:read' }) });
    const code = String((await at.through(begun)).searchParams.get('code'));
    const tokens = (await at.redeem(client, code)).json();
    expect(claimsOf(tokens.access_token).aud).toEqual(resource);
  });

  test('makes one grant, also where it was forgotten that its reference was used, and a second ends the first', async () => {
    const people = await openPeople();
    const { ephemera } = people.store;
    const isPush = (key: string) => key.startsWith('pushed_request:');
    const forgetful = { ...ephemera, take: (key: string) => (isPush(key) ? ephemera.get(key) : ephemera.take(key)) };
    const own = await openIssuance({ ...people, store: { ...people.store, ephemera: forgetful } });
    const app = await own.add();
    const { challenge, verifier } = createPkce();
    const asked = { response_type: 'code', redirect_uri: callback, code_challenge: challenge, code_challenge_method: 'S256' };
    const request = { parameters: formOf({ ...asked, client_id: app.id, scope: 'openid' }), authorization: basic(app) };
    const { requestUri } = await own.issuer.push(own.at, request, '127.0.0.1');
    const redeem = async () => {
      const { code } = await own.code(app, { request_uri: requestUri });
      return own.token(app, { grant_type: 'authorization_code', code, code_verifier: verifier.reveal(), redirect_uri: callback });
    };
    const first = await redeem();
    expect(await faultOf(redeem())).toBe('grant_invalid');
    expect(await own.active(app, first.accessToken.reveal())).toBe(false);
  });

  test('lies sealed, as does the request that waits for its person', async () => {
    const people = await openPeople();
    const { ephemera } = people.store;
    const seen: string[] = [];
    const put = (key: string, value: string, ttl: number) => ephemera.put(key, value, ttl + 0 * seen.push(value));
    const own = await openIssuance({ ...people, store: { ...people.store, ephemera: { ...ephemera, put } } });
    const app = await own.add();
    const canary = { login_hint: 'canary@example.com', scope: 'openid' };
    const asked = at.asked(app, canary);
    const { requestUri } = await own.issuer.push(own.at, { parameters: formOf(asked), authorization: basic(app) }, '127.0.0.1');
    await own.code(app, { request_uri: requestUri });
    expect(seen.length).toBeGreaterThan(2);
    expect(seen.map((value) => Buffer.from(value, 'base64url').toString('latin1') + value).join()).not.toMatch(/canary/);
  });
});

describe('a client that is registered to push its requests (RFC 9126 §6)', () => {
  test('is refused without a push, at its redirect URI with state and iss', async () => {
    const strict = await at.add({ requirePushedAuthorizationRequests: true });
    const bare = new URL(String((await at.open(at.asked(strict))).headers.location));
    expect(answerIn(bare)).toMatchObject({ error: 'invalid_request', state: 'a b', iss: testIssuer });
    const to = await at.through(await at.open({ client_id: strict.id, request_uri: await pushed({}, strict) }));
    expect(answerIn(to).code).toBeDefined();
  });
});

test('the metadata names the endpoint (RFC 9126 §5)', async () => {
  const metadata = (await at.serving.send({ path: '/.well-known/oauth-authorization-server' })).json();
  expect(metadata).toMatchObject({ pushed_authorization_request_endpoint: `${testIssuer}/par` });
});
