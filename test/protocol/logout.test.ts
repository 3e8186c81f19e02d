import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { basic, formOf, type Registered } from '../support/issuing.ts';
import {
  askToken,
  claimsOf,
  hiddenOf,
  openReceiver,
  type Receiver,
  registerClient,
  signInAgain,
  type Tokens,
  tokensOf,
} from '../support/logging-out.ts';
import { createTestUser, testIssuer, testPassword } from '../support/people.ts';
import { openServing, post, type Serving, type SignedIn, signedIn } from '../support/serving.ts';

const after = 'https://app.example/signed-out';
const frame = 'https://app.example/front?of=us';
const event = 'http://schemas.openid.net/event/backchannel-logout';

let receiver: Receiver;
let serving: Serving;
let person: SignedIn;
let app: Registered;
let tokens: Tokens;

const receivers: Receiver[] = [];
afterAll(() => {
  for (const one of receivers) one.close();
});

beforeEach(async () => {
  receiver = await openReceiver();
  receivers.push(receiver);
  serving = await openServing({ ports: [receiver.port] });
  person = await signedIn(serving);
  const logout = { redirectUris: [after], backchannelUri: receiver.uri, backchannelSessionRequired: true };
  const scopes = ['openid', 'email', 'offline_access'];
  app = await registerClient(serving, person, { logout, scopes });
  tokens = await tokensOf(serving, person, app);
});

const open = (parameters: Parameters<typeof formOf>[0], cookie: string | undefined = person.cookie) =>
  serving.send({ path: `/logout?${formOf(parameters)}`, headers: { cookie } });
const standing = async () => (await serving.people.signin.sessions(person.user)).length > 0;
const active = async (token: string) =>
  (
    await serving.send({
      method: 'POST',
      path: '/introspect',
      headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: basic(app) },
      body: formOf({ token }),
    })
  ).json().active;
const settled = () => expect.poll(() => receiver.heard.length, { timeout: 10_000, interval: 20 });

