import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type LogFields, newId, type Principal, Secret, silentLog } from '#kernel';
import type { Schema } from '#store';
import { openTestAudit } from '../../test/support/audit.ts';
import { openTestStore, type TestStore } from '../../test/support/store.ts';
import { openTestVault } from '../../test/support/vault.ts';
import type { Audit, Draft, RecordedEvent } from './index.ts';

const organization = newId('org');
const user = newId('usr');
const agent = newId('agt');
const principal: Principal = { organization, subject: { kind: 'user', id: user }, actors: [{ kind: 'agent', id: agent }] };
const suspended = (id = agent): Draft => ({ name: 'agent.suspended', principal, fields: { agent: id } });
const allowed = (exchange: string, path = '/'): Draft => ({
  name: 'call.allowed',
  principal,
  fields: { exchange, level: 'cooperative', method: 'GET', host: 'api.github.com', port: 443, path, classes: ['read'] },
  run: newId('run'),
  connection: newId('con'),
});
const finished = (exchange: string): Draft => ({
  name: 'call.finished',
  principal,
  fields: { exchange, status: 200, outcome: 'answered', steps: [{ step: 'answered', ms: 1.5 }] },
});

const record = (store: TestStore, audit: Audit, ...drafts: Draft[]) =>
  store.records.in(organization).write((tx) => audit.record(tx, ...drafts));

async function trail(store: TestStore, audit: Audit, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await record(store, audit, suspended());
}

async function all(audit: Audit): Promise<readonly RecordedEvent[]> {
  return (await audit.search(organization, { limit: 1000, order: 'oldest' })).events;
}

describe('recording', () => {
  it('happens with the change it tells of, or not at all', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    const failing = store.records.in(organization).write(async (tx) => {
      await audit.record(tx, suspended());
      throw new Error('the change failed');
    });
    await expect(failing).rejects.toThrow('the change failed');
    await record(store, audit, suspended());
    expect(await all(audit)).toHaveLength(1);
    expect((await audit.verify(organization)).holds).toBe(true);
  });

  it('keeps the chain whole when neighbours of a group fail', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    const writes = Array.from({ length: 60 }, (_, i) =>
      store.records.in(organization).write(async (tx) => {
        await audit.record(tx, suspended(), suspended());
        if (i % 3 === 0) throw new Error('undone');
      }),
    );
    const exchanges = Array.from({ length: 60 }, (_, i) => audit.exchange(allowed(`x${i}`)));
    const outcomes = await Promise.allSettled(writes);
    await Promise.all(exchanges);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(20);
    const verification = await audit.verify(organization);
    expect(verification).toMatchObject({ holds: true, events: 40 * 2 + 60, writers: 1, unfinished: 60 });
  });

  it('names subject and actors, and what the event is about', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    const draft = allowed('req_1');
    await audit.exchange(draft);
    expect(await all(audit)).toEqual([
      {
        id: expect.stringMatching(/^evt_/),
        organization,
        writer: 'main',
        sequence: 1,
        at: store.clock.now(),
        name: 'call.allowed',
        subject: `user:${user}`,
        actors: [`agent:${agent}`],
        fields: draft.fields,
        run: draft.run,
        connection: draft.connection,
      },
    ]);
  });

  it('refuses a field that the table of events does not list, and values that are not plain', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    const bad: unknown[] = [
      { agent, other: 1 },
      { agent: new Secret('s3cr3t') },
      { agent: { a: 1 } },
      { agent: Number.NaN },
      { agent: [new Secret('x')] },
      { agent: [{ step: 'x', ms: 1 }] },
    ];
    for (const fields of bad) {
      const draft = { ...suspended(), fields } as Draft;
      await expect(audit.exchange(draft)).rejects.toMatchObject({ code: 'internal' });
      await expect(record(store, audit, draft)).rejects.toMatchObject({ code: 'internal' });
    }
    await expect(audit.exchange({ ...suspended(), name: 'no.such' } as unknown as Draft)).rejects.toMatchObject({ code: 'internal' });
    expect(await all(audit)).toEqual([]);
  });

  it('refuses a draft that is no event alone: its neighbours of the same group are recorded', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    const drafts = Array.from({ length: 30 }, (_, i) =>
      i % 3 === 0 ? ({ ...allowed(`x${i}`), fields: { other: 1 } } as Draft) : allowed(`x${i}`),
    );
    const outcomes = await Promise.allSettled(drafts.map((draft) => audit.exchange(draft)));
    expect(outcomes.map(({ status }) => status)).toEqual(drafts.map((_, i) => (i % 3 === 0 ? 'rejected' : 'fulfilled')));
    expect(await audit.verify(organization)).toMatchObject({ holds: true, events: 20 });
  });

  it('goes on in one chain when two processes record in one file', async () => {
    const store = await openTestStore();
    const other = await openTestStore({ home: store.home });
    const keyring = (await import('../../test/support/vault.ts')).testKeyring();
    const first = await openTestAudit(store, { vault: await openTestVault(store, { keyring }) });
    const second = await openTestAudit(other, { vault: await openTestVault(other, { keyring }) });
    await Promise.all(Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? first : second).exchange(allowed(`x${i}`))));
    expect(await first.verify(organization)).toMatchObject({ holds: true, events: 40, writers: 1 });
  });
});

