import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type FaultCode, isFault, newId, type Principal, silentLog } from '#kernel';
import { openTestAudit } from '../../test/support/audit.ts';
import {
  activeTestAgent,
  createTestUser,
  enrolTestAgent,
  openPeople,
  type People,
  proofOf,
  registering,
  type TestKeys,
  testIssuer,
  testKeys,
} from '../../test/support/people.ts';
import { openTestStore } from '../../test/support/store.ts';
import { openTestVault, testKeyring } from '../../test/support/vault.ts';
import { createIdentity, type User } from './index.ts';

const fault = (code: FaultCode) => expect.objectContaining({ code });
const as = (user: User): Principal => ({ organization: user.organization, subject: { kind: 'user', id: user.id }, actors: [] });
const aRequest = { method: 'GET', target: `${testIssuer}/v1/whoami`, body: new Uint8Array() };
const minute = 60_000;

function countFulfilled(results: readonly PromiseSettledResult<unknown>[]): number {
  return results.filter(({ status }) => status === 'fulfilled').length;
}

/** What the losers of a race were told. */
function refusals(results: readonly PromiseSettledResult<unknown>[]): readonly string[] {
  return [...new Set(results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as { code: string }).code] : [])))];
}

async function standing(): Promise<{ people: People; user: User; keys: TestKeys }> {
  const people = await openPeople();
  return { people, user: await createTestUser(people, 'ada@example.com', 'owner'), keys: testKeys() };
}

describe('the default organization', () => {
  test('is made once, however many start at once, also in two processes on one file', async () => {
    const one = await openTestStore();
    const two = await openTestStore({ home: one.home });
    const stores = [one, two];
    const keyring = testKeyring();
    const made = await Promise.all(
      stores.flatMap((store) =>
        Array.from({ length: 10 }, async () => {
          const vault = await openTestVault(store, { keyring });
          return createIdentity({
            ...store,
            vault,
            audit: await openTestAudit(store, { vault }),
            log: silentLog,
          }).ensureDefaultOrganization(testIssuer);
        }),
      ),
    );
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
    const rows = await one.records.platform('a test counts').read((tx) => tx.db.selectFrom('vaults').select('id').execute());
    expect(rows).toHaveLength(1);
  });

  test('follows a changed public URL, says so, and takes its own earlier one back', async () => {
    const { identity, organization, audit } = await openPeople();
    const moved = await identity.ensureDefaultOrganization('https://new.example/base/');
    expect(moved).toMatchObject({ id: organization.id, issuer: 'https://new.example/base' });
    expect((await identity.organization(organization.id)).issuer).toBe('https://new.example/base');
    expect(audit.drafts.at(-1)).toMatchObject({ name: 'organization.issuer_changed', fields: { previous: testIssuer } });
    expect(await identity.ensureDefaultOrganization(`${testIssuer}/`)).toMatchObject({ issuer: testIssuer });
    const before = audit.drafts.length;
    await identity.ensureDefaultOrganization(testIssuer);
    expect(audit.drafts).toHaveLength(before);
  });

  test('has no issuer that is not an http URL without query', async () => {
    const { identity } = await openPeople();
    for (const url of ['', 'gatehouse.example', 'ftp://a.example', 'https://a.example/?b', 'https://a.example/#c']) {
      await expect(identity.ensureDefaultOrganization(url)).rejects.toEqual(fault('invalid_setting'));
    }
  });
});

