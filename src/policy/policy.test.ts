import { beforeEach, describe, expect, it } from 'vitest';
import type { Audit } from '#audit';
import { type ConnectionId, isFault, newId, type Principal, Secret, silentLog } from '#kernel';
import { openTestAudit } from '../../test/support/audit.ts';
import { openTestStore, type TestStore } from '../../test/support/store.ts';
import { createPolicy, type PermissionDraft, type Policy, type Question } from './index.ts';

const organization = newId('org');
const person = newId('usr');
const session = newId('ses');
const agent = newId('agt');
const connection: ConnectionId = newId('con');
const by: Principal = { organization, subject: { kind: 'user', id: person }, actors: [] };
const asAgent: Principal = { ...by, actors: [{ kind: 'agent', id: agent }] };
const about: Question['agent'] = { id: agent, handle: 'coder', owner: person, confirmed: true };

let store: TestStore;
let audit: Audit;
let policy: Policy;

beforeEach(async () => {
  store = await openTestStore();
  audit = await openTestAudit(store);
  policy = createPolicy({ records: store.records, changes: store.changes, audit, clock: store.clock, log: silentLog });
});

function draft(parts: Partial<PermissionDraft> = {}): PermissionDraft {
  return {
    effect: 'allow',
    agent,
    owner: undefined,
    target: { kind: 'connection', id: connection },
    reach: { classes: ['read'], operations: [], patterns: [], everything: false },
    level: undefined,
    passCredential: false,
    expiresAt: undefined,
    ...parts,
  };
}

const give = (parts: Partial<PermissionDraft> = {}, who = by) =>
  store.records.in(organization).write((tx) => policy.give(tx, who, draft(parts)));
const end = (id: Awaited<ReturnType<typeof give>>['id'], who = by) => store.records.in(organization).write((tx) => policy.end(tx, who, id));
const eventNames = async () => (await audit.search(organization, { limit: 100, order: 'oldest' })).events.map((event) => event.name);

const asked: Question = {
  principal: asAgent,
  agent: about,
  level: 'cooperative',
  connection: { id: connection, provider: 'github', name: 'work' },
  call: { method: 'GET', host: 'api.github.com', path: '/user' },
  operation: { id: 'user.get', classes: ['read'] },
  ambiguous: false,
  at: Date.UTC(2026, 0, 1),
};
const effect = async () => policy.decide(await policy.facts(organization, about), asked).effect;