describe('RP-initiated logout', () => {
  it('is in the metadata, with the forms of logout that work', async () => {
    expect((await serving.send({ path: '/.well-known/openid-configuration' })).json()).toMatchObject({
      end_session_endpoint: `${testIssuer}/logout`,
      backchannel_logout_supported: true,
      backchannel_logout_session_supported: true,
      frontchannel_logout_supported: true,
      frontchannel_logout_session_supported: true,
      claims_supported: expect.arrayContaining(['sid']),
    });
  });

  it('ends the session that the id_token_hint names, at once, and goes back with state', async () => {
    const answer = await open({ id_token_hint: tokens.id_token, post_logout_redirect_uri: after, state: 'a b&c' });
    expect([answer.status, answer.headers.location]).toEqual([303, `${after}?state=a+b%26c`]);
    expect(String(answer.headers['set-cookie'])).toMatch(/gatehouse_session=; .*Max-Age=0/);
    expect(await standing()).toBe(false);
    expect((await serving.send({ path: '/v1/whoami', headers: { cookie: person.cookie } })).status).toBe(401);
  });

  it('accepts an id_token_hint that has expired', async () => {
    await serving.people.pass(2 * 3_600_000);
    expect((await open({ id_token_hint: tokens.id_token, post_logout_redirect_uri: after })).headers.location).toBe(after);
    expect(await standing()).toBe(false);
  });

  it('takes POST as well as GET, also from the page of another site', async () => {
    const answer = await serving.send({
      method: 'POST',
      path: '/logout',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: 'https://app.example', 'sec-fetch-site': 'cross-site' },
      body: formOf({ id_token_hint: tokens.id_token, post_logout_redirect_uri: after }),
    });
    expect(answer.status).toBe(303);
    expect(await standing()).toBe(true);
    const on = await serving.send({ path: String(answer.headers.location), headers: { cookie: person.cookie } });
    expect(on.headers.location).toBe(after);
    expect(await standing()).toBe(false);
  });

  it('asks the person when there is no hint, and does nothing until they say yes', async () => {
    const asked = await open({ client_id: app.id, post_logout_redirect_uri: after, state: 's' });
    expect([asked.status, asked.headers.location]).toEqual([200, undefined]);
    expect(asked.text).toContain('The App asks for it');
    expect(asked.text).toContain('app.example');
    expect(await standing()).toBe(true);
    const forged = await post(serving, { ...person, token: 'x' }, '/logout/answer', { ...hiddenOf(asked), form_token: 'x', answer: 'yes' });
    expect(forged.status).toBeGreaterThanOrEqual(400);
    expect(await standing()).toBe(true);
    const yes = await post(serving, person, '/logout/answer', { ...hiddenOf(asked), answer: 'yes' });
    expect([yes.status, yes.headers.location]).toEqual([303, `${after}?state=s`]);
    expect(await standing()).toBe(false);
  });

  it('lets the person stay', async () => {
    const asked = await open({});
    const no = await post(serving, person, '/logout/answer', { ...hiddenOf(asked), answer: 'no' });
    expect([no.status, no.headers.location, await standing()]).toEqual([303, '/', true]);
  });

  it('asks the person when the hint is about somebody else, or about another session', async () => {
    const bob = await createTestUser(serving.people, 'bob@example.com');
    const his = await serving.people.signin.signIn(bob.organization, bob.email, testPassword, '::1', undefined);
    const theirs = await tokensOf(serving, { ...person, user: bob, session: his.session }, app);
    const other = await serving.people.signin.signIn(person.user.organization, person.user.email, testPassword, '::1', undefined);
    const elsewhere = await tokensOf(serving, { ...person, session: other.session }, app);
    for (const hint of [theirs.id_token, elsewhere.id_token]) {
      expect((await open({ id_token_hint: hint })).text).toContain('Sign out?');
      expect(await standing()).toBe(true);
    }
  });

  it.each([
    ['an address that is not registered', { post_logout_redirect_uri: 'https://evil.example/' }],
    ['one that only begins like it', { post_logout_redirect_uri: `${after}/more` }],
    ['one that is a redirect URI, but not of this kind', { post_logout_redirect_uri: 'https://app.example/callback' }],
  ])('never leads to %s, and does nothing', async (_, more) => {
    const answer = await open({ id_token_hint: tokens.id_token, ...more });
    expect([answer.status, answer.headers.location]).toEqual([400, undefined]);
    expect(answer.text).not.toContain('evil.example');
    expect(await standing()).toBe(true);
  });

  it('never leads anywhere without knowing for which client', async () => {
    expect((await open({ post_logout_redirect_uri: after })).status).toBe(400);
    expect((await open({ post_logout_redirect_uri: after, id_token_hint: 'x.y.z' })).status).toBe(400);
  });

  it('refuses a client_id that is not the one the hint is for, and a parameter that comes twice', async () => {
    const other = await registerClient(serving, person, { logout: { redirectUris: [after] } });
    expect((await open({ id_token_hint: tokens.id_token, client_id: other.id })).status).toBe(400);
    expect((await open({ id_token_hint: [tokens.id_token, tokens.id_token] })).status).toBe(400);
    expect(await standing()).toBe(true);
  });

  it('takes neither an access token nor a damaged one nor one of another organization for a hint', async () => {
    const acme = await serving.people.identity.createOrganization({ slug: 'acme', name: 'Acme' });
    const [head, body, mark] = tokens.id_token.split('.') as [string, string, string];
    for (const hint of [tokens.access_token, `${head}.${body}.${mark.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'))}`])
      expect((await open({ id_token_hint: hint })).text).toContain('Sign out?');
    const there = await serving.send({ path: `/o/acme/logout?${formOf({ id_token_hint: tokens.id_token, client_id: app.id })}` });
    expect(acme.slug).toBe('acme');
    expect(there.headers.location).toBeUndefined();
    expect(await standing()).toBe(true);
  });

  it('goes on for who is signed out already: by itself with a hint, by a link without', async () => {
    expect((await open({ id_token_hint: tokens.id_token, post_logout_redirect_uri: after }, '')).headers.location).toBe(after);
    const page = await open({ client_id: app.id, post_logout_redirect_uri: after }, '');
    expect([page.status, page.headers.location]).toEqual([200, undefined]);
    expect(page.text).toContain(`href="${after}"`);
  });
});

describe('what ends with a session', () => {
  it('an ID token names it, and the same one after a refresh and after signing in again', async () => {
    const { sid } = claimsOf(tokens.id_token);
    expect(sid).toBe(person.session.sid);
    const refreshed = await askToken(serving, app, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token });
    expect(claimsOf(refreshed.id_token ?? '').sid).toBe(sid);
    const again = await signInAgain(serving, person);
    expect(claimsOf((await tokensOf(serving, again, app)).id_token).sid).toBe(sid);
    expect(await active(refreshed.access_token ?? '')).toBe(true);
  });

  it('a refresh token without offline_access, and its access token; one with it goes on', async () => {
    const away = await tokensOf(serving, person, app, 'openid offline_access');
    await open({ id_token_hint: tokens.id_token });
    const refresh = (token: string) => askToken(serving, app, { grant_type: 'refresh_token', refresh_token: token });
    expect((await refresh(tokens.refresh_token)).error).toBe('invalid_grant');
    expect(await active(tokens.access_token)).toBe(false);
    expect((await refresh(away.refresh_token)).error).toBeUndefined();
  });

  it('a code that was not redeemed yet', async () => {
    const { issuer } = serving;
    const at = await issuer.at(undefined);
    const session = { ...person.session, sid: 'ses_gone' };
    const late = tokensOf(serving, { ...person, session }, app);
    expect((await late).error).toBe('invalid_grant');
    expect(at.issuer).toBe(testIssuer);
  });
});