describe('the event of an exchange', () => {
  it('is durable once exchange resolves', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    await audit.exchange(allowed('x1'));
    const other = await openTestStore({ home: store.home });
    const rows = await other.records.platform('test').read(({ db }) => db.selectFrom('events').select('id').execute());
    expect(rows).toHaveLength(1);
  });

  it('is grouped with its neighbours of any organization, in one chain each', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    const organizations = Array.from({ length: 5 }, () => newId('org'));
    await Promise.all(
      Array.from({ length: 2000 }, (_, i) => {
        const draft = allowed(`x${i}`);
        return audit.exchange({ ...draft, principal: { ...principal, organization: organizations[i % 5] ?? organization } });
      }),
    );
    for (const one of organizations) expect(await audit.verify(one)).toMatchObject({ holds: true, events: 400 });
  });

  it('that nobody waits for comes with the next one, in order, or within 50 ms, or by flush', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    const soon = audit.exchange(allowed('x1'), 'soon');
    expect(await all(audit)).toEqual([]);
    await audit.exchange(allowed('x2'));
    expect((await all(audit)).map((event) => event.fields.exchange)).toEqual(['x1', 'x2']);
    await soon;
    await audit.exchange(allowed('x3'), 'soon');
    expect(await all(audit)).toHaveLength(3);
    void audit.exchange(allowed('x4'), 'soon');
    await audit.flush();
    expect(await all(audit)).toHaveLength(4);
    expect(await audit.verify(organization)).toMatchObject({ holds: true, events: 4 });
  });

  it('makes its caller fail when it cannot be recorded', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    await store.close();
    await expect(audit.exchange(allowed('x1'))).rejects.toMatchObject({ code: 'audit_unavailable' });
  });

  it('with mode after is written within 50 ms, and by flush', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store, { mode: 'after' });
    await audit.exchange(allowed('x1'));
    expect(await all(audit)).toEqual([]);
    await audit.flush();
    expect(await all(audit)).toHaveLength(1);
    await audit.exchange(allowed('x2'));
    await wait(200);
    expect(await all(audit)).toHaveLength(2);
  });

  it('with mode after is tried again when the database refused it, and never recorded twice', async () => {
    const store = await openTestStore();
    let refusals = 2;
    const refusing: TestStore['records'] = {
      ...store.records,
      platform: (reason: string): ReturnType<TestStore['records']['platform']> => {
        const scope = store.records.platform(reason);
        return {
          ...scope,
          write: async (fn) => {
            // The first time nothing happens; the second time it happens, but the caller is not told so.
            refusals -= 1;
            if (refusals === 1) throw new Error('not now');
            const result = await scope.write(fn);
            if (refusals === 0) throw new Error('what happened?');
            return result;
          },
        };
      },
    };
    const vault = await openTestVault(store);
    const audit = await openTestAudit(store, { mode: 'after', vault, records: refusing });
    await audit.exchange(allowed('x1'));
    await audit.exchange(allowed('x2'));
    await audit.flush();
    expect((await all(audit)).map((event) => event.fields.exchange)).toEqual(['x1', 'x2']);
    expect(await audit.verify(organization)).toMatchObject({ holds: true, events: 2 });
  });

  it('is refused when too many wait for a database that does not answer', async () => {
    const store = await openTestStore();
    const never = { ...store.records.platform('test'), write: () => new Promise<never>(() => {}) };
    const records = { ...store.records, platform: () => never };
    for (const mode of ['before', 'after'] as const) {
      const audit = await openTestAudit(store, { mode, vault: {} as never, records });
      const waiting = Array.from({ length: 16_384 }, (_, i) => audit.exchange(finished(`x${i}`)));
      for (const one of waiting) one.catch(() => {});
      await expect(audit.exchange(allowed('x'))).rejects.toMatchObject({ code: 'audit_unavailable' });
    }
  });

  it('is refused once the trail is closed, and written before it', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store, { mode: 'after' });
    await audit.exchange(allowed('x1'));
    await audit.close();
    expect(await all(audit)).toHaveLength(1);
    await expect(audit.exchange(allowed('x2'))).rejects.toMatchObject({ code: 'audit_unavailable' });
  });
});

