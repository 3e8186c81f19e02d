import * as client from 'openid-client';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { faultOf, type Registered } from '../support/issuing.ts';
import { createTestUser, testIssuer, testPassword } from '../support/people.ts';
import { asClient, register, relyingParty } from '../support/relying.ts';
import { openServing, post, type Received, type Serving, type SignedIn, signedIn } from '../support/serving.ts';

const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
const minute = 60_000;

let serving: Serving;
let person: SignedIn;
let television: Registered;

beforeAll(async () => {
  serving = await openServing();
  person = await signedIn(serving);
  const grantTypes = [deviceGrant, 'refresh_token'] as const;
  television = await register(serving, person.session.principal, { name: 'The Television', redirectUris: [], grantTypes });
});
// Wrong tries of the test before are forgotten, and the password is fresh enough or asked for.
beforeEach(() => serving.people.pass(21 * minute));

interface Offered {
  readonly device_code: string;
  readonly user_code: string;
  readonly verification_uri: string;
  readonly verification_uri_complete: string;
  readonly expires_in: number;
  readonly interval: number;
}

async function offer(parameters: Readonly<Record<string, string | readonly string[]>> = { scope: 'openid things:read' }) {
  const answer = await asClient(serving, television, '/device_authorization', parameters);
  expect(answer.status).toBe(200);
  return answer.json() as unknown as Offered;
}

const poll = (code: string, as: Registered = television, more: Readonly<Record<string, string>> = {}) =>
  asClient(serving, as, '/token', { grant_type: deviceGrant, device_code: code, ...more });
const errorOf = (answer: Received) => [answer.status, answer.json().error];
const type = (code: string, who: SignedIn = person) => post(serving, who, '/device', { code });
const transactionOf = (page: Received) => /name="transaction" value="([\w-]+)"/.exec(page.text)?.[1] ?? '';
const answer = (transaction: string, says: 'yes' | 'no', who: SignedIn = person) =>
  post(serving, who, '/device/answer', { transaction, answer: says, password: testPassword.reveal() });

/** Through the pages, as the person. */
async function say(code: string, says: 'yes' | 'no' = 'yes'): Promise<Received> {
  return answer(transactionOf(await type(code)), says);
}

async function another(email: string): Promise<SignedIn> {
  const { people } = serving;
  await createTestUser(people, email);
  const { session, bearer } = await people.signin.signIn(people.organization.id, email, testPassword, '127.0.0.1', undefined);
  const token = people.vault.mac('http form', `session ${session.id}`);
  return { user: session.user, session, cookie: `__Host-gatehouse_session=${bearer.reveal()}`, token };
}

describe('openid-client', () => {
  it('finds the endpoint in the metadata, waits for the person, and gets tokens that name them', async () => {
    const config = await relyingParty(serving, television, () => serving.people.pass(5_000));
    expect(config.serverMetadata().device_authorization_endpoint).toBe(`${testIssuer}/device_authorization`);
    expect(config.serverMetadata().grant_types_supported).toContain(deviceGrant);
    const offered = await client.initiateDeviceAuthorization(config, { scope: 'openid things:read' });
    expect(offered).toMatchObject({ verification_uri: `${testIssuer}/device`, expires_in: 600, interval: 5 });
    const polled = client.pollDeviceAuthorizationGrant(config, { ...offered, interval: 1 });
    await say(offered.user_code);
    const tokens = await polled;
    expect(tokens.claims()?.sub).toBe(person.user.id);
    expect(tokens.scope).toBe('openid things:read');
    const next = await client.refreshTokenGrant(config, tokens.refresh_token ?? '');
    expect((await client.tokenIntrospection(config, next.access_token)).active).toBe(true);
    await client.tokenRevocation(config, next.refresh_token ?? '');
    expect((await client.tokenIntrospection(config, next.access_token)).active).toBe(false);
  });

  it('is told that the person refused', async () => {
    const config = await relyingParty(serving, television, () => serving.people.pass(5_000));
    const offered = await client.initiateDeviceAuthorization(config, {});
    await say(offered.user_code, 'no');
    const polled = client.pollDeviceAuthorizationGrant(config, { ...offered, interval: 1 });
    await expect(polled).rejects.toMatchObject({ error: 'access_denied' });
  });
});

