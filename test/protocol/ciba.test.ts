import * as client from 'openid-client';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Registered } from '../support/issuing.ts';
import { createTestUser, testIssuer, testPassword } from '../support/people.ts';
import { asClient, register, relyingParty } from '../support/relying.ts';
import { openServing, post, type Received, type Serving, type SignedIn, signedIn } from '../support/serving.ts';

const cibaGrant = 'urn:openid:params:grant-type:ciba';
const minute = 60_000;

let serving: Serving;
let person: SignedIn;
let shop: Registered;

beforeAll(async () => {
  serving = await openServing();
  person = await signedIn(serving);
  const grantTypes = [cibaGrant, 'refresh_token'] as const;
  shop = await register(serving, person.session.principal, { name: 'The Shop', redirectUris: [], grantTypes });
});
// Questions of the test before no longer count, and the password is not fresh.
beforeEach(() => serving.people.pass(31 * minute));

type Asked = Readonly<Record<string, string>>;
const standard = { scope: 'openid things:read', login_hint: 'ada@example.com' };

const ask = (parameters: Asked = standard, as = shop) => asClient(serving, as, '/backchannel-authentication', parameters);
const idOf = async (parameters: Asked = standard) => String((await ask(parameters)).json().auth_req_id);
const poll = (auth_req_id: string, as = shop) => asClient(serving, as, '/token', { grant_type: cibaGrant, auth_req_id });
const errorOf = (answer: Received) => [answer.status, answer.json().error];
const open = (path: string, who = person) => serving.send({ path, headers: { cookie: who.cookie } });

/** The newest question that waits for somebody. */
async function newest(who = person): Promise<string> {
  return /\/requests\/bcr_\w+/.exec((await open('/requests', who)).text)?.[0] ?? '';
}

const answer = (path: string, says: 'yes' | 'no', who = person) =>
  post(serving, who, path, { answer: says, password: testPassword.reveal() });
const say = async (says: 'yes' | 'no' = 'yes') => answer(await newest(), says);

async function another(email: string): Promise<SignedIn> {
  const { people } = serving;
  await createTestUser(people, email);
  const { session, bearer } = await people.signin.signIn(people.organization.id, email, testPassword, '127.0.0.1', undefined);
  const token = people.vault.mac('http form', `session ${session.id}`);
  return { user: session.user, session, cookie: `__Host-gatehouse_session=${bearer.reveal()}`, token };
}

describe('openid-client', () => {
  it('finds the endpoint and its mode in the metadata, waits for the person, and gets tokens that name them', async () => {
    const config = await relyingParty(serving, shop, () => serving.people.pass(5_000));
    expect(config.serverMetadata()).toMatchObject({
      backchannel_authentication_endpoint: `${testIssuer}/backchannel-authentication`,
      backchannel_token_delivery_modes_supported: ['poll'],
      backchannel_user_code_parameter_supported: false,
    });
    const begun = await client.initiateBackchannelAuthentication(config, { ...standard, binding_message: 'W4SCT' });
    expect(begun).toMatchObject({ expires_in: 300, interval: 5 });
    const polled = client.pollBackchannelAuthenticationGrant(config, { ...begun, interval: 1 });
    await say();
    const tokens = await polled;
    expect(tokens.claims()?.sub).toBe(person.user.id);
    const next = await client.refreshTokenGrant(config, tokens.refresh_token ?? '');
    expect((await client.tokenIntrospection(config, next.access_token)).active).toBe(true);
  });

  it('is told that the person refused', async () => {
    const config = await relyingParty(serving, shop, () => serving.people.pass(5_000));
    const begun = await client.initiateBackchannelAuthentication(config, standard);
    await say('no');
    const polled = client.pollBackchannelAuthenticationGrant(config, { ...begun, interval: 1 });
    await expect(polled).rejects.toMatchObject({ error: 'access_denied' });
  });
});