describe('enrolling', () => {
  test.each(['Ed25519', 'P-256'] as const)('registers the key that made the proof (%s)', async (kind) => {
    const people = await openPeople();
    const keys = testKeys(kind);
    const agent = await enrolTestAgent(people, keys, 'builder');
    expect(agent).toMatchObject({ handle: 'builder', did: keys.did, status: 'registered', owner: undefined, registeredFrom: '127.0.0.1' });
    expect(await people.identity.agentByHandle(people.organization.id, 'builder')).toEqual(agent);
    expect(people.audit.drafts.at(-1)).toMatchObject({ name: 'agent.registered', fields: { agent: agent.id, did: keys.did } });
    expect(people.identity.principalOf(agent)).toEqual({
      organization: people.organization.id,
      subject: { kind: 'agent', id: agent.id },
      actors: [],
    });
  });

  test('refuses a proof of another key, for another request, or used before', async () => {
    const people = await openPeople();
    const [keys, other] = [testKeys(), testKeys()];
    const { organization, ...proof } = proofOf(people, keys, registering);
    const wanted = { organization, handle: 'a', publicJwk: { ...keys.key.jwk }, proof, address: '::1' };
    const { identity } = people;
    await expect(identity.enrol({ ...wanted, publicJwk: { ...other.key.jwk } })).rejects.toEqual(fault('invalid_proof'));
    await expect(identity.enrol({ ...wanted, proof: { ...proof, body: Buffer.from('{}') } })).rejects.toEqual(fault('invalid_proof'));
    await expect(identity.enrol({ ...wanted, proof: { ...proof, proof: 'Bearer x' } })).rejects.toEqual(fault('invalid_proof'));
    const foreign = proofOf(people, keys, registering, 'https://other.example').proof;
    await expect(identity.enrol({ ...wanted, proof: { ...proof, proof: foreign } })).rejects.toEqual(fault('invalid_proof'));
    await identity.enrol(wanted);
    await expect(identity.enrol({ ...wanted, handle: 'b' })).rejects.toEqual(fault('proof_replayed'));
  });

  test('refuses names and keys that are not well-formed', async () => {
    const people = await openPeople();
    const keys = testKeys();
    const { organization, ...proof } = proofOf(people, keys, registering);
    for (const handle of ['', 'A', '../x', 'a b', '-a', 'x'.repeat(65), 'é']) {
      const wanted = { organization, handle, publicJwk: { ...keys.key.jwk }, proof, address: '' };
      await expect(people.identity.enrol(wanted), handle).rejects.toEqual(fault('invalid_request'));
    }
    const withPrivate = keys.privateKey.export({ format: 'jwk' }) as Record<string, unknown>;
    for (const publicJwk of [withPrivate, {}, { kty: 'oct', k: 'AA' }]) {
      const wanted = { organization, handle: 'a', publicJwk, proof, address: '' };
      await expect(people.identity.enrol(wanted)).rejects.toEqual(fault('invalid_request'));
    }
  });

  test('gives a name or a key to one of fifty at once', async () => {
    const people = await openPeople();
    const named = await Promise.allSettled(Array.from({ length: 50 }, () => enrolTestAgent(people, testKeys(), 'same')));
    expect(countFulfilled(named)).toBe(1);
    expect(refusals(named)).toEqual(['agent_exists']);
    const keys = testKeys();
    const keyed = await Promise.allSettled(Array.from({ length: 50 }, () => enrolTestAgent(people, keys)));
    expect(countFulfilled(keyed)).toBe(1);
    expect(refusals(keyed)).toEqual(['agent_exists']);
  });

  test('stops at the quota of unclaimed agents, exactly, and goes on when they end', async () => {
    const people = await openPeople();
    const tried = await Promise.allSettled(Array.from({ length: 60 }, () => enrolTestAgent(people, testKeys())));
    expect(countFulfilled(tried)).toBe(50);
    expect(refusals(tried)).toEqual(['agent_quota']);
    await people.pass(60 * minute);
    expect((await enrolTestAgent(people, testKeys())).status).toBe('registered');
    expect(people.audit.drafts.filter(({ name }) => name === 'agent.expired')).toHaveLength(50);
  });

  test('slows one address', async () => {
    const people = await openPeople();
    const keys = testKeys();
    const tried = await Promise.allSettled(
      Array.from({ length: 130 }, () => enrolTestAgent(people, { ...keys, did: 'did:key:zOther' }, 'x')),
    );
    expect(refusals(tried)).toEqual(['invalid_proof', 'rate_limited']);
  });

  test('ends in an hour unless claimed: at use, in lists, and by the sweep', async () => {
    const people = await openPeople();
    const { identity, organization } = people;
    const keys = testKeys();
    const agent = await enrolTestAgent(people, keys, 'short');
    await people.pass(60 * minute - 1);
    await expect(identity.prove(proofOf(people, keys, aRequest), { allow: ['registered'] })).resolves.toMatchObject({ id: agent.id });
    await people.pass(1);
    await expect(identity.prove(proofOf(people, keys, aRequest), { allow: ['registered'] })).rejects.toEqual(fault('agent_unknown'));
    expect(await identity.agent(organization.id, agent.id)).toBeUndefined();
    expect(await identity.agentByHandle(organization.id, 'short')).toBeUndefined();
    expect((await identity.agents(organization.id, { limit: 10 })).items).toEqual([]);
    await expect(identity.offerClaim(agent, 'h', 'a')).rejects.toEqual(fault('agent_not_active'));
    expect(await identity.sweep()).toBe(1);
    expect(await identity.sweep()).toBe(0);
    expect((await enrolTestAgent(people, keys, 'short')).id).not.toBe(agent.id);
  });
});