describe('the device authorization endpoint (RFC 8628 §3.1, §3.2)', () => {
  it('gives a device code of high entropy, a code that people can read, and where to type it', async () => {
    const offered = await offer();
    expect(offered.device_code).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(offered.user_code).toMatch(/^[0-9A-HJKMNP-TV-Z]{3}(-[0-9A-HJKMNP-TV-Z]{3}){2}$/);
    expect(offered.verification_uri_complete).toBe(`${offered.verification_uri}?user_code=${offered.user_code}`);
  });

  it('keeps neither code in readable form', async () => {
    const offered = await offer();
    const { ephemera } = serving.people.store;
    for (const code of [offered.device_code, offered.user_code])
      for (const kind of ['request', 'code']) expect(await ephemera.get(`device_code:${kind}:${code}`)).toBeUndefined();
  });

  it('wants a client that proves who it is, where it can', async () => {
    const stranger = { id: television.id, secret: 'wrong' };
    expect(errorOf(await asClient(serving, stranger, '/device_authorization', {}))).toEqual([401, 'invalid_client']);
  });

  it('takes a public client by its client_id', async () => {
    const grantTypes = [deviceGrant] as const;
    const { id } = await register(serving, person.session.principal, { authentication: 'none', redirectUris: [], grantTypes });
    const sent = (path: string, body: string) =>
      serving.send({ method: 'POST', path, headers: { 'content-type': 'application/x-www-form-urlencoded' }, body });
    const offered = (await sent('/device_authorization', `client_id=${id}&scope=things:read`)).json() as unknown as Offered;
    await say(offered.user_code);
    const tokens = await sent('/token', `client_id=${id}&grant_type=${deviceGrant}&device_code=${offered.device_code}`);
    expect([tokens.status, tokens.json().scope, tokens.json().refresh_token]).toEqual([200, 'things:read', undefined]);
  });

  it('is for clients that are registered for the grant type', async () => {
    const other = await register(serving, person.session.principal);
    expect(errorOf(await asClient(serving, other, '/device_authorization', {}))).toEqual([400, 'unauthorized_client']);
  });

  it('gives no more than the client may have', async () => {
    const ask = (parameters: Readonly<Record<string, string>>) => asClient(serving, television, '/device_authorization', parameters);
    expect(errorOf(await ask({ scope: 'things:delete' }))).toEqual([400, 'invalid_scope']);
    expect(errorOf(await ask({ resource: 'https://evil.example/' }))).toEqual([400, 'invalid_target']);
  });

  it('takes no authorization details, and says so', async () => {
    const asked = { scope: 'things:read', authorization_details: '[{"type":"payment"}]' };
    expect(errorOf(await asClient(serving, television, '/device_authorization', asked))).toEqual([400, 'invalid_authorization_details']);
  });

  it('lets one address begin so many, and no more', async () => {
    const statuses = [];
    for (let count = 0; count < 205; count++) statuses.push((await asClient(serving, television, '/device_authorization', {})).status);
    expect(statuses.filter((status) => status === 200).length).toBe(200);
    expect(statuses.at(-1)).toBe(429);
  });
});