describe('the backchannel authentication endpoint (CIBA §7)', () => {
  it.each([
    ['no hint', {}],
    ['two hints', { login_hint: 'ada@example.com', id_token_hint: 'x' }],
    ['a login_hint_token', { login_hint_token: 'x' }],
    ['an id_token_hint that is no ID token of this client', { id_token_hint: 'x' }],
  ])('refuses %s', async (_, hints) => {
    expect(errorOf(await ask({ scope: 'openid', ...hints }))).toEqual([400, 'invalid_request']);
  });

  it('takes an e-mail address, the sub, and an ID token that it gave this client, also when it has expired', async () => {
    const begun = await idOf();
    await say();
    const { id_token } = (await poll(begun)).json();
    await serving.people.pass(90 * minute);
    for (const hint of [{ login_hint: person.user.id }, { id_token_hint: String(id_token) }])
      expect((await ask({ scope: 'openid', ...hint })).status, JSON.stringify(hint)).toBe(200);
    const grantTypes = [cibaGrant] as const;
    const other = await register(serving, person.session.principal, { redirectUris: [], grantTypes });
    expect(errorOf(await ask({ scope: 'openid', id_token_hint: String(id_token) }, other))).toEqual([400, 'invalid_request']);
  });

  it('answers unknown_user_id where the hint names nobody', async () => {
    expect(errorOf(await ask({ ...standard, login_hint: 'nobody@example.com' }))).toEqual([400, 'unknown_user_id']);
  });

  it('wants the scope openid, and gives no more than the client may have', async () => {
    expect(errorOf(await ask({ ...standard, scope: 'things:read' }))).toEqual([400, 'invalid_scope']);
    expect(errorOf(await ask({ ...standard, scope: 'openid things:delete' }))).toEqual([400, 'invalid_scope']);
    expect(errorOf(await ask({ ...standard, resource: 'https://evil.example/' }))).toEqual([400, 'invalid_target']);
  });

  it('takes no authorization details, and says so', async () => {
    const asked = { ...standard, authorization_details: '[{"type":"payment"}]' };
    expect(errorOf(await ask(asked))).toEqual([400, 'invalid_authorization_details']);
  });

  it('refuses a binding message that cannot be shown', async () => {
    for (const binding_message of ['x'.repeat(101), 'two\nlines', '\u202eright to left'])
      expect(errorOf(await ask({ ...standard, binding_message })), binding_message).toEqual([400, 'invalid_binding_message']);
  });

  it('lives as long as the client asks for, within bounds', async () => {
    const life = async (requested_expiry: string) => (await ask({ ...standard, requested_expiry })).json().expires_in;
    expect([await life('120'), await life('1'), await life('86400')]).toEqual([120, 30, 1800]);
    expect(errorOf(await ask({ ...standard, requested_expiry: '-1' }))).toEqual([400, 'invalid_request']);
  });

  it('is for confidential clients that are registered for it', async () => {
    const by = person.session.principal;
    const grantTypes = [cibaGrant] as const;
    await expect(register(serving, by, { authentication: 'none', redirectUris: [], grantTypes })).rejects.toThrow();
    expect(errorOf(await ask(standard, await register(serving, by)))).toEqual([400, 'unauthorized_client']);
    expect(errorOf(await ask(standard, { id: shop.id, secret: 'wrong' }))).toEqual([401, 'invalid_client']);
  });

  it('lets one client ask one person five times in ten minutes, and all clients twenty', async () => {
    const statuses = [];
    for (let count = 0; count < 6; count++) statuses.push((await ask()).status);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429]);
    for (let round = 0; round < 4; round++) {
      const other = await register(serving, person.session.principal, { redirectUris: [], grantTypes: [cibaGrant] });
      for (let count = 0; count < 5; count++) statuses.push((await ask(standard, other)).status);
    }
    expect(statuses.filter((status) => status === 200).length).toBe(20);
  });
});

