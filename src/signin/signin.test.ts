import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createIdentity } from '#identity';
import { type FaultCode, newId, Secret, silentLog } from '#kernel';
import { ephemeraKey, sha256 } from '#store';
import { openTestAudit } from '../../test/support/audit.ts';
import { testNet } from '../../test/support/net.ts';
import { completeTestSetup, createTestUser, openPeople, type People, testIssuer, testPassword } from '../../test/support/people.ts';
import { openTestStore } from '../../test/support/store.ts';
import { openTestVault } from '../../test/support/vault.ts';
import { createSignin, isFresh, type Signin, type Started } from './index.ts';
import { createPasswords } from './passwords.ts';

const fault = (code: FaultCode) => expect.objectContaining({ code });
const person = { email: 'ada@example.com', name: 'Ada', password: testPassword };
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const wrong = new Secret('wrong orbit 94 lantern');

function countFulfilled(results: readonly PromiseSettledResult<unknown>[]): number {
  return results.filter(({ status }) => status === 'fulfilled').length;
}

function refusals(results: readonly PromiseSettledResult<unknown>[]): readonly string[] {
  return [...new Set(results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as { code: string }).code] : [])))];
}

/** Another process on the same file. */
async function replicaOf(people: People): Promise<Signin & { learn(): Promise<unknown> }> {
  const store = await openTestStore({ home: people.store.home, clock: people.clock, ephemera: 'sql' });
  const vault = await openTestVault(store, { keyring: people.keyring });
  const outward = { net: testNet([], store.clock), publicUrl: testIssuer };
  const deps = { ...store, ...outward, vault, audit: await openTestAudit(store, { vault }), log: silentLog };
  return { ...createSignin({ ...deps, identity: createIdentity(deps) }), learn: () => store.migrate() };
}