describe('a permission', () => {
  it('counts from the moment it is given until it is ended', async () => {
    expect(await effect()).toBe('deny');
    const given = await give();
    expect(await effect()).toBe('allow');
    expect((await end(given.id)).endedAt).toBe(store.clock.now());
    expect(await effect()).toBe('deny');
    expect(await eventNames()).toEqual(['permission.given', 'permission.ended']);
  });

  it('does not count if its transaction fails', async () => {
    const failing = store.records.in(organization).write(async (tx) => {
      await policy.give(tx, by, draft());
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await effect()).toBe('deny');
    expect(await eventNames()).toEqual([]);
  });

  it('for all agents of an owner counts for those of that owner', async () => {
    await give({ agent: undefined, owner: person });
    expect(await effect()).toBe('allow');
    const other = { ...about, owner: newId('usr') };
    expect((await policy.facts(organization, other)).allow).toEqual([]);
    expect((await policy.facts(newId('org'), about)).allow).toEqual([]);
  });

  it('is ended once, by one of many', async () => {
    const given = await give();
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => end(given.id)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await expect(end(newId('prm'))).rejects.toMatchObject({ code: 'not_found' });
  });

  it('is never given or ended by an agent, nor by who acts for another', async () => {
    const given = await give();
    for (const who of [asAgent, { ...by, subject: { kind: 'agent', id: agent } } as Principal]) {
      await expect(give({}, who)).rejects.toMatchObject({ code: 'forbidden' });
      await expect(end(given.id, who)).rejects.toMatchObject({ code: 'forbidden' });
    }
  });

  it.each<[string, Partial<PermissionDraft>]>([
    ['for nobody', { agent: undefined }],
    ['for one agent and all of them', { owner: person }],
    ['about nothing', { target: { kind: 'provider', id: 'Not A Name' } }],
    ['that reaches nothing', { reach: { classes: [], operations: [], patterns: [], everything: false } }],
    [
      'with a pattern that is none',
      { reach: { classes: [], operations: [], patterns: [{ methods: [], path: '/**/a' }], everything: false } },
    ],
    ['that has ended already', { expiresAt: Date.UTC(2026, 0, 1) }],
    ['that ends at no time', { expiresAt: Number.POSITIVE_INFINITY }],
    ['that denies at one level', { effect: 'deny', level: 'separated' }],
    ['that denies and passes', { effect: 'deny', passCredential: true }],
  ])('%s is refused', async (_, parts) => {
    await expect(give(parts)).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('comes back as it was given', async () => {
    const given = await give({
      agent: undefined,
      owner: person,
      target: { kind: 'provider', id: 'github' },
      reach: { classes: ['read'], operations: ['a.b'], patterns: [{ methods: ['GET'], path: '/x/**' }], everything: false },
      level: 'separated',
      passCredential: true,
      expiresAt: Date.UTC(2027, 0, 1),
    });
    expect(await policy.permission(organization, given.id)).toEqual(given);
    expect((await policy.facts(organization, about)).allow).toEqual([given]);
    expect(await policy.permission(newId('org'), given.id)).toBeUndefined();
    const [event] = (await audit.search(organization, { limit: 1 })).events;
    expect(event).toMatchObject({
      permission: given.id,
      fields: {
        effect: 'allow',
        agent: null,
        provider: 'github',
        reach: 'read,op:a.b,GET /x/**',
        level: 'separated',
        pass_credential: true,
        expires_at: given.expiresAt,
      },
    });
  });

  it('is listed by page, agent, connection, text, and ended ones only if asked', async () => {
    const made = [];
    for (let i = 0; i < 5; i++) made.push(await give({ reach: { classes: [], operations: [`op_${i}`], patterns: [], everything: false } }));
    const other = await give({ agent: newId('agt'), target: { kind: 'provider', id: 'github' } });
    await end((made[0] as (typeof made)[0]).id);
    const ids = async (query: object) => (await policy.list(organization, { limit: 10, ...query })).items.map((one) => one.id);
    expect(await ids({ agent })).toEqual(
      made
        .slice(1)
        .map((one) => one.id)
        .reverse(),
    );
    expect(await ids({ agent, includeEnded: true })).toHaveLength(5);
    expect(await ids({ connection })).toHaveLength(4);
    expect(await ids({ text: 'op_3' })).toEqual([made[3]?.id]);
    expect(await ids({ text: 'GITHUB' })).toEqual([other.id]);
    const first = await policy.list(organization, { limit: 3 });
    const rest = await policy.list(organization, { limit: 3, cursor: first.next ?? '' });
    expect([...first.items, ...rest.items].map((one) => one.id)).toEqual([
      other.id,
      ...made
        .slice(1)
        .map((one) => one.id)
        .reverse(),
    ]);
    expect(rest.next).toBeUndefined();
  });

  it('is explained', async () => {
    const given = await give();
    const { decision, considered } = await policy.explain(asked);
    expect(decision.effect).toBe('allow');
    expect(considered).toEqual([{ permission: given, applies: true, why: 'it allows the call' }]);
  });

  it('given in another process counts here within a second', async () => {
    expect(await effect()).toBe('deny');
    const other = await openTestStore({ home: store.home });
    const there = createPolicy({ records: other.records, changes: other.changes, audit, clock: other.clock, log: silentLog });
    await other.records.in(organization).write((tx) => there.give(tx, by, draft()));
    const began = performance.now();
    await expect.poll(effect, { timeout: 3000, interval: 20 }).toBe('allow');
    expect(performance.now() - began).toBeLessThan(1500);
  });
});

const change = { agent, reach: { classes: ['read'] }, nested: { b: 1, a: undefined } };
const ask = () => policy.ask(by, 'permission.give', change);
const nothing = async () => ({});

describe('a confirmation', () => {
  it('shows the change whole, under a digest that does not depend on the order of its keys', async () => {
    const one = await ask();
    const other = await policy.ask(by, 'permission.give', { nested: { b: 1 }, reach: { classes: ['read'] }, agent });
    expect(one.change).toEqual({ agent, reach: { classes: ['read'] }, nested: { b: 1 } });
    expect(one).toMatchObject({
      status: 'open',
      requestedBy: by.subject,
      digest: other.digest,
      expiresAt: store.clock.now() + 15 * 60_000,
    });
    expect((await policy.ask(by, 'agent.confirm', change)).digest).not.toBe(one.digest);
    expect(await policy.confirmation(organization, one.id)).toEqual(one);
    expect(await policy.confirmation(newId('org'), one.id)).toBeUndefined();
  });

  it('is spent exactly once by fifty answers at once, and what it confirms happens once, with it', async () => {
    const { id } = await ask();
    const answers = Array.from({ length: 50 }, (_, i) =>
      policy.answer(by, session, id, i % 5 === 4 ? 'no' : 'yes', async (tx) => ({ permission: (await policy.give(tx, by, draft())).id })),
    );
    const outcomes = await Promise.allSettled(answers);
    const done = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    expect(done).toHaveLength(1);
    for (const outcome of outcomes) if (outcome.status === 'rejected') expect(isFault(outcome.reason, 'confirmation_ended')).toBe(true);
    const { items } = await policy.list(organization, { limit: 10 });
    expect(items).toHaveLength(1);
    expect(done[0]).toMatchObject({ status: 'confirmed', result: { permission: items[0]?.id } });
    expect(await eventNames()).toEqual(['confirmation.asked', 'confirmation.given', 'permission.given']);
  });

  it('is spent exactly once by two processes', async () => {
    const { id } = await ask();
    const other = await openTestStore({ home: store.home });
    const there = createPolicy({ records: other.records, changes: other.changes, audit, clock: other.clock, log: silentLog });
    const answers = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? policy : there).answer(by, session, id, 'yes', nothing));
    const outcomes = await Promise.allSettled(answers);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('stays open if what it confirms fails', async () => {
    const { id } = await ask();
    const failing = policy.answer(by, session, id, 'yes', async (tx) => {
      await policy.give(tx, by, draft());
      throw new Error('could not');
    });
    await expect(failing).rejects.toThrow('could not');
    expect((await policy.confirmation(organization, id))?.status).toBe('open');
    expect(await effect()).toBe('deny');
    expect(await policy.answer(by, session, id, 'yes', nothing)).toMatchObject({ status: 'confirmed', result: {} });
  });

  it('refused changes nothing', async () => {
    const { id } = await ask();
    const refused = await policy.answer(by, session, id, 'no', async () => {
      throw new Error('must not run');
    });
    expect(refused).toMatchObject({ status: 'refused', result: undefined });
    await expect(policy.answer(by, session, id, 'yes', nothing)).rejects.toMatchObject({ code: 'confirmation_ended' });
    expect(await eventNames()).toEqual(['confirmation.asked', 'confirmation.refused']);
  });

  it('expires after a quarter of an hour', async () => {
    const { id } = await ask();
    store.clock.advance(15 * 60_000);
    await expect(policy.answer(by, session, id, 'yes', nothing)).rejects.toMatchObject({ code: 'confirmation_ended' });
    expect((await policy.confirmation(organization, id))?.status).toBe('expired');
    const open = await ask();
    const ids = async (status: 'open' | 'expired') =>
      (await policy.confirmations(organization, { status, limit: 10 })).items.map((one) => one.id);
    expect(await ids('open')).toEqual([open.id]);
    expect(await ids('expired')).toEqual([id]);
  });

  it('is answered by a person for themselves only, of the same organization', async () => {
    const { id } = await ask();
    const others: Principal[] = [
      asAgent,
      { ...by, subject: { kind: 'agent', id: agent } },
      { ...by, subject: { kind: 'system' } },
      { ...by, subject: { kind: 'operator' } },
    ];
    for (const who of others) await expect(policy.answer(who, session, id, 'yes', nothing)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(policy.answer({ ...by, organization: newId('org') }, session, id, 'yes', nothing)).rejects.toMatchObject({
      code: 'confirmation_ended',
    });
  });

  it('whose change was exchanged in the database is not applied', async () => {
    const { id } = await ask();
    await store.records.platform('a thief with the database').write(async ({ db }) => {
      await db.updateTable('confirmations').set({ change_json: '{"reach":{"everything":true}}' }).execute();
    });
    await expect(policy.answer(by, session, id, 'yes', nothing)).rejects.toMatchObject({ code: 'confirmation_ended' });
  });

  it('holds no secret', async () => {
    await expect(policy.ask(by, 'connection.reveal', { key: new Secret('x') })).rejects.toMatchObject({ code: 'internal' });
    await expect(policy.ask(by, 'connection.reveal', { at: new Date() })).rejects.toMatchObject({ code: 'internal' });
  });

  it('is listed by page and status', async () => {
    for (let i = 0; i < 5; i++) await ask();
    const first = await policy.confirmations(organization, { limit: 3 });
    const rest = await policy.confirmations(organization, { limit: 3, cursor: first.next ?? '' });
    expect([first.items.length, rest.items.length, rest.next]).toEqual([3, 2, undefined]);
    expect((await policy.confirmations(organization, { status: 'confirmed', limit: 3 })).items).toEqual([]);
  });
});