describe('polling (CIBA §10, §11)', () => {
  it('answers authorization_pending, and slow_down to who polls too early, with five seconds more from then on', async () => {
    const begun = await idOf();
    const polledAfter = async (seconds: number) => {
      await serving.people.pass(seconds * 1_000);
      return (await poll(begun)).json().error;
    };
    const told = [];
    for (const seconds of [0, 5, 2, 6, 15]) told.push(await polledAfter(seconds));
    expect(told).toEqual(['authorization_pending', 'authorization_pending', 'slow_down', 'slow_down', 'authorization_pending']);
  });

  it('answers expired_token when the time is over, also where the person answered', async () => {
    const begun = await idOf();
    await say();
    await serving.people.pass(5 * minute);
    expect(errorOf(await poll(begun))).toEqual([400, 'expired_token']);
  });

  it('answers access_denied where the person refused', async () => {
    const begun = await idOf();
    expect((await say('no')).headers.location).toBe('/done?what=request-refused');
    expect(errorOf(await poll(begun))).toEqual([400, 'access_denied']);
  });

  it('gives nothing to another client, nor for an auth_req_id that nobody gave', async () => {
    const begun = await idOf();
    await say();
    const thief = await register(serving, person.session.principal, { redirectUris: [], grantTypes: [cibaGrant] });
    expect(errorOf(await poll(begun, thief))).toEqual([400, 'invalid_grant']);
    expect(errorOf(await poll('made-up'))).toEqual([400, 'invalid_grant']);
    expect((await poll(begun)).status).toBe(200);
  });

  it('gives exactly one of fifty at once the tokens, and ends them when it is polled again', async () => {
    const begun = await idOf();
    await say();
    const answers = await Promise.all(Array.from({ length: 50 }, () => poll(begun)));
    const given = answers.filter(({ status }) => status === 200);
    expect(given.length).toBe(1);
    expect(answers.filter(({ status }) => status >= 500)).toEqual([]);
    const token = String(given[0]?.json().access_token);
    expect(errorOf(await poll(begun))).toEqual([400, 'invalid_grant']);
    expect((await asClient(serving, shop, '/introspect', { token })).json().active).toBe(false);
  });

  it('gives nothing for a person who was locked out after the yes', async () => {
    const locked = await another('locked@example.com');
    const begun = await idOf({ ...standard, login_hint: locked.user.email });
    expect((await answer(await newest(locked), 'yes', locked)).headers.location).toBe('/done?what=request');
    const { records } = serving.people.store;
    await records.in(locked.user.organization).write(async (tx) => {
      await tx.db.updateTable('users').set({ status: 'suspended' }).where('id', '=', locked.user.id).execute();
      await tx.bump('identity');
    });
    expect(errorOf(await poll(begun))).toEqual([400, 'invalid_grant']);
    expect(errorOf(await ask({ ...standard, login_hint: locked.user.email }))).toEqual([400, 'unknown_user_id']);
  });
});

describe('the page of what waits', () => {
  it('shows the client, its scopes, its message apart, from where and when, to the person it asks and to nobody else', async () => {
    await ask({ ...standard, binding_message: 'order 17 for <b>9 €</b>' });
    const page = await open(await newest());
    for (const shown of ['The Shop', 'know who you are here', 'things:read', 'order 17 for &lt;b&gt;9 €&lt;/b&gt;', 'Asked from', '<time'])
      expect(page.text).toContain(shown);
    for (const path of ['/', '/account']) expect((await open(path)).text, path).toContain('Who asks for you');
    const other = await another('other@example.com');
    expect((await open('/requests', other)).text).not.toContain('The Shop');
    expect((await open(await newest(), other)).status).toBe(410);
  });

  it('wants the password of who says yes, when it is not fresh', async () => {
    const begun = await idOf();
    const without = await post(serving, person, await newest(), { answer: 'yes' });
    expect([without.status, without.text.includes('name="password"')]).toEqual([403, true]);
    expect(errorOf(await poll(begun))).toEqual([400, 'authorization_pending']);
  });

  it('takes one answer, the first, and only of the person that was asked', async () => {
    const begun = await idOf();
    const path = await newest();
    const stranger = await another('stranger@example.com');
    expect((await answer(path, 'yes', stranger)).status).toBe(410);
    const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => answer(path, index % 2 === 0 ? 'yes' : 'no')));
    expect(answers.filter(({ status }) => status === 303).length).toBe(1);
    expect(['access_denied', undefined]).toContain((await poll(begun)).json().error);
  });

  it('takes no form of another site', async () => {
    await ask();
    const headers = { cookie: person.cookie, 'content-type': 'application/x-www-form-urlencoded', origin: 'https://evil.example' };
    const body = `form_token=${person.token}&answer=yes&password=${encodeURIComponent(testPassword.reveal())}`;
    const sent = { method: 'POST', path: await newest(), headers: { ...headers, 'sec-fetch-site': 'cross-site' }, body };
    expect((await serving.send(sent)).status).toBe(403);
  });
});