describe('an agent proof', () => {
  test('is spent by one of fifty at once', async () => {
    const { people, user, keys } = await standing();
    await activeTestAgent(people, keys, user);
    for (const proof of [proofOf(people, keys, aRequest), proofOf(people, keys, registering)]) {
      const used = await Promise.allSettled(Array.from({ length: 50 }, () => people.identity.prove(proof)));
      expect(countFulfilled(used)).toBe(1);
      expect(refusals(used)).toEqual(['proof_replayed']);
    }
  });

  test('is spent once by two processes together', async () => {
    const people = await openPeople({ store: { ephemera: 'sql' } });
    const keys = testKeys();
    await activeTestAgent(people, keys, await createTestUser(people, 'ada@example.com'));
    const other = await openTestStore({ home: people.store.home, clock: people.clock, ephemera: 'sql' });
    const vault = await openTestVault(other, { keyring: people.keyring });
    const replica = createIdentity({ ...other, vault, audit: await openTestAudit(other, { vault }), log: silentLog });
    const proof = proofOf(people, keys, aRequest);
    const used = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? people.identity : replica).prove(proof)));
    expect(countFulfilled(used)).toBe(1);
  });

  test('is remembered for as long as it could be good, also in the database', async () => {
    const people = await openPeople({ store: { ephemera: 'sql' } });
    const user = await createTestUser(people, 'ada@example.com');
    const keys = testKeys();
    await activeTestAgent(people, keys, user);
    const proof = proofOf(people, keys, aRequest);
    await people.identity.prove(proof);
    for (let second = 0; second < 70; second += 5) {
      await people.pass(5_000);
      const late = expect.objectContaining({ code: expect.stringMatching('proof_replayed|invalid_proof') });
      await expect(people.identity.prove(proof)).rejects.toEqual(late);
    }
  });

  test('works only for an active agent, unless the caller allows more', async () => {
    const { people, user, keys } = await standing();
    const agent = await enrolTestAgent(people, keys);
    await expect(people.identity.prove(proofOf(people, keys, aRequest))).rejects.toEqual(fault('agent_not_active'));
    const allow = { allow: ['registered', 'claimed'] } as const;
    await expect(people.identity.prove(proofOf(people, keys, aRequest), allow)).resolves.toMatchObject({ status: 'registered' });
    const offer = await people.identity.offerClaim(agent, 'laptop', '::1');
    await people.identity.typeClaim(user, offer.code.reveal());
    await people.identity.acceptClaim(agent);
    await expect(people.identity.prove(proofOf(people, keys, aRequest))).rejects.toEqual(fault('agent_not_active'));
    await expect(people.identity.prove(proofOf(people, keys, aRequest), allow)).resolves.toMatchObject({ status: 'claimed' });
  });

  test('tells a stranger nothing of how an agent stands', async () => {
    const { people, user, keys } = await standing();
    const agent = await activeTestAgent(people, keys, user);
    await people.identity.suspend(as(user), agent.id);
    const forged = proofOf(people, { ...testKeys(), did: keys.did }, aRequest);
    await expect(people.identity.prove(forged)).rejects.toEqual(fault('invalid_proof'));
    await expect(people.identity.prove(proofOf(people, keys, aRequest))).rejects.toEqual(fault('agent_not_active'));
    await expect(people.identity.prove(proofOf(people, testKeys(), aRequest))).rejects.toEqual(fault('agent_unknown'));
  });

  test('of another organization is unknown here', async () => {
    const { people, user, keys } = await standing();
    await activeTestAgent(people, keys, user);
    const proof = { ...proofOf(people, keys, aRequest), organization: newId('org') };
    await expect(people.identity.prove(proof)).rejects.toEqual(fault('agent_unknown'));
  });

  test('for the earlier public URL is refused once it changed', async () => {
    const { people, user, keys } = await standing();
    await activeTestAgent(people, keys, user);
    await people.identity.prove(proofOf(people, keys, aRequest));
    await people.identity.ensureDefaultOrganization('https://new.example');
    await expect(people.identity.prove(proofOf(people, keys, aRequest))).rejects.toEqual(fault('invalid_proof'));
    await expect(people.identity.prove(proofOf(people, keys, aRequest, 'https://new.example'))).resolves.toBeDefined();
  });

  test('is refused by a replica that has not learnt for three seconds what ended', async () => {
    const { people, user, keys } = await standing();
    const agent = await activeTestAgent(people, keys, user);
    people.clock.advance(3_001);
    await expect(people.identity.prove(proofOf(people, keys, aRequest))).rejects.toEqual(fault('stale_revocations'));
    await expect(people.identity.currentAgent(user.organization, agent.id)).rejects.toEqual(fault('stale_revocations'));
    await people.store.migrate();
    await expect(people.identity.prove(proofOf(people, keys, aRequest))).resolves.toMatchObject({ id: agent.id });
  });
});