describe('searching', () => {
  it('pages newest first, or oldest first, without a gap or a repetition', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    await Promise.all(Array.from({ length: 25 }, (_, i) => audit.exchange(allowed(`x${i}`))));
    for (const order of ['newest', 'oldest'] as const) {
      const seen: number[] = [];
      let cursor: string | undefined;
      do {
        const page = await audit.search(organization, { limit: 10, order, ...(cursor === undefined ? {} : { cursor }) });
        seen.push(...page.events.map((event) => event.sequence));
        cursor = page.next;
      } while (cursor !== undefined);
      const ascending = Array.from({ length: 25 }, (_, i) => i + 1);
      expect(seen).toEqual(order === 'oldest' ? ascending : ascending.toReversed());
    }
  });

  it('filters', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    const call = allowed('x1', '/repos/100%_Done/"quoted"');
    await audit.exchange(call);
    store.clock.advance(1000);
    await audit.exchange(finished('x1'));
    await record(store, audit, {
      name: 'agent.revoked',
      principal: { ...principal, subject: { kind: 'system' }, actors: [] },
      fields: { agent },
    });
    const names = async (query: object) =>
      (await audit.search(organization, { limit: 10, order: 'oldest', ...query })).events.map((event) => event.name);
    expect(await names({ name: 'call.finished' })).toEqual(['call.finished']);
    expect(await names({ name: 'call.*' })).toEqual(['call.allowed', 'call.finished']);
    expect(await names({ subject: 'system' })).toEqual(['agent.revoked']);
    expect(await names({ subject: user })).toHaveLength(2);
    expect(await names({ actor: `agent:${agent}` })).toHaveLength(2);
    expect(await names({ actor: agent })).toHaveLength(2);
    expect(await names({ run: call.run })).toEqual(['call.allowed']);
    expect(await names({ connection: call.connection })).toEqual(['call.allowed']);
    expect(await names({ since: store.clock.now() })).toEqual(['call.finished', 'agent.revoked']);
    expect(await names({ until: store.clock.now() - 1 })).toEqual(['call.allowed']);
    expect(await names({ text: '100%_done' })).toEqual(['call.allowed']);
    expect(await names({ text: '"quoted"' })).toEqual(['call.allowed']);
    expect(await names({ text: '100__done' })).toEqual([]);
    expect(await names({ cursor: 'nonsense' })).toEqual(await names({ cursor: '0' }));
  });

  it("never shows another organization's events", async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    await audit.exchange(allowed('x1'));
    expect((await audit.search(newId('org'), { limit: 10 })).events).toEqual([]);
  });
});