describe('back-channel logout', () => {
  it('posts a logout token as the standard has it', async () => {
    serving.jobs.start();
    await open({ id_token_hint: tokens.id_token });
    await settled().toBe(1);
    const form = new URLSearchParams(receiver.heard[0]);
    expect([...form.keys()]).toEqual(['logout_token']);
    const token = form.get('logout_token') ?? '';
    const keys = createRemoteJWKSet(new URL(`http://localhost:${serving.port}/jwks.json`));
    const currentDate = new Date(serving.people.clock.now());
    const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer: testIssuer, audience: app.id, currentDate });
    expect(protectedHeader.typ).toBe('logout+jwt');
    expect(payload).toMatchObject({ sub: person.user.id, sid: person.session.sid, events: { [event]: {} } });
    expect(typeof payload.jti).toBe('string');
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(120);
    expect('nonce' in payload).toBe(false);
    expect((await askToken(serving, app, { grant_type: 'refresh_token', refresh_token: token })).error).toBe('invalid_grant');
  });

  it('tries again what a client did not take, with a new jti', async () => {
    receiver.answers.push(500);
    serving.jobs.start();
    await open({ id_token_hint: tokens.id_token });
    await settled().toBe(1);
    // The wait begins when the failure is stored, which may be after we look.
    const waited = async () => {
      await serving.people.pass(1_000);
      return receiver.heard.length;
    };
    await expect.poll(waited, { timeout: 10_000, interval: 100 }).toBe(2);
    const [first, second] = receiver.heard.map((body) => claimsOf(new URLSearchParams(body).get('logout_token') ?? ''));
    expect(second).toMatchObject({ sid: first?.sid, sub: first?.sub });
    expect(second?.jti).not.toBe(first?.jti);
  });

  it.each([
    ['the person ends it on their list', () => serving.people.signin.end(person.user.organization, person.session.id, 'ended_by_person')],
    ['all of theirs are ended', () => serving.people.signin.endAll(person.user, 'ended_by_administrator')],
  ])('is sent when %s', async (_, end) => {
    serving.jobs.start();
    await end();
    await settled().toBe(1);
  });

  it('is sent when the person is suspended', async () => {
    const bob = await createTestUser(serving.people, 'bob@example.com');
    const his = await serving.people.signin.signIn(bob.organization, bob.email, testPassword, '::1', undefined);
    await tokensOf(serving, { ...person, user: bob, session: his.session }, app);
    serving.jobs.start();
    await serving.people.identity.suspendUser(person.session.principal, bob.id);
    await settled().toBe(1);
    expect(claimsOf(new URLSearchParams(receiver.heard[0]).get('logout_token') ?? '').sub).toBe(bob.id);
  });

  it('is not sent when the person signs in again in the same browser', async () => {
    serving.jobs.start();
    await signInAgain(serving, person);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(receiver.heard).toEqual([]);
  });

  it('reaches nobody through the address guard that is not opened', async () => {
    const logout = { redirectUris: [], backchannelUri: 'http://169.254.169.254/latest/meta-data' };
    const bad = await registerClient(serving, person, { logout }).catch((error: unknown) => error);
    expect(bad).toMatchObject({ code: 'client_invalid' });
    const inward = await registerClient(serving, person, { logout: { redirectUris: [], backchannelUri: 'https://127.0.0.1:1/' } });
    await tokensOf(serving, person, inward);
    serving.jobs.start();
    await open({ id_token_hint: tokens.id_token });
    const told = () => serving.people.audit.drafts.filter(({ name }) => name === 'logout.not_told');
    await expect.poll(() => told().length, { timeout: 10_000 }).toBe(1);
    expect(told()[0]?.fields).toMatchObject({ client: inward.id, reason: 'address_refused' });
  });
});

describe('front-channel logout', () => {
  it('loads the address of each client in a frame, with iss and sid where it asks, then goes on', async () => {
    const logout = { redirectUris: [after], frontchannelUri: frame, frontchannelSessionRequired: true };
    const client = await registerClient(serving, person, { logout });
    const { id_token } = await tokensOf(serving, person, client);
    const page = await open({ id_token_hint: id_token, post_logout_redirect_uri: after });
    expect(page.status).toBe(200);
    const address = `${frame}&${new URLSearchParams({ iss: testIssuer, sid: person.session.sid })}`;
    expect(page.text).toContain(`src="${address.replaceAll('&', '&amp;')}"`);
    expect(page.text).toContain(`;url=${after}"`);
    expect(page.headers['content-security-policy']).toContain('frame-src https://app.example');
    expect(page.headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(await standing()).toBe(false);
  });

  it('loads them too where the person signs out by themselves', async () => {
    const logout = { redirectUris: [], frontchannelUri: frame };
    await tokensOf(serving, person, await registerClient(serving, person, { logout }));
    const page = await post(serving, person, '/signout');
    expect([page.status, page.text.includes(`src="${frame}"`)]).toEqual([200, true]);
    expect(String(page.headers['set-cookie'])).toMatch(/gatehouse_session=; .*Max-Age=0/);
  });

  it('takes no address of another origin than the redirect URIs have', async () => {
    const logout = { redirectUris: [], frontchannelUri: 'https://evil.example/' };
    await expect(registerClient(serving, person, { logout })).rejects.toMatchObject({ code: 'client_invalid' });
  });
});