describe('claiming', () => {
  test('makes the person who typed the code the owner, once the terminal says yes, and gives nothing by itself', async () => {
    const { people, user, keys } = await standing();
    const { identity } = people;
    const agent = await enrolTestAgent(people, keys);
    expect(await identity.claimState(agent)).toEqual({ kind: 'none' });
    const offer = await identity.offerClaim(agent, 'laptop\u202e', '192.0.2.7');
    expect(offer.code.reveal()).toMatch(/^[0-9A-Z]{4}-[0-9A-Z]{4}$/);
    expect(offer.expiresAt - people.clock.now()).toBe(5 * minute);
    expect(await identity.claimState(agent)).toEqual({ kind: 'offered', expiresAt: offer.expiresAt });
    const view = await identity.typeClaim(user, offer.code.reveal().toLowerCase().replace('-', ' '));
    expect(view).toEqual({ agent, host: 'laptop', address: '192.0.2.7', at: people.clock.now() });
    expect(await identity.claimState(agent)).toMatchObject({ kind: 'typed', by: { id: user.id, email: user.email } });
    const claimed = await identity.acceptClaim(agent);
    expect(claimed).toMatchObject({
      status: 'claimed',
      owner: { kind: 'user', id: user.id },
      confirmedAt: undefined,
      expiresAt: undefined,
    });
    expect(await identity.claimState(claimed)).toEqual({ kind: 'accepted' });
    expect(identity.principalOf(claimed)).toMatchObject({ subject: { id: user.id }, actors: [{ kind: 'agent', id: agent.id }] });
    await expect(identity.offerClaim(claimed, 'h', 'a')).rejects.toEqual(fault('agent_not_active'));
  });

  test('lets one of fifty at once spend a code, and one acceptance win', async () => {
    const { people, keys } = await standing();
    const { identity } = people;
    const users = await Promise.all(Array.from({ length: 10 }, (_, i) => createTestUser(people, `person${i}@example.com`)));
    const agent = await enrolTestAgent(people, keys);
    const { code } = await identity.offerClaim(agent, 'h', 'a');
    const typed = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => identity.typeClaim(users[i % 10] as User, code.reveal())));
    expect(countFulfilled(typed)).toBe(1);
    expect(refusals(typed)).toContain('claim_code_wrong');
    const accepted = await Promise.allSettled(Array.from({ length: 50 }, () => identity.acceptClaim(agent)));
    expect(countFulfilled(accepted)).toBe(1);
    expect(people.audit.drafts.filter(({ name }) => name === 'agent.claimed')).toHaveLength(1);
  });

  test('dies after five wrong codes of a person, right ones included, for longer than any code lives', async () => {
    const { people, user, keys } = await standing();
    const { identity } = people;
    const agent = await enrolTestAgent(people, keys);
    const { code } = await identity.offerClaim(agent, 'h', 'a');
    for (const wrong of ['AAAA-AAAA', 'BBBB-BBBB', '', 'not a code', '0'.repeat(10_000)]) {
      await expect(identity.typeClaim(user, wrong)).rejects.toEqual(fault('claim_code_wrong'));
    }
    await expect(identity.typeClaim(user, code.reveal())).rejects.toEqual(fault('rate_limited'));
    await people.pass(5 * minute);
    await expect(identity.typeClaim(user, code.reveal())).rejects.toEqual(fault('rate_limited'));
    await people.pass(5 * minute);
    await expect(identity.typeClaim(user, code.reveal())).rejects.toEqual(fault('claim_code_wrong'));
    expect(await identity.claimState(agent)).toEqual({ kind: 'none' });
  });

  test('counts wrong codes typed at the same time', async () => {
    const { people, user } = await standing();
    const typed = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => people.identity.typeClaim(user, `AAAA-${1000 + i}`)));
    const wrong = typed.filter((result) => result.status === 'rejected' && result.reason.code === 'claim_code_wrong');
    expect(wrong).toHaveLength(5);
  });

  test('starts the count again after a right code', async () => {
    const { people, user } = await standing();
    for (let i = 0; i < 8; i++) {
      const agent = await enrolTestAgent(people, testKeys());
      const { code } = await people.identity.offerClaim(agent, 'h', 'a');
      await expect(people.identity.typeClaim(user, code.reveal())).resolves.toBeDefined();
    }
  });

  test('burns the codes of an organization whose people guess together', async () => {
    const { people, user, keys } = await standing();
    const agent = await enrolTestAgent(people, keys);
    const { code } = await people.identity.offerClaim(agent, 'h', 'a');
    for (let i = 0; i < 11; i++) {
      const guesser = await createTestUser(people, `guesser${i}@example.com`);
      for (let j = 0; j < 5; j++) await people.identity.typeClaim(guesser, 'AAAA-AAAA').catch(() => undefined);
    }
    await expect(people.identity.typeClaim(user, code.reveal())).rejects.toEqual(fault('rate_limited'));
  });

  test('ends the code of an earlier offer, of a refusal, and after five minutes', async () => {
    const { people, user, keys } = await standing();
    const { identity } = people;
    const agent = await enrolTestAgent(people, keys);
    const first = await identity.offerClaim(agent, 'h', 'a');
    const second = await identity.offerClaim(agent, 'h', 'a');
    await expect(identity.typeClaim(user, first.code.reveal())).rejects.toEqual(fault('claim_code_wrong'));
    await identity.typeClaim(user, second.code.reveal());
    await identity.refuseClaim(agent);
    await expect(identity.acceptClaim(agent)).rejects.toEqual(fault('claim_code_wrong'));
    const third = await identity.offerClaim(agent, 'h', 'a');
    await identity.refuseClaim(agent);
    await expect(identity.typeClaim(user, third.code.reveal())).rejects.toEqual(fault('claim_code_wrong'));
    const fourth = await identity.offerClaim(agent, 'h', 'a');
    await people.pass(5 * minute);
    await expect(identity.typeClaim(user, fourth.code.reveal())).rejects.toEqual(fault('claim_code_wrong'));
  });

  test('keeps no code in the clear', async () => {
    const people = await openPeople({ store: { ephemera: 'sql' } });
    const agent = await enrolTestAgent(people, testKeys());
    const { code } = await people.identity.offerClaim(agent, 'h', 'a');
    for (const file of readdirSync(people.store.home)) {
      const bytes = readFileSync(`${people.store.home}/${file}`);
      expect(bytes.includes(code.reveal()) || bytes.includes(code.reveal().replace('-', ''))).toBe(false);
    }
  });

  test('is refused for a person who was suspended meanwhile', async () => {
    const { people, user: owner, keys } = await standing();
    const user = await createTestUser(people, 'eve@example.com');
    const agent = await enrolTestAgent(people, keys);
    const { code } = await people.identity.offerClaim(agent, 'h', 'a');
    await people.identity.typeClaim(user, code.reveal());
    await people.identity.suspendUser(as(owner), user.id);
    await expect(people.identity.acceptClaim(agent)).rejects.toEqual(fault('forbidden'));
  });
});