describe('polling (RFC 8628 §3.4, §3.5)', () => {
  it('answers authorization_pending until the person has answered', async () => {
    const { device_code, user_code } = await offer();
    expect(errorOf(await poll(device_code))).toEqual([400, 'authorization_pending']);
    await say(user_code);
    await serving.people.pass(5_000);
    expect((await poll(device_code)).status).toBe(200);
  });

  it('answers slow_down to who polls too early, and keeps the five seconds more', async () => {
    const { device_code } = await offer();
    const polledAfter = async (seconds: number) => {
      await serving.people.pass(seconds * 1_000);
      return (await poll(device_code)).json().error;
    };
    expect(await polledAfter(0)).toBe('authorization_pending');
    expect(await polledAfter(5)).toBe('authorization_pending');
    expect(await polledAfter(2)).toBe('slow_down');
    expect(await polledAfter(6)).toBe('slow_down');
    expect(await polledAfter(15)).toBe('authorization_pending');
    expect(await polledAfter(11)).toBe('slow_down');
    expect(await polledAfter(20)).toBe('authorization_pending');
  });

  it('answers expired_token once ten minutes have passed, also where the person answered', async () => {
    const [waiting, answered] = [await offer(), await offer()];
    await say(answered.user_code);
    await serving.people.pass(10 * minute);
    for (const { device_code } of [waiting, answered]) expect(errorOf(await poll(device_code))).toEqual([400, 'expired_token']);
  });

  it('answers access_denied once where the person refused', async () => {
    const { device_code, user_code } = await offer();
    await say(user_code, 'no');
    expect(errorOf(await poll(device_code))).toEqual([400, 'access_denied']);
    await serving.people.pass(5_000);
    expect(errorOf(await poll(device_code))).toEqual([400, 'invalid_grant']);
  });

  it('gives nothing to another client, and tells it nothing', async () => {
    const { device_code, user_code } = await offer();
    const thief = await register(serving, person.session.principal, { redirectUris: [], grantTypes: [deviceGrant] });
    await say(user_code);
    expect(errorOf(await poll(device_code, thief))).toEqual([400, 'invalid_grant']);
    expect((await poll(device_code)).status).toBe(200);
  });

  it('gives no resource that was not granted (RFC 8707 §2.2)', async () => {
    const { device_code, user_code } = await offer({ scope: 'things:read', resource: 'https://api.example/' });
    await say(user_code);
    expect(errorOf(await poll(device_code, television, { resource: 'https://other.example/' }))).toEqual([400, 'invalid_target']);
  });

  it('gives exactly one of fifty at once the tokens', async () => {
    for (let round = 0; round < 5; round++) {
      const { device_code, user_code } = await offer();
      await say(user_code);
      const answers = await Promise.all(Array.from({ length: 50 }, () => poll(device_code)));
      expect(answers.filter(({ status }) => status === 200).length).toBe(1);
      expect(new Set(answers.filter(({ status }) => status !== 200).map((one) => one.json().error))).not.toContain('server_error');
    }
  });

  it('ends the grant when a code that was redeemed comes again', async () => {
    const { device_code, user_code } = await offer();
    await say(user_code);
    const token = String((await poll(device_code)).json().access_token);
    const active = async () => (await asClient(serving, television, '/introspect', { token })).json().active;
    expect(await active()).toBe(true);
    expect(errorOf(await poll(device_code))).toEqual([400, 'invalid_grant']);
    expect(await active()).toBe(false);
  });

  it('gives nothing for a person who was locked out meanwhile', async () => {
    const locked = await another('locked@example.com');
    const { device_code, user_code } = await offer();
    await answer(transactionOf(await type(user_code, locked)), 'yes', locked);
    const { records } = serving.people.store;
    await records.in(locked.user.organization).write(async (tx) => {
      await tx.db.updateTable('users').set({ status: 'suspended' }).where('id', '=', locked.user.id).execute();
      await tx.bump('identity');
    });
    expect(errorOf(await poll(device_code))).toEqual([400, 'invalid_grant']);
  });
});