describe('a subscriber', () => {
  it('hears of what was committed, once, in order, and not of what was undone', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    await audit.exchange(allowed('before'));
    const heard: RecordedEvent[] = [];
    const stop = audit.subscribe((event) => heard.push(event));
    await audit.exchange(allowed('x1'));
    await store.records
      .in(organization)
      .write(async (tx) => {
        await audit.record(tx, suspended());
        throw new Error('undone');
      })
      .catch(() => {});
    await record(store, audit, suspended());
    await expect.poll(() => heard.map((event) => event.name)).toEqual(['call.allowed', 'agent.suspended']);
    stop();
    await record(store, audit, suspended());
    await wait(250);
    expect(heard).toHaveLength(2);
    await audit.close();
  });
});

type EventChange = (rows: readonly { row: number; sequence: number }[], db: TestDatabase) => Promise<unknown>;
type TestDatabase = Parameters<Parameters<ReturnType<TestStore['records']['platform']>['write']>[0]>[0]['db'];

async function tamper(store: TestStore, change: EventChange): Promise<void> {
  await store.records.platform('a thief with the database').write(async ({ db }) => {
    const rows = await db.selectFrom('events').select(['row', 'sequence']).orderBy('sequence').execute();
    await change(rows, db);
  });
}

const set = (db: TestDatabase, sequence: number, values: Partial<Schema['events']>) =>
  db
    .updateTable('events')
    .set(values as never)
    .where('sequence', '=', sequence)
    .execute();

