import { beforeEach, describe, expect, it } from 'vitest';
import { callback, faultOf, formOf, type Issuance, openIssuance, type Registered } from '../../test/support/issuing.ts';
import { createTestUser } from '../../test/support/people.ts';
import type { Authorization, Browsing } from './contract.ts';
import { lives } from './lives.ts';

let issuance: Issuance;
let client: Registered;
let browsing: Browsing;

beforeEach(async () => {
  issuance = await openIssuance();
  client = await issuance.add();
  browsing = { session: issuance.session, binding: 'this browser', address: '192.0.2.1' };
});

const asked = (more: Readonly<Record<string, string>> = {}) =>
  formOf({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: callback,
    code_challenge: 'c'.repeat(43),
    code_challenge_method: 'S256',
    scope: 'openid',
    ...more,
  });
const begin = (more?: Readonly<Record<string, string>>, by = browsing) => issuance.issuer.authorize(issuance.at, asked(more), by);
const resume = (transaction: string, by = browsing) => issuance.issuer.resume(issuance.at, transaction, by);
const say = (transaction: string, yes: boolean, by = browsing) => issuance.issuer.answer(issuance.at, transaction, by, yes ? 'all' : 'no');

function transactionOf(answer: Authorization): string {
  if (!('transaction' in answer)) throw new Error(`nothing waits: ${answer.to}`);
  return answer.transaction;
}

function answered(answer: Authorization): Readonly<Record<string, string>> {
  if (answer.kind !== 'redirect') throw new Error(`no answer yet: ${answer.kind}`);
  return Object.fromEntries(new URL(answer.to).searchParams);
}

/** The same person, who has just proved who they are. */
const signedInAgain = (): Browsing => ({
  ...browsing,
  session: { ...issuance.session, authenticatedAt: issuance.people.clock.now() },
});

describe('a waiting authorization request', () => {
  it('is answered once, however often the person presses the button', async () => {
    const transaction = transactionOf(await begin());
    const tries = await Promise.allSettled(Array.from({ length: 20 }, () => say(transaction, true)));
    expect(tries.filter(({ status }) => status === 'fulfilled').length).toBe(1);
    expect(await faultOf(resume(transaction))).toBe('link_ended');
  });

  it('belongs to the browser that began it', async () => {
    const transaction = transactionOf(await begin());
    const other = { ...browsing, binding: 'another browser' };
    expect(await faultOf(resume(transaction, other))).toBe('link_ended');
    expect(await faultOf(say(transaction, true, other))).toBe('link_ended');
    expect(await issuance.issuer.waiting(issuance.at, transaction, other.binding)).toBeUndefined();
    expect(await issuance.issuer.waiting(issuance.at, transaction, browsing.binding)).toEqual({
      client: 'The App',
      destination: 'https://app.example',
    });
  });

  it('is one of at most 200 in a quarter of an hour from one address, or in one session', async () => {
    const nobody = { ...browsing, session: undefined };
    for (let count = 1; count <= 200; count++) await begin({}, nobody);
    expect(await faultOf(begin({}, nobody))).toBe('rate_limited');
    expect((await begin({}, { ...nobody, address: '192.0.2.2' })).kind).toBe('sign_in');
    expect((await begin()).kind).toBe('consent');
    await issuance.people.pass(15 * 60_000);
    expect((await begin({}, nobody)).kind).toBe('sign_in');
  });

  it('is counted with those from the same network of IPv6, which one person may have whole', async () => {
    const from = (address: string) => ({ ...browsing, session: undefined, address });
    for (let count = 1; count <= 200; count++) await begin({}, from(`2001:db8:1:2::${count.toString(16)}`));
    expect(await faultOf(begin({}, from('2001:db8:1:2:3::1')))).toBe('rate_limited');
    expect((await begin({}, from('2001:db8:1:3::1'))).kind).toBe('sign_in');
  });

  it('waits for half an hour', async () => {
    const transaction = transactionOf(await begin());
    await issuance.people.pass(lives.request);
    expect(await faultOf(resume(transaction))).toBe('link_ended');
  });

  it('gives nothing after its client was removed', async () => {
    const transaction = transactionOf(await begin());
    await issuance.issuer.clients.remove(issuance.by, client.id);
    expect(await faultOf(say(transaction, true))).toBe('client_unknown');
  });

  it('is not answered by somebody who signed out meanwhile', async () => {
    const transaction = transactionOf(await begin());
    expect(await say(transaction, true, { ...browsing, session: undefined })).toMatchObject({ kind: 'sign_in', again: false });
  });
});