describe('the page where people type the code (RFC 8628 §3.3, §5)', () => {
  it('shows the client, what it asks for, from where and when, and warns of codes that somebody sent', async () => {
    const { user_code } = await offer({ scope: 'openid things:read', resource: 'https://api.example/' });
    const page = await type(user_code);
    for (const shown of [
      'The Television',
      'know who you are here',
      'things:read',
      'https://api.example/',
      '127.0.0.1',
      'Asked from',
      '<time',
    ])
      expect(page.text).toContain(shown);
    expect(page.text).toContain('If somebody sent you the code or a link');
    expect(page.headers['content-security-policy']).toContain("frame-ancestors 'none'");
  });

  it('takes a code in any way a person types it, and only asks them to compare one that came in a link', async () => {
    const { user_code, verification_uri_complete } = await offer();
    const path = verification_uri_complete.slice(testIssuer.length);
    const page = await serving.send({ path, headers: { cookie: person.cookie } });
    expect(page.text).toContain(`value="${user_code}"`);
    expect(page.text).toContain('only if your device shows this very code');
    expect(transactionOf(page)).toBe('');
    expect(transactionOf(await type(user_code.toLowerCase().replaceAll('-', ' ')))).not.toBe('');
  });

  it('has whoever is not signed in do so first, and comes back with the code', async () => {
    const page = await serving.send({ path: '/device?user_code=ABC-DEF-GHJ' });
    expect(page.headers.location).toBe(`/signin?next=${encodeURIComponent('/device?user_code=ABC-DEF-GHJ')}`);
  });

  it('wants the password of who says yes, when it is not fresh, and none of who says no', async () => {
    const { user_code, device_code } = await offer();
    const transaction = transactionOf(await type(user_code));
    const without = await post(serving, person, '/device/answer', { transaction, answer: 'yes' });
    expect([without.status, without.text.includes('name="password"')]).toEqual([403, true]);
    expect(errorOf(await poll(device_code))).toEqual([400, 'authorization_pending']);
    const no = await post(serving, person, '/device/answer', { transaction, answer: 'no' });
    expect(no.headers.location).toBe('/done?what=device-refused');
  });

  it('takes no answer from a browser in which the code was not typed', async () => {
    const { user_code, device_code } = await offer();
    const transaction = transactionOf(await type(user_code));
    const other = await another('other@example.com');
    expect((await answer(transaction, 'yes', other)).status).toBe(410);
    expect((await answer('guessed', 'yes', other)).status).toBe(410);
    expect(errorOf(await poll(device_code))).toEqual([400, 'authorization_pending']);
    expect((await answer(transaction, 'yes')).headers.location).toBe('/done?what=device');
  });

  it('takes one answer, the first, also where two people typed the code', async () => {
    const { user_code } = await offer();
    const second = await another('second@example.com');
    const [mine, theirs] = [transactionOf(await type(user_code)), transactionOf(await type(user_code, second))];
    const answers = await Promise.all([
      ...Array.from({ length: 10 }, () => answer(mine, 'yes')),
      ...Array.from({ length: 10 }, () => answer(theirs, 'yes', second)),
    ]);
    expect(answers.filter(({ headers }) => headers.location === '/done?what=device').length).toBe(1);
    expect((await type(user_code)).status).toBe(403);
  });

  it('takes no form of another site', async () => {
    const { user_code } = await offer();
    const transaction = transactionOf(await type(user_code));
    const body = `form_token=${person.token}&transaction=${transaction}&answer=yes`;
    const headers = { cookie: person.cookie, 'content-type': 'application/x-www-form-urlencoded' };
    const foreign = { ...headers, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
    expect((await serving.send({ method: 'POST', path: '/device/answer', headers: foreign, body })).status).toBe(403);
  });

  it('lets one person guess five times, and then nothing for twice the life of a code', async () => {
    const { user_code } = await offer();
    const statuses = [];
    for (const letter of ['A', 'B', 'C', 'D', 'E', 'F']) statuses.push((await type(`000-000-00${letter}`)).status);
    expect(statuses).toEqual([403, 403, 403, 403, 403, 429]);
    expect((await type(user_code)).status).toBe(429);
  });

  it('lets one address guess fifty times, whoever does', async () => {
    const { issuer, people } = serving;
    const at = await issuer.at(undefined);
    const faults = [];
    for (let count = 0; count < 11; count++) {
      const { session } = await another(`guesser-${count}@example.com`);
      for (let tries = 0; tries < 5; tries++)
        faults.push(await faultOf(issuer.devices.type(at, session, `000-000-0${count}A`.slice(0, 11), '192.0.2.1')));
    }
    expect(faults.filter((fault) => fault === 'device_code_wrong').length).toBe(50);
    expect(faults.at(-1)).toBe('rate_limited');
    await people.pass(21 * minute);
  });

  it('burns a code that was looked at ten times', async () => {
    const { user_code, device_code } = await offer();
    const statuses = [];
    for (let count = 0; count < 12; count++) statuses.push((await type(user_code)).status);
    expect(statuses.filter((status) => status === 200).length).toBe(10);
    expect(statuses.at(-1)).toBe(403);
    expect(errorOf(await poll(device_code))).toEqual([400, 'authorization_pending']);
  });
});