describe('verification', () => {
  it('says up to which checkpoint the trail is whole, and how long the tail after it is', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    await trail(store, audit, 3);
    expect(await audit.checkpoint()).toBe(1);
    expect(await audit.checkpoint()).toBe(0);
    await trail(store, audit, 2);
    expect(await audit.verify(organization)).toEqual({
      events: 5,
      writers: 1,
      holds: true,
      checkpoints: [{ writer: 'main', sequence: 3, at: store.clock.now() }],
      tail: 2,
      breaks: [],
      unfinished: 0,
    });
    expect(await audit.checkpoint()).toBe(1);
    expect(await audit.verify(organization)).toMatchObject({ holds: true, tail: 0 });
  });

  it('of an empty trail holds', async () => {
    const audit = await openTestAudit(await openTestStore());
    expect(await audit.verify(organization)).toMatchObject({ holds: true, events: 0, writers: 0, tail: 0 });
  });

  it('walks chains longer than a page, with many checkpoints', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    for (let i = 0; i < 12; i++) {
      await Promise.all(Array.from({ length: 100 }, (_, j) => audit.exchange(finished(`x${i}.${j}`))));
      await audit.checkpoint();
    }
    expect(await audit.verify(organization)).toMatchObject({ holds: true, events: 1200, tail: 0, checkpoints: [{ sequence: 1200 }] });
  });

  it('shows calls that never finished', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    await audit.exchange(allowed('x1'));
    await audit.exchange(allowed('x2'));
    await audit.exchange(finished('x1'));
    expect(await audit.verify(organization)).toMatchObject({ holds: true, unfinished: 1 });
  });

  const tamperings: [string, EventChange][] = [
    ['a changed body', (_, db) => set(db, 2, { body_json: '{}' })],
    ['a changed name column', (_, db) => set(db, 2, { name: 'agent.revoked' })],
    ['a changed time', (_, db) => set(db, 2, { at: 1 })],
    ['a changed subject', (_, db) => set(db, 2, { subject: 'system' })],
    ['a changed actor', (_, db) => set(db, 2, { actor: '' })],
    ['a changed hash', (_, db) => set(db, 2, { hash: Buffer.alloc(32) })],
    ['a deleted event', (_, db) => db.deleteFrom('events').where('sequence', '=', 2).execute()],
    ['a deleted first event', (_, db) => db.deleteFrom('events').where('sequence', '=', 1).execute()],
    ['a deleted last event', (_, db) => db.deleteFrom('events').where('sequence', '=', 5).execute()],
    [
      'two events in the other order',
      async (_, db) => {
        await set(db, 2, { sequence: 99 });
        await set(db, 3, { sequence: 2 });
        await set(db, 99, { sequence: 3 });
      },
    ],
    ['a missing head', (_, db) => db.deleteFrom('audit_heads').execute()],
    [
      'another head',
      (_, db) =>
        db
          .updateTable('audit_heads')
          .set({ hash: Buffer.alloc(32) })
          .execute(),
    ],
    [
      'a tail cut off before a checkpoint, with its head moved',
      async (_, db) => {
        const last = await db.selectFrom('events').select('hash').where('sequence', '=', 3).executeTakeFirstOrThrow();
        await db.deleteFrom('events').where('sequence', '>', 3).execute();
        await db.updateTable('audit_heads').set({ sequence: 3, hash: last.hash }).execute();
      },
    ],
    ['a checkpoint moved to another event', (_, db) => db.updateTable('audit_checkpoints').set({ sequence: 3 }).execute()],
    [
      'a forged checkpoint',
      (_, db) =>
        db
          .updateTable('audit_checkpoints')
          .set({ signature: Buffer.alloc(64) })
          .execute(),
    ],
    ['a changed checkpoint time', (_, db) => db.updateTable('audit_checkpoints').set({ at: 1 }).execute()],
    ['a missing checkpoint key', (_, db) => db.deleteFrom('audit_keys').execute()],
    [
      'a damaged checkpoint key',
      (_, db) =>
        db
          .updateTable('audit_keys')
          .set({ key_envelope: Buffer.alloc(100, 1) })
          .execute(),
    ],
  ];

  it.each(tamperings)('finds %s', async (_, change) => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    await trail(store, audit, 4);
    await audit.checkpoint();
    await trail(store, audit, 1);
    expect((await audit.verify(organization)).holds).toBe(true);
    await tamper(store, change);
    const verification = await audit.verify(organization);
    expect(verification.holds).toBe(false);
    expect(verification.breaks[0]).toMatchObject({ writer: 'main', reason: expect.any(String) });
  });

  it('finds a chain that was hashed anew behind a checkpoint', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    await trail(store, audit, 3);
    await audit.checkpoint();
    await tamper(store, async (_, db) => {
      await db.deleteFrom('events').execute();
      await db.deleteFrom('audit_heads').execute();
    });
    await trail(store, audit, 3);
    const { holds, breaks } = await audit.verify(organization);
    expect(holds).toBe(false);
    expect(breaks).toEqual([{ writer: 'main', sequence: 3, reason: 'is not what the checkpoint signed' }]);
  });

  it('is not fooled by what is recorded and signed meanwhile', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    await trail(store, audit, 5);
    let done = false;
    const recording = (async () => {
      while (!done) {
        await Promise.all(Array.from({ length: 50 }, (_, i) => audit.exchange(finished(`x${i}`))));
        await audit.checkpoint();
      }
    })();
    for (let i = 0; i < 10; i++) expect((await audit.verify(organization)).breaks).toEqual([]);
    done = true;
    await recording;
  });
});

describe('a checkpoint', () => {
  it('is made once by processes that sign at the same time, under one key', async () => {
    const store = await openTestStore();
    const audit = await openTestAudit(store);
    await trail(store, audit, 2);
    const counts = await Promise.all(Array.from({ length: 10 }, () => audit.checkpoint()));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1);
    expect(await audit.verify(organization)).toMatchObject({ holds: true, tail: 0 });
  });

  it('goes to the log with all that a reader needs, and no private key', async () => {
    const lines: LogFields[] = [];
    const store = await openTestStore();
    const log = { ...silentLog, info: (_: string, fields?: LogFields) => void lines.push(fields ?? {}) };
    const audit = await openTestAudit(store, { log });
    await trail(store, audit, 2);
    await audit.checkpoint();
    expect(lines).toEqual([
      {
        organization,
        writer: 'main',
        sequence: 2,
        hash: expect.stringMatching(/^[0-9a-f]{64}$/),
        at: store.clock.now(),
        signature: expect.any(String),
        key: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    ]);
  });
});
