import { copyFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { Fault, fakeClock, isFault } from '#kernel';
import { temporaryFolder } from '../../../../test/support/store.ts';
import type { RecordsBackend } from '../../backend.ts';
import { isUniqueViolation, StoreMisuse } from '../../errors.ts';
import { migrate } from '../../migrate.ts';
import { openSqliteRecords } from './records.ts';

async function open(path = join(temporaryFolder(), 'test.db')): Promise<RecordsBackend & { path: string }> {
  const backend = await openSqliteRecords(path);
  await migrate(backend, fakeClock());
  return { ...backend, path };
}

const note = (backend: RecordsBackend, name: string, value = '') =>
  backend.write(undefined, (db) => db.insertInto('platform_facts').values({ name, value, version: 1 }).execute());

const names = async (backend: RecordsBackend) => {
  const rows = await backend.read(undefined, (db) => db.selectFrom('platform_facts').select('name').orderBy('name').execute());
  return rows.map(({ name }) => name);
};

const outcomes = async (writes: readonly Promise<unknown>[]) =>
  (await Promise.allSettled(writes)).map((result) => (result.status === 'fulfilled' ? 'written' : result.reason));

test('writes that wait at once share one transaction', async () => {
  const backend = await open();
  const transactions = new Set<unknown>();
  await Promise.all(
    Array.from({ length: 64 }, (_, index) =>
      backend.write(undefined, async (db) => {
        await db
          .insertInto('platform_facts')
          .values({ name: `n${index}`, value: '', version: 1 })
          .execute();
        const { rows } = await sql<{ n: number }>`select count(*) as n from platform_facts`.execute(db);
        transactions.add(rows[0]?.n);
        const outside = await new DatabaseSyncReader(backend.path).count();
        expect(outside).toBe(0);
      }),
    ),
  );
  expect(transactions.size).toBe(64);
  expect(await names(backend)).toHaveLength(64);
  await backend.close();
});

/** Looks at the file as another program would. */
class DatabaseSyncReader {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async count(): Promise<number> {
    const database = new DatabaseSync(this.#path, { readOnly: true });
    const row = database.prepare('select count(*) as n from platform_facts').get();
    database.close();
    return Number(row?.n);
  }
}

test('if the transaction is gone, every member of the group rejects, and nothing of it is there', async () => {
  const backend = await open();
  const late: unknown[] = [];
  const results = await outcomes([
    note(backend, 'before'),
    backend.write(undefined, async (db) => {
      await sql`rollback`.execute(db);
      await db
        .insertInto('platform_facts')
        .values({ name: 'on its own', value: '', version: 1 })
        .execute()
        .catch((error: unknown) => late.push(error));
    }),
    note(backend, 'after'),
  ]);
  expect(results.every((result) => result instanceof Error)).toBe(true);
  expect(late).toEqual([expect.any(Fault)]);
  expect(await names(backend)).toEqual([]);
  await note(backend, 'next');
  expect(await names(backend)).toEqual(['next']);
  await backend.close();
});

test('if the transaction is gone by an error that its member hides, every member rejects too', async () => {
  const backend = await open();
  await note(backend, 'taken');
  const results = await outcomes([
    note(backend, 'before'),
    backend.write(undefined, async (db) => {
      await sql`insert or rollback into platform_facts (name, value, version) values ('taken', '', 1)`.execute(db).catch(() => {});
    }),
    note(backend, 'after'),
  ]);
  expect(results.every((result) => result instanceof Error)).toBe(true);
  expect(await names(backend)).toEqual(['taken']);
  await backend.close();
});

test('a member that commits for everybody is found out', async () => {
  const backend = await open();
  const results = await outcomes([backend.write(undefined, (db) => sql`commit`.execute(db)), note(backend, 'after')]);
  expect(results.every((result) => result instanceof Error)).toBe(true);
  await note(backend, 'next');
  await backend.close();
});

test('a full disk rejects with a fault, loses nothing that was written, and is over when there is room', async () => {
  const backend = await open();
  await note(backend, 'first');
  const limit = (pages: number) => backend.write(undefined, (db) => sql`pragma max_page_count = ${sql.lit(pages)}`.execute(db));
  const { rows } = await backend.read(undefined, (db) => sql<{ page_count: number }>`pragma page_count`.execute(db));
  await limit(Number(rows[0]?.page_count) + 2);
  const results = await outcomes([note(backend, 'large', 'x'.repeat(200_000)), note(backend, 'small')]);
  expect(isFault(results[0], 'unavailable')).toBe(true);
  const written = await names(backend);
  expect(written).toContain('first');
  expect(written).not.toContain('large');
  expect(written.includes('small')).toBe(results[1] === 'written');
  await limit(1_000_000);
  await note(backend, 'large', 'x'.repeat(200_000));
  expect(await names(backend)).toContain('large');
  await backend.close();
});

test('a file that was moved, removed or replaced is neither written to nor read, until it is back', async () => {
  const backend = await open();
  await note(backend, 'before');
  const away = `${backend.path}.away`;
  const gone = async () => {
    await sleep(120);
    expect(isFault((await outcomes([note(backend, 'lost')]))[0], 'unavailable')).toBe(true);
    await expect(names(backend)).rejects.toMatchObject({ code: 'unavailable' });
  };
  renameSync(backend.path, away);
  await gone();
  copyFileSync(away, backend.path);
  await gone();
  renameSync(away, backend.path);
  await note(backend, 'after');
  expect(await names(backend)).toEqual(['after', 'before']);
  await backend.close();
});

test('a file that another program holds is waited for without blocking the loop', async () => {
  const backend = await open();
  const other = new DatabaseSync(backend.path);
  other.exec('begin immediate');
  const writing = note(backend, 'patient');
  let turns = 0;
  const ticking = setInterval(() => turns++, 1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  other.exec('commit');
  other.close();
  await writing;
  clearInterval(ticking);
  expect(turns).toBeGreaterThan(20);
  expect(await names(backend)).toEqual(['patient']);
  await backend.close();
});

test('a statement that is not SQL, or breaks another constraint, fails with its own error and harms nobody', async () => {
  const backend = await open();
  const results = await outcomes([
    backend.write(undefined, (db) => sql`not sql`.execute(db)),
    backend.write(undefined, (db) => sql`insert into platform_facts (name, value, version) values ('x', null, 1)`.execute(db)),
    note(backend, 'fine'),
  ]);
  expect(results[0]).toBeInstanceOf(Error);
  expect(isUniqueViolation(results[1])).toBe(false);
  expect(results[2]).toBe('written');
  await backend.close();
});

test('a handle has no streams, transactions, connections or plugins of its own', async () => {
  const backend = await open();
  const attempts: ((db: Parameters<Parameters<RecordsBackend['read']>[1]>[0]) => Promise<unknown>)[] = [
    async (db) => {
      for await (const _ of db.selectFrom('platform_facts').selectAll().stream()) break;
    },
    (db) => db.transaction().execute(async () => {}),
    (db) => db.connection().execute(async () => {}),
    async (db) => db.withSchema('main'),
    async (db) => db.withPlugin({} as never),
    (db) => db.destroy(),
    (db) => db.startTransaction().execute(),
  ];
  for (const attempt of attempts) await expect(backend.read(undefined, attempt)).rejects.toThrow(StoreMisuse);
  await backend.close();
});

test('more statements than the cache holds all run', async () => {
  const backend = await open();
  for (let index = 0; index < 600; index++) {
    const { rows } = await backend.read(undefined, (db) => sql<{ n: number }>`select ${sql.lit(index)} as n`.execute(db));
    expect(rows[0]?.n).toBe(index);
  }
  await backend.close();
});

test('an insert tells its row id, a change how many rows, a returning query its rows', async () => {
  const backend = await open();
  await backend.write(undefined, async (db) => {
    const values = { envelope: new Uint8Array(), version: 1 };
    const first = await db
      .insertInto('sealed_values')
      .values({ key: 'a', ...values })
      .executeTakeFirstOrThrow();
    const second = await db
      .insertInto('sealed_values')
      .values({ key: 'b', ...values })
      .returning(['row', 'key'])
      .executeTakeFirstOrThrow();
    expect(first.insertId).toBe(1n);
    expect({ ...second }).toEqual({ row: 2, key: 'b' });
    expect((await db.updateTable('sealed_values').set({ version: 2 }).executeTakeFirstOrThrow()).numUpdatedRows).toBe(2n);
  });
  await backend.close();
});