describe('consent', () => {
  it('is asked once for what was agreed to, and again for more', async () => {
    expect(answered(await say(transactionOf(await begin()), true)).code).toBeDefined();
    expect(answered(await begin()).code).toBeDefined();
    expect((await begin({ scope: 'openid email' })).kind).toBe('consent');
    expect((await begin({ resource: 'https://api.example/' })).kind).toBe('consent');
    expect((await begin({ prompt: 'consent' })).kind).toBe('consent');
    expect(answered(await say(transactionOf(await begin({ scope: 'email' })), true)).code).toBeDefined();
    expect(answered(await begin({ scope: 'openid email' })).code).toBeDefined();
  });

  it('that is given in many windows at once is kept from all of them', async () => {
    const scopes = ['openid', 'email', 'profile', 'things:read'];
    const transactions = await Promise.all(scopes.map(async (scope) => transactionOf(await begin({ scope }))));
    await Promise.all(transactions.map((transaction) => say(transaction, true)));
    expect(answered(await begin({ scope: scopes.join(' ') })).code).toBeDefined();
  });

  it('is never skipped for a redirect to this machine', async () => {
    client = await issuance.add({ redirectUris: ['http://127.0.0.1/callback', 'com.example.app:/callback'] });
    for (const redirect_uri of ['http://127.0.0.1:5000/callback', 'com.example.app:/callback']) {
      expect(answered(await say(transactionOf(await begin({ redirect_uri })), true)).code).toBeDefined();
      expect(await begin({ redirect_uri })).toMatchObject({ kind: 'consent', view: { local: true } });
    }
  });

  it('is never skipped over plain http, where a session may be in other hands', async () => {
    const at = { ...issuance.at, issuer: 'http://localhost:7300' };
    const { issuer } = issuance;
    const first = await issuer.authorize(at, asked(), browsing);
    expect((await issuer.answer(at, transactionOf(first), browsing, 'all')).kind).toBe('redirect');
    expect((await issuer.authorize(at, asked(), browsing)).kind).toBe('consent');
  });

  it('ends with the grant that its person ends, with every token below', async () => {
    const { accessToken } = await issuance.tokens(client, { scope: 'openid' });
    const { issuer, by } = issuance;
    const [grant, ...more] = await issuer.grants(by.organization, issuance.session.user.id);
    expect([grant?.clientName, grant?.scopes, more.length]).toEqual(['The App', ['openid'], 0]);
    expect((await begin()).kind).toBe('redirect');
    if (grant === undefined) throw new Error('there is no grant');
    const stranger = await createTestUser(issuance.people, 'eve@example.com', 'owner');
    expect(await issuer.endGrant({ ...by, subject: { kind: 'user', id: stranger.id } }, grant.id)).toBe(false);
    expect([await issuer.endGrant(by, grant.id), await issuer.endGrant(by, grant.id)]).toEqual([true, false]);
    expect(await issuance.active(client, accessToken.reveal())).toBe(false);
    expect(await issuer.grants(by.organization, issuance.session.user.id)).toEqual([]);
    expect((await begin()).kind).toBe('consent');
  });

  it('leaves no grant behind for longer than its access token where there is no refresh token', async () => {
    const { issuer, by, session } = issuance;
    client = await issuance.add({ grantTypes: ['authorization_code'] });
    const { expiresAt } = await issuance.tokens(client);
    expect(expiresAt - issuance.people.clock.now()).toBe(15 * 60_000);
    expect((await issuer.grants(by.organization, session.user.id)).length).toBe(1);
    await issuance.people.pass(15 * 60_000 + lives.skew);
    expect(await issuer.grants(by.organization, session.user.id)).toEqual([]);
    await issuance.people.pass(lives.kept);
    expect(await issuer.sweep()).toBe(1);
  });

  it('of one person is not that of another', async () => {
    await say(transactionOf(await begin()), true);
    const user = { ...issuance.session.user, id: 'usr_00000000000000000000000000' as typeof issuance.session.user.id };
    expect((await begin({}, { ...browsing, session: { ...issuance.session, user } })).kind).toBe('consent');
  });

  it('that is refused is told to the client, and kept nowhere', async () => {
    expect(answered(await say(transactionOf(await begin({ state: 's' })), false))).toMatchObject({ error: 'access_denied', state: 's' });
    expect((await begin()).kind).toBe('consent');
  });
});

describe('signing in', () => {
  it('is asked for once more with prompt=login, and is enough then', async () => {
    await say(transactionOf(await begin()), true);
    await issuance.people.pass(1);
    const waiting = await begin({ prompt: 'login' });
    expect(waiting).toMatchObject({ kind: 'sign_in', again: true });
    expect(await resume(transactionOf(waiting))).toMatchObject({ kind: 'sign_in', again: true });
    expect(answered(await resume(transactionOf(waiting), signedInAgain())).code).toBeDefined();
  });

  it('may not be older than max_age', async () => {
    await say(transactionOf(await begin()), true);
    await issuance.people.pass(60_000);
    expect(answered(await begin({ max_age: '60' })).code).toBeDefined();
    const waiting = await begin({ max_age: '59' });
    expect(waiting).toMatchObject({ kind: 'sign_in', again: true });
    expect(answered(await resume(transactionOf(waiting), signedInAgain())).code).toBeDefined();
  });

  it('is that of this organization', async () => {
    const session = { ...issuance.session, organization: 'org_00000000000000000000000000' as typeof issuance.session.organization };
    expect((await begin({}, { ...browsing, session })).kind).toBe('sign_in');
  });
});