describe('the set-up link', () => {
  test('of many servers that start at once one gives the set-up link, and ends it when it stops', async () => {
    const people = await openPeople();
    const { signin } = people;
    const given = await Promise.all(Array.from({ length: 10 }, () => signin.firstSetupLink()));
    const [link, ...more] = given.filter((one) => one !== undefined);
    if (link === undefined) throw new Error('nobody gave a link');
    expect(more).toEqual([]);
    expect(await signin.setupLinkLives(link.reveal())).toBe(true);
    const { token } = await signin.setupLink();
    await signin.withdrawSetupLink(link);
    expect(await signin.setupLinkLives(token.reveal())).toBe(true);
    await signin.withdrawSetupLink(token);
    expect(await signin.firstSetupLink()).toBeDefined();
  });

  test('makes the first administrator and signs them in', async () => {
    const people = await openPeople();
    const { signin, clock } = people;
    expect(await signin.setupState()).toBe('open');
    const { token, expiresAt } = await signin.setupLink();
    expect(expiresAt - clock.now()).toBe(hour);
    expect(await signin.setupLinkLives(token.reveal())).toBe(true);
    const started = await signin.completeSetup(token.reveal(), person, '127.0.0.1');
    expect(started.session).toMatchObject({ kind: 'browser', user: { email: 'ada@example.com', role: 'owner' } });
    expect(await signin.session(people.organization.id, started.bearer.reveal(), 'browser')).toEqual(started.session);
    expect(await signin.setupState()).toBe('closed');
    expect(await signin.setupLinkLives(token.reveal())).toBe(false);
    await expect(signin.setupLink()).rejects.toEqual(fault('setup_closed'));
    expect(people.audit.drafts.map(({ name }) => name)).toEqual(['user.created', 'session.started', 'setup.completed']);
    expect((await people.audit.verify(people.organization.id)).holds).toBe(true);
  });

  test('is spent by one of fifty at once', async () => {
    const people = await openPeople();
    const { token } = await people.signin.setupLink();
    const tried = await Promise.allSettled(
      Array.from({ length: 50 }, (_, i) => people.signin.completeSetup(token.reveal(), { ...person, email: `p${i}@example.com` }, '::1')),
    );
    expect(countFulfilled(tried)).toBe(1);
    expect((await people.identity.users(people.organization.id, { limit: 100 })).items).toHaveLength(1);
  });

  test('leaves one first administrator even when Ephemera forget that it was spent', async () => {
    const people = await openPeople();
    const { signin, store, organization } = people;
    const { token } = await signin.setupLink();
    const key = ephemeraKey('setup_link', 'current');
    const hash = (await store.ephemera.get(key)) as string;
    const forgetful = setInterval(() => void store.ephemera.put(key, hash, hour), 1);
    const tried = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => signin.completeSetup(token.reveal(), { ...person, email: `p${i}@example.com` }, '::1')),
    );
    clearInterval(forgetful);
    expect(countFulfilled(tried)).toBe(1);
    expect((await people.identity.users(organization.id, { limit: 100 })).items).toHaveLength(1);
  });

  test('is replaced by a later one, ends in an hour, and a wrong one is refused', async () => {
    const { signin, pass } = await openPeople();
    const first = await signin.setupLink();
    const second = await signin.setupLink();
    for (const token of [first.token.reveal(), '', 'x'.repeat(100_000)]) {
      expect(await signin.setupLinkLives(token)).toBe(false);
      await expect(signin.completeSetup(token, person, '::1')).rejects.toEqual(fault('link_ended'));
    }
    await pass(hour);
    await expect(signin.completeSetup(second.token.reveal(), person, '::1')).rejects.toEqual(fault('link_ended'));
  });

  test('stays closed after a restart, and when every administrator is gone', async () => {
    const people = await openPeople({ store: { ephemera: 'sql' } });
    await completeTestSetup(people);
    await people.store.records.in(people.organization.id).write((tx) => tx.db.deleteFrom('users').execute());
    const restarted = await replicaOf(people);
    expect(await restarted.setupState()).toBe('closed');
    await expect(restarted.setupLink()).rejects.toEqual(fault('setup_closed'));
    await expect(restarted.localSession(people.organization.id)).rejects.toEqual(fault('setup_required'));
  });

  test('is not spent by what a person mistyped, and only for the operator’s address if one is named', async () => {
    const people = await openPeople({ signin: { ownerEmail: 'Owner@Example.com' } });
    const { token } = await people.signin.setupLink();
    const tries = [
      person,
      { ...person, email: 'not an address' },
      { ...person, email: 'owner@example.com', name: ' ' },
      { ...person, email: 'owner@example.com', password: new Secret('short') },
    ];
    for (const bad of tries)
      await expect(people.signin.completeSetup(token.reveal(), bad, '::1')).rejects.toEqual(fault('invalid_request'));
    const started = await people.signin.completeSetup(token.reveal(), { ...person, email: 'owner@example.com' }, '::1');
    expect(started.session.user.email).toBe('owner@example.com');
  });
});