describe('how an agent stands', () => {
  test('is confirmed by its owner alone, and once', async () => {
    const { people, user: owner, keys } = await standing();
    const { identity, store } = people;
    const user = await createTestUser(people, 'bob@example.com');
    const agent = await enrolTestAgent(people, keys);
    const { code } = await identity.offerClaim(agent, 'h', 'a');
    await identity.typeClaim(user, code.reveal());
    await identity.acceptClaim(agent);
    const confirm = (by: Principal) => store.records.in(user.organization).write((tx) => identity.confirmAgent(tx, by, agent.id));
    await expect(confirm(as(owner))).rejects.toEqual(fault('forbidden'));
    await expect(confirm({ ...as(user), actors: [{ kind: 'agent', id: agent.id }] })).rejects.toEqual(fault('forbidden'));
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => confirm(as(user))));
    expect(countFulfilled(results)).toBe(1);
    expect(refusals(results)).toEqual(['conflict']);
    expect(await identity.agent(user.organization, agent.id)).toMatchObject({ status: 'active', confirmedAt: people.clock.now() });
  });

  test('suspension reaches the next request here, and another process within a second', async () => {
    const { people, user, keys } = await standing();
    const agent = await activeTestAgent(people, keys, user);
    const other = await openTestStore({ home: people.store.home, clock: people.clock });
    const deps = { ...other, vault: await openTestVault(other, { keyring: people.keyring }), audit: people.audit, log: silentLog };
    const replica = createIdentity(deps);
    await replica.prove(proofOf(people, keys, aRequest));
    await people.identity.prove(proofOf(people, keys, aRequest));
    const began = performance.now();
    const suspended = await people.identity.suspend(as(user), agent.id);
    expect(suspended).toMatchObject({ status: 'suspended', epoch: agent.epoch + 1 });
    await expect(people.identity.prove(proofOf(people, keys, aRequest))).rejects.toEqual(fault('agent_not_active'));
    const refused = () =>
      replica.prove(proofOf(people, keys, aRequest)).then(
        () => false,
        (error: unknown) => isFault(error, 'agent_not_active'),
      );
    while (!(await refused())) await new Promise((go) => setTimeout(go, 20));
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(await replica.currentAgent(user.organization, agent.id)).toMatchObject({ status: 'suspended' });
  });

  test('re-activation goes back to what it was, under a new epoch; revocation is final', async () => {
    const { people, user, keys } = await standing();
    const { identity, store } = people;
    const agent = await activeTestAgent(people, keys, user);
    const reactivate = () => store.records.in(user.organization).write((tx) => identity.reactivate(tx, as(user), agent.id));
    await expect(reactivate()).rejects.toEqual(fault('conflict'));
    await identity.suspend(as(user), agent.id);
    expect(await identity.suspend(as(user), agent.id)).toMatchObject({ epoch: agent.epoch + 1 });
    expect(await reactivate()).toMatchObject({ status: 'active', epoch: agent.epoch + 2 });
    await identity.prove(proofOf(people, keys, aRequest));
    expect(await identity.revoke(as(user), agent.id)).toMatchObject({ status: 'revoked', epoch: agent.epoch + 3 });
    await expect(reactivate()).rejects.toEqual(fault('conflict'));
    await expect(identity.suspend(as(user), agent.id)).rejects.toEqual(fault('agent_not_active'));
    await expect(identity.prove(proofOf(people, keys, aRequest))).rejects.toEqual(fault('agent_not_active'));
    await expect(enrolTestAgent(people, keys)).rejects.toEqual(fault('agent_exists'));
    const told = people.audit.drafts.map(({ name }) => name).filter((name) => name.startsWith('agent.'));
    expect(told).toEqual(['agent.registered', 'agent.claimed', 'agent.confirmed', 'agent.suspended', 'agent.reactivated', 'agent.revoked']);
  });

  test('is changed by its owner and by administrators, never by an agent or another member', async () => {
    const { people, keys } = await standing();
    const { identity } = people;
    const [bob, carol] = [await createTestUser(people, 'bob@example.com'), await createTestUser(people, 'carol@example.com')];
    const agent = await activeTestAgent(people, keys, bob);
    await expect(identity.suspend(as(carol), agent.id)).rejects.toEqual(fault('forbidden'));
    await expect(identity.revoke(identity.principalOf(agent), agent.id)).rejects.toEqual(fault('forbidden'));
    await expect(identity.suspend({ ...as(bob), organization: newId('org') }, agent.id)).rejects.toEqual(fault('agent_unknown'));
    await expect(identity.suspend(as(bob), newId('agt'))).rejects.toEqual(fault('agent_unknown'));
    const admin = await createTestUser(people, 'admin@example.com', 'administrator');
    await expect(identity.suspend(as(admin), agent.id)).resolves.toMatchObject({ status: 'suspended' });
  });

  test('is no better than how its owner stands', async () => {
    const { people, user: owner, keys } = await standing();
    const bob = await createTestUser(people, 'bob@example.com');
    const agent = await activeTestAgent(people, keys, bob);
    await people.identity.prove(proofOf(people, keys, aRequest));
    await people.identity.suspendUser(as(owner), bob.id);
    await expect(people.identity.prove(proofOf(people, keys, aRequest))).rejects.toEqual(fault('agent_not_active'));
    expect(await people.identity.currentAgent(bob.organization, agent.id)).toMatchObject({ status: 'suspended' });
    await expect(people.identity.suspendUser(as(owner), owner.id)).rejects.toEqual(fault('conflict'));
  });
});

