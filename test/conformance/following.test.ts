import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import type { Audit, RecordedEvent } from '#audit';
import { type Clock, newId, type Principal, systemClock } from '#kernel';
import type { Store } from '#store';
import { openTestAudit } from '../support/audit.ts';
import { kinds, newDatabase, openOn } from '../support/databases.ts';
import { testWith } from '../support/need.ts';
import type { TestStore } from '../support/store.ts';
import { openTestVault } from '../support/vault.ts';

const organization = newId('org');
const agent = newId('agt');
const principal: Principal = { organization, subject: { kind: 'agent', id: agent }, actors: [] };

describe.each(kinds)('following the trail on $name', (kind) => {
  const test = testWith(...kind.needs);

  async function record(audit: Audit, store: Store, by: string, meanwhile: () => Promise<unknown> = async () => {}): Promise<void> {
    await store.records.in(organization).write(async (tx) => {
      await audit.record(tx, { name: 'agent.suspended', principal, fields: { agent: by } });
      await meanwhile();
    });
  }

  /** Which of two events has the lower row. */
  async function rowsOf(store: TestStore<Clock>, names: readonly string[]): Promise<readonly (readonly [string, number])[]> {
    const rows = await store.records
      .platform('test')
      .read(({ db }) => db.selectFrom('events').select(['row', 'body_json']).orderBy('row').execute());
    return names.map((name) => [name, rows.find(({ body_json }) => body_json.includes(`"${name}"`))?.row ?? 0]);
  }

  test('an event that another process commits after a later one is told, once, and each chain stays in order', async () => {
    const database = await newDatabase(kind);
    const stores = [await openOn(database, systemClock), await openOn(database, systemClock), await openOn(database, systemClock)];
    const [slow, quick, reading] = stores as [TestStore<Clock>, TestStore<Clock>, TestStore<Clock>];
    const vault = await openTestVault(slow);
    const audits = {
      slow: await openTestAudit(slow, { vault, writer: 'slow' }),
      quick: await openTestAudit(quick, { vault, writer: 'quick' }),
      reading: await openTestAudit(reading, { vault, writer: 'reading' }),
    };
    for (const [audit, store] of [
      [audits.slow, slow],
      [audits.quick, quick],
    ] as const)
      await record(audit, store, 'before');
    const heard: RecordedEvent[] = [];
    audits.reading.subscribe((event) => heard.push(event));
    await sleep(150);
    let { position } = await audits.reading.follow(organization, { limit: 1 }, 'now');
    const pulled: RecordedEvent[] = [];
    const pull = async () => {
      const answer = await audits.reading.follow(organization, { limit: 1 }, position);
      position = answer.position;
      pulled.push(...answer.events);
    };

    const late = record(audits.slow, slow, 'late', async () => {
      await sleep(100);
      await Promise.race([record(audits.quick, quick, 'early'), sleep(300)]);
      await pull();
      await sleep(300);
    });
    await late;
    await pull();
    await record(audits.slow, slow, 'later');
    await sleep(400);
    await pull();

    const told = (events: readonly RecordedEvent[]) => events.map(({ fields }) => String(fields.agent));
    expect(told(pulled)).toEqual(['early', 'late', 'later']);
    for (const events of [heard, pulled]) {
      const own = events.filter(({ writer }) => writer === 'slow').map(({ sequence }) => sequence);
      expect(own).toEqual([...own].sort((a, b) => a - b));
    }
    // It is what it claims to be: the event that came last but one has the lowest row.
    const rows = await rowsOf(reading, ['late', 'early', 'later']);
    expect([rows.map(([, row]) => row), told(heard)]).toEqual([
      rows.map(([, row]) => row).toSorted((a, b) => a - b),
      ['early', 'late', 'later'],
    ]);
    for (const audit of Object.values(audits)) await audit.close();
    for (const store of stores) await store.close();
  });
});