describe('a password sign-in', () => {
  async function ready() {
    const people = await openPeople();
    const started = await completeTestSetup(people);
    const { id } = people.organization;
    const signIn = (
      email: string,
      password = testPassword,
      address = '127.0.0.1',
      previous = undefined as Started['session']['id'] | undefined,
    ) => people.signin.signIn(id, email, password, address, previous);
    return { people, started, signIn };
  }

  test('makes a new session and ends the one before', async () => {
    const { people, started, signIn } = await ready();
    const again = await signIn('ADA@example.com', testPassword, '127.0.0.1', started.session.id);
    expect(again.session.id).not.toBe(started.session.id);
    expect(again.bearer.reveal()).not.toBe(started.bearer.reveal());
    await expect(people.signin.session(people.organization.id, started.bearer.reveal(), 'browser')).rejects.toEqual(
      fault('unauthenticated'),
    );
    expect(await people.signin.session(people.organization.id, again.bearer.reveal(), 'browser')).toEqual(again.session);
  });

  test('is the same password in every composition of its characters', async () => {
    const { people, signIn } = await ready();
    const passwordHash = await people.signin.hashPassword(new Secret('cre\u0300me br\u00fble\u0301e \uff11\uff12'));
    expect(passwordHash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    const { id: organization } = people.organization;
    await people.store.records
      .in(organization)
      .write((tx) => people.identity.createUser(tx, { organization, email: 'c@example.com', name: 'C', role: 'member', passwordHash }));
    await expect(signIn('c@example.com', new Secret('cr\u00e8me bru\u0302l\u00e9e 12'))).resolves.toBeDefined();
  });

  test('gives one answer to a wrong password, an unknown address, a suspended user and one without password', async () => {
    const { people, started, signIn } = await ready();
    const { id: organization } = people.organization;
    await people.store.records
      .in(organization)
      .write((tx) =>
        people.identity.createUser(tx, { organization, email: 'n@example.com', name: 'N', role: 'member', passwordHash: undefined }),
      );
    const gone = await createTestUser(people, 'gone@example.com');
    await people.identity.suspendUser(started.session.principal, gone.id);
    for (const email of ['nobody@example.com', 'gone@example.com', 'n@example.com', '', 'x'.repeat(100_000), 'not an address']) {
      await expect(signIn(email), email.slice(0, 30)).rejects.toEqual(fault('invalid_credentials'));
    }
    for (const password of [wrong, new Secret(''), new Secret('x'.repeat(1_000_000))]) {
      await expect(signIn('ada@example.com', password)).rejects.toEqual(fault('invalid_credentials'));
    }
    await expect(signIn('ada@example.com')).resolves.toBeDefined();
    expect(people.audit.drafts.filter(({ name }) => name === 'sign_in.failed').length).toBe(9);
    expect(JSON.stringify(people.audit.drafts)).not.toContain(wrong.reveal());
  });

  test('takes as long for an unknown address as for a known one', async () => {
    const { people, signIn } = await ready();
    const median = async (email: (i: number) => string) => {
      const times: number[] = [];
      for (let i = 0; i < 15; i++) {
        const began = performance.now();
        await signIn(email(i), wrong, `192.0.2.${i}`).catch(() => undefined);
        times.push(performance.now() - began);
      }
      return times.sort((a, b) => a - b)[7] as number;
    };
    const known = await median(() => 'ada@example.com');
    await people.pass(day * 2);
    const unknown = await median((i) => `nobody${i}@example.com`);
    expect(Math.abs(known - unknown) / known).toBeLessThan(0.6);
  });

  test('is slowed for one address at one account, and the right password starts the count again', async () => {
    const { signIn, people } = await ready();
    for (let i = 0; i < 9; i++) await expect(signIn('ada@example.com', wrong)).rejects.toEqual(fault('invalid_credentials'));
    await signIn('ada@example.com');
    for (let i = 0; i < 10; i++) await expect(signIn('ada@example.com', wrong)).rejects.toEqual(fault('invalid_credentials'));
    await expect(signIn('ada@example.com')).rejects.toEqual(fault('rate_limited'));
    await expect(signIn('ada@example.com', testPassword, '192.0.2.1')).resolves.toBeDefined();
    await people.pass(15 * minute);
    await expect(signIn('ada@example.com')).resolves.toBeDefined();
  });

  test('counts tries in parallel', async () => {
    const { signIn } = await ready();
    const tried = await Promise.allSettled(Array.from({ length: 40 }, () => signIn('ada@example.com', wrong)));
    expect(tried.filter((result) => result.status === 'rejected' && result.reason.code === 'invalid_credentials')).toHaveLength(10);
  });

  test('locks an account after twenty wrong passwords in a row from anywhere, known or not, also across a flush', async () => {
    const { signIn, people, started } = await ready();
    for (const email of ['ada@example.com', 'nobody@example.com']) {
      for (let i = 0; i < 20; i++) await expect(signIn(email, wrong, `192.0.2.${i}`)).rejects.toEqual(fault('invalid_credentials'));
      await expect(signIn(email, testPassword, '198.51.100.1')).rejects.toEqual(fault('rate_limited'));
    }
    await expect(people.signin.reauthenticate(started.session, testPassword, '198.51.100.1')).resolves.toBeDefined();
    const flushed = await openPeopleAgain(people);
    const { id } = people.organization;
    await expect(flushed.signIn(id, 'ada@example.com', testPassword, '::1', undefined)).rejects.toEqual(fault('rate_limited'));
    await people.pass(15 * minute);
    await expect(signIn('ada@example.com', testPassword, '198.51.100.1')).resolves.toBeDefined();
  });

  test('is refused as busy when too many wait, and works again after', async () => {
    const passwords = createPasswords({ atOnce: 1, waiting: 3 });
    const tried = await Promise.allSettled(Array.from({ length: 20 }, () => passwords.hash(testPassword)));
    expect(countFulfilled(tried)).toBe(4);
    expect(refusals(tried)).toEqual(['busy']);
    const stored = await passwords.hash(testPassword);
    expect(await passwords.holds(stored, testPassword)).toBe(true);
    expect(await passwords.holds(stored, wrong)).toBe(false);
    expect(await passwords.holds(undefined, testPassword)).toBe(false);
    expect(await passwords.holds(undefined, new Secret(''))).toBe(false);
  });

  test('leaves no password and no bearer value in any file', async () => {
    const people = await openPeople({ store: { ephemera: 'sql' } });
    const { bearer } = await completeTestSetup(people);
    for (const file of readdirSync(people.store.home)) {
      const bytes = readFileSync(`${people.store.home}/${file}`);
      for (const secret of [bearer.reveal(), testPassword.reveal()]) expect(bytes.includes(secret), file).toBe(false);
    }
  });
});

/** The same records with empty Ephemera. */
async function openPeopleAgain(people: People): Promise<Signin> {
  const store = await openTestStore({ home: people.store.home, clock: people.clock });
  const vault = await openTestVault(store, { keyring: people.keyring });
  const outward = { net: testNet([], store.clock), publicUrl: testIssuer };
  const deps = { ...store, ...outward, vault, audit: await openTestAudit(store, { vault }), log: silentLog };
  return createSignin({ ...deps, identity: createIdentity(deps) });
}

describe('a session', () => {
  test('ends after 12 idle hours, and after 14 days however busy', async () => {
    const people = await openPeople();
    const { signin, pass } = people;
    const started = await completeTestSetup(people);
    const bearer = started.bearer.reveal();
    for (let passed = 0; passed < 14 * day; passed += 11 * hour) {
      await signin.session(people.organization.id, bearer, 'browser');
      await pass(11 * hour);
    }
    await expect(signin.session(people.organization.id, bearer, 'browser')).rejects.toEqual(fault('unauthenticated'));
    const { id } = people.organization;
    const second = await signin.signIn(id, 'ada@example.com', testPassword, '::1', undefined);
    await signin.session(people.organization.id, second.bearer.reveal(), 'browser');
    await pass(12 * hour);
    await expect(signin.session(people.organization.id, second.bearer.reveal(), 'browser')).rejects.toEqual(fault('unauthenticated'));
    expect(await signin.sessions(second.session.user)).toEqual([]);
  });

  test('used at one process is not idle at another', async () => {
    const people = await openPeople({ store: { ephemera: 'sql' } });
    const replica = await replicaOf(people);
    const bearer = (await completeTestSetup(people)).bearer.reveal();
    await replica.session(people.organization.id, bearer, 'browser');
    for (let i = 0; i < 3; i++) {
      await people.pass(11 * hour);
      await people.signin.session(people.organization.id, bearer, 'browser');
    }
    await replica.learn();
    await expect(replica.session(people.organization.id, bearer, 'browser')).resolves.toBeDefined();
  });

  test('ended is refused by the next request here, and by another process within a second', async () => {
    const people = await openPeople({ store: { ephemera: 'sql' } });
    const replica = await replicaOf(people);
    const { session, bearer } = await completeTestSetup(people);
    await people.signin.session(people.organization.id, bearer.reveal(), 'browser');
    await replica.session(people.organization.id, bearer.reveal(), 'browser');
    const began = performance.now();
    await people.signin.end(session.organization, session.id, 'signed_out');
    await expect(people.signin.session(people.organization.id, bearer.reveal(), 'browser')).rejects.toEqual(fault('unauthenticated'));
    const alive = () =>
      replica.session(people.organization.id, bearer.reveal(), 'browser').then(
        () => true,
        () => false,
      );
    while (await alive()) await new Promise((go) => setTimeout(go, 20));
    expect(performance.now() - began).toBeLessThan(1_000);
    await people.signin.end(session.organization, session.id, 'signed_out');
    expect(people.audit.drafts.filter(({ name }) => name === 'session.ended')).toHaveLength(1);
  });

  test('is refused as another kind, with a bearer that is not one, and for a user who was suspended', async () => {
    const people = await openPeople();
    const { session, bearer } = await completeTestSetup(people);
    await expect(people.signin.session(people.organization.id, bearer.reveal(), 'command_line')).rejects.toEqual(fault('unauthenticated'));
    for (const bad of ['', 'x', `${bearer.reveal()}x`, 'A'.repeat(43), "' or 1=1 --", 'x'.repeat(1_000_000)]) {
      await expect(people.signin.session(people.organization.id, bad, 'browser')).rejects.toEqual(fault('unauthenticated'));
    }
    const bob = await createTestUser(people, 'bob@example.com');
    const { id } = people.organization;
    const his = await people.signin.signIn(id, bob.email, testPassword, '::1', undefined);
    await people.signin.session(people.organization.id, his.bearer.reveal(), 'browser');
    await people.identity.suspendUser(session.principal, bob.id);
    await expect(people.signin.session(people.organization.id, his.bearer.reveal(), 'browser')).rejects.toEqual(fault('unauthenticated'));
  });

  test('is refused by a process that has not learnt for three seconds what ended', async () => {
    const people = await openPeople();
    const { session, bearer } = await completeTestSetup(people);
    people.clock.advance(3_001);
    await expect(people.signin.session(people.organization.id, bearer.reveal(), 'browser')).rejects.toEqual(fault('stale_revocations'));
    await expect(people.signin.localSession(session.organization)).rejects.toEqual(fault('stale_revocations'));
    await people.store.migrate();
    await expect(people.signin.session(people.organization.id, bearer.reveal(), 'browser')).resolves.toBeDefined();
  });

  test('is listed, and all of them end together', async () => {
    const people = await openPeople();
    const { session, bearer } = await completeTestSetup(people);
    const { id } = people.organization;
    for (let i = 0; i < 3; i++) await people.signin.signIn(id, 'ada@example.com', testPassword, '::1', undefined);
    expect(await people.signin.sessions(session.user)).toHaveLength(4);
    await people.signin.end(newId('org'), session.id, 'not theirs');
    await expect(people.signin.session(people.organization.id, bearer.reveal(), 'browser')).resolves.toBeDefined();
    expect(await people.signin.endAll(session.user, 'everywhere')).toBe(4);
    expect(await people.signin.sessions(session.user)).toEqual([]);
    await expect(people.signin.session(people.organization.id, bearer.reveal(), 'browser')).rejects.toEqual(fault('unauthenticated'));
  });

  test('is fresh for five minutes after the password, and again after it is proven again', async () => {
    const people = await openPeople();
    const { session, bearer } = await completeTestSetup(people);
    expect(isFresh(session, people.clock.now())).toBe(true);
    await people.pass(5 * minute);
    expect(isFresh(session, people.clock.now())).toBe(false);
    await expect(people.signin.reauthenticate(session, wrong, '::1')).rejects.toEqual(fault('invalid_credentials'));
    const again = await people.signin.reauthenticate(session, testPassword, '::1');
    expect(again).toMatchObject({ id: session.id, authenticatedAt: people.clock.now() });
    expect(isFresh(await people.signin.session(people.organization.id, bearer.reveal(), 'browser'), people.clock.now())).toBe(true);
    await people.signin.end(session.organization, session.id, 'x');
    await expect(people.signin.reauthenticate(session, testPassword, '::1')).rejects.toEqual(fault('unauthenticated'));
  });

  test('lets nobody guess the password of whoever is signed in', async () => {
    const people = await openPeople();
    const { session } = await completeTestSetup(people);
    const tried = await Promise.allSettled(Array.from({ length: 30 }, () => people.signin.reauthenticate(session, wrong, '::1')));
    expect(tried.filter((result) => result.status === 'rejected' && result.reason.code === 'invalid_credentials')).toHaveLength(10);
    await expect(people.signin.reauthenticate(session, testPassword, '::1')).rejects.toEqual(fault('rate_limited'));
  });

  test('of the local socket is the first administrator at a command line, never fresh', async () => {
    const people = await openPeople();
    const { id } = people.organization;
    await expect(people.signin.localSession(id)).rejects.toEqual(fault('setup_required'));
    await completeTestSetup(people);
    const local = await people.signin.localSession(id);
    expect(local).toMatchObject({ kind: 'command_line', user: { email: 'ada@example.com' }, principal: { actors: [] } });
    expect(isFresh(local, people.clock.now())).toBe(false);
    await expect(people.signin.reauthenticate(local, testPassword, '::1')).rejects.toEqual(fault('confirmation_required'));
    await expect(people.signin.approveCommandLine(local, 'AAAA-AAAA')).rejects.toEqual(fault('confirmation_required'));
  });

  test('is swept long after its end, with old failures', async () => {
    const people = await openPeople();
    await completeTestSetup(people);
    await people.signin.signIn(people.organization.id, 'x@example.com', wrong, '::1', undefined).catch(() => undefined);
    expect(await people.signin.sweep()).toBe(0);
    await people.pass(29 * day);
    expect(await people.signin.sweep()).toBe(2);
  });
});

describe('a command-line sign-in', () => {
  async function ready() {
    const people = await openPeople();
    const browser = await completeTestSetup(people);
    const offer = await people.signin.offerCommandLine(people.organization.id, 'laptop\u202e', '192.0.2.7');
    return { people, signin: people.signin, browser: browser.session, offer, device: offer.deviceCode.reveal() };
  }

  test('is shown, approved and collected once', async () => {
    const { people, signin, browser, offer, device } = await ready();
    expect(await signin.collectCommandLine(device)).toBeUndefined();
    expect(await signin.viewCommandLine(browser.user, offer.userCode.toLowerCase())).toEqual({
      label: 'laptop',
      address: '192.0.2.7',
      at: people.clock.now(),
    });
    await signin.approveCommandLine(browser, offer.userCode);
    await people.pass(2_000);
    const started = await signin.collectCommandLine(device);
    expect(started?.session).toMatchObject({ kind: 'command_line', user: { id: browser.user.id } });
    expect(await signin.session(people.organization.id, started?.bearer.reveal() ?? '', 'command_line')).toEqual(started?.session);
    expect(isFresh(started?.session as Started['session'], people.clock.now())).toBe(false);
    await people.pass(2_000);
    await expect(signin.collectCommandLine(device)).rejects.toEqual(fault('link_ended'));
    await expect(signin.approveCommandLine(browser, offer.userCode)).rejects.toEqual(fault('claim_code_wrong'));
  });

  test('is approved by one of fifty at once, and collected by one of fifty at once', async () => {
    const { signin, browser, offer, device, people } = await ready();
    const approved = await Promise.allSettled(Array.from({ length: 50 }, () => signin.approveCommandLine(browser, offer.userCode)));
    expect(countFulfilled(approved)).toBe(1);
    const collected = await Promise.allSettled(Array.from({ length: 50 }, () => signin.collectCommandLine(device)));
    expect(collected.filter((result) => result.status === 'fulfilled' && result.value !== undefined)).toHaveLength(1);
    expect(await signin.sessions(browser.user)).toHaveLength(2);
    await people.pass(2_000);
    await expect(signin.collectCommandLine(device)).rejects.toEqual(fault('link_ended'));
  });

  test('makes one session even when Ephemera give the approval twice', async () => {
    const { signin, browser, offer, device, people } = await ready();
    const keys = (['device', 'approval'] as const).map((part) => ephemeraKey('device_sign_in', part, sha256(device)));
    await signin.approveCommandLine(browser, offer.userCode);
    const values = await Promise.all(keys.map((key) => people.store.ephemera.get(key)));
    expect(await signin.collectCommandLine(device)).toBeDefined();
    for (const [i, key] of keys.entries()) await people.store.ephemera.put(key, values[i] as string, minute);
    await people.pass(2_000);
    await expect(signin.collectCommandLine(device)).rejects.toEqual(fault('link_ended'));
    expect(await signin.sessions(browser.user)).toHaveLength(2);
  });

  test('is slowed when polled too fast', async () => {
    const { signin, device, people } = await ready();
    expect(await signin.collectCommandLine(device)).toBeUndefined();
    await expect(signin.collectCommandLine(device)).rejects.toEqual(fault('rate_limited'));
    await people.pass(2_000);
    expect(await signin.collectCommandLine(device)).toBeUndefined();
  });

  test('ends in ten minutes', async () => {
    const { signin, browser, offer, device, people } = await ready();
    await signin.approveCommandLine(browser, offer.userCode);
    await people.pass(10 * minute);
    await expect(signin.collectCommandLine(device)).rejects.toEqual(fault('link_ended'));
    await expect(signin.viewCommandLine(browser.user, offer.userCode)).rejects.toEqual(fault('claim_code_wrong'));
  });

  test('needs a fresh browser session, and five wrong codes end a person’s tries', async () => {
    const { signin, browser, offer, people } = await ready();
    for (const bad of ['AAAA-AAAA', '', 'nonsense', '0'.repeat(100_000), 'BBBB-BBBB']) {
      await expect(signin.viewCommandLine(browser.user, bad)).rejects.toEqual(fault('claim_code_wrong'));
    }
    await expect(signin.viewCommandLine(browser.user, offer.userCode)).rejects.toEqual(fault('rate_limited'));
    await expect(signin.approveCommandLine(browser, offer.userCode)).rejects.toEqual(fault('rate_limited'));
    await people.pass(5 * minute);
    await expect(signin.approveCommandLine(browser, offer.userCode)).rejects.toEqual(fault('confirmation_required'));
  });

  test('gives nothing when the person was suspended before it was collected', async () => {
    const { signin, people, browser } = await ready();
    const bob = await createTestUser(people, 'bob@example.com');
    const { id } = people.organization;
    const { session } = await signin.signIn(id, bob.email, testPassword, '::1', undefined);
    const offer = await signin.offerCommandLine(id, 'x', '::1');
    await signin.approveCommandLine(session, offer.userCode);
    await people.identity.suspendUser(browser.principal, bob.id);
    await expect(signin.collectCommandLine(offer.deviceCode.reveal())).rejects.toEqual(fault('link_ended'));
  });

  test('cannot be offered without end by one address', async () => {
    const { signin, people } = await ready();
    const tried = await Promise.allSettled(
      Array.from({ length: 70 }, () => signin.offerCommandLine(people.organization.id, '', '192.0.2.7')),
    );
    expect(refusals(tried)).toEqual(['rate_limited']);
  });
});