describe('users and vaults', () => {
  test('an address belongs to one user, however it is spelled', async () => {
    const { people, user } = await standing();
    const { identity } = people;
    for (const email of ['ada@example.com', 'ADA@Example.COM', ' ada@example.com ']) {
      await expect(createTestUser(people, email), email).rejects.toEqual(fault('conflict'));
      expect(await identity.userByEmail(user.organization, email)).toEqual(user);
    }
    const composed = await createTestUser(people, 'z\u00fcrich@example.com');
    expect(await identity.userByEmail(user.organization, 'zu\u0308rich@EXAMPLE.com')).toEqual(composed);
    const twins = await Promise.allSettled(Array.from({ length: 20 }, () => createTestUser(people, 'twin@example.com')));
    expect(countFulfilled(twins)).toBe(1);
  });

  test('an address or a name that is not one is refused', async () => {
    const people = await openPeople();
    for (const email of ['', 'a', '@', 'a@', '@b', 'a b@c', 'a@b@c', 'a@b\u0000', 'a\u202e@b', `${'a'.repeat(250)}@b.example`, '<a@b>']) {
      await expect(createTestUser(people, email), JSON.stringify(email)).rejects.toEqual(fault('invalid_request'));
    }
  });

  test('everybody has a vault of their own and the one of everyone; an agent has its owner’s', async () => {
    const { people, user, keys } = await standing();
    const { identity } = people;
    const other = await createTestUser(people, 'bob@example.com');
    const agent = await activeTestAgent(people, keys, user);
    const own = await identity.defaultVault(user.organization, { kind: 'user', id: user.id });
    const theirs = await identity.defaultVault(user.organization, { kind: 'user', id: other.id });
    const team = await identity.defaultVault(user.organization, { kind: 'operator' });
    expect(new Set([own, theirs, team]).size).toBe(3);
    expect(await identity.vaultsOf(as(user))).toEqual(expect.arrayContaining([own, team]));
    expect(await identity.vaultsOf(as(user))).not.toContain(theirs);
    expect(new Set(await identity.vaultsOf(identity.principalOf(agent)))).toEqual(new Set([own, team]));
    expect(await identity.defaultVault(user.organization, { kind: 'agent', id: agent.id })).toBe(own);
    const orphan = await enrolTestAgent(people, testKeys());
    expect(await identity.vaultsOf(identity.principalOf(orphan))).toEqual([team]);
  });

  test('lists are searched and paged by key', async () => {
    const people = await openPeople();
    const { identity, organization } = people;
    const handles = ['alpha', 'beta_1', 'beta-2', 'gamma'];
    for (const handle of handles) await enrolTestAgent(people, testKeys(), handle);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await identity.agents(organization.id, { limit: 3, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.items.map(({ handle }) => handle));
      cursor = page.next;
    } while (cursor !== undefined);
    expect(seen).toEqual([...handles].reverse());
    const found = async (text: string) => (await identity.agents(organization.id, { text, limit: 10 })).items.map(({ handle }) => handle);
    expect(await found('BETA')).toEqual(['beta-2', 'beta_1']);
    expect(await found('a_1')).toEqual(['beta_1']);
    expect(await found('%')).toEqual([]);
    expect(await found(`'${randomUUID()}`)).toEqual([]);
    await expect(identity.agents(organization.id, { cursor: 'x', limit: 1 })).rejects.toEqual(fault('invalid_request'));
    await createTestUser(people, 'ada@example.com');
    await createTestUser(people, 'bob@example.com');
    expect((await identity.users(organization.id, { text: 'BOB', limit: 5 })).items).toHaveLength(1);
    expect((await identity.users(organization.id, { limit: 1 })).next).toBeDefined();
  });
});
