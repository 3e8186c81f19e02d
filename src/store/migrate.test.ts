import { join } from 'node:path';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { fakeClock, isFault } from '#kernel';
import { temporaryFolder } from '../../test/support/store.ts';
import { openSqliteRecords } from './backends/sqlite/records.ts';
import { migrate } from './migrate.ts';
import { first } from './migrations/0001-first.ts';
import type { Migration } from './migrations/index.ts';
import { createTable } from './migrations/tables.ts';

const second: Migration = {
  name: '0002-second',
  run: (db, words) =>
    createTable(db, words, 'later', { columns: { row: 'row', name: 'key', note: 'text?' }, unique: [['name']], indexes: [['note']] }),
};

const failing: Migration = {
  name: '0003-failing',
  async run(db) {
    await db.schema.createTable('half').addColumn('x', 'integer').execute();
    throw new Error('halfway');
  },
};

const open = () => openSqliteRecords(join(temporaryFolder(), 'test.db'));
const clock = fakeClock();

test('missing migrations run in order, once, and are recorded with their time', async () => {
  const backend = await open();
  expect(await migrate(backend, clock, [first])).toEqual(['0001-first']);
  expect(await migrate(backend, clock, [first, second])).toEqual(['0002-second']);
  expect(await migrate(backend, clock, [first, second])).toEqual([]);
  const rows = await backend.read(undefined, (db) => db.selectFrom('migrations').selectAll().execute());
  expect(rows.map((row) => ({ ...row }))).toEqual([
    { name: '0001-first', applied_at: clock.now() },
    { name: '0002-second', applied_at: clock.now() },
  ]);
  await backend.close();
});

test('a migration that fails leaves nothing, neither of itself nor of those before it in the same start', async () => {
  const backend = await open();
  await migrate(backend, clock, [first]);
  await expect(migrate(backend, clock, [first, second, failing])).rejects.toThrow('halfway');
  const tables = await backend.read(undefined, (db) => db.introspection.getTables());
  expect(tables.map(({ name }) => name)).not.toContain('later');
  expect(tables.map(({ name }) => name)).not.toContain('half');
  expect(await migrate(backend, clock, [first, second])).toEqual(['0002-second']);
  await backend.close();
});

test('an older program refuses a newer database and changes nothing in it', async () => {
  const backend = await open();
  await migrate(backend, clock, [first, second]);
  await expect(migrate(backend, clock, [first])).rejects.toSatisfy((error) => isFault(error, 'store_newer'));
  await backend.close();
});

test('two connections that migrate at once share the work', async () => {
  const path = join(temporaryFolder(), 'test.db');
  const backends = await Promise.all([openSqliteRecords(path), openSqliteRecords(path), openSqliteRecords(path)]);
  const ran = await Promise.all(backends.map((backend) => migrate(backend, clock)));
  expect(ran.flat()).toEqual(['0001-first']);
  for (const backend of backends) await backend.close();
});

test('the tables have the constraints that rules lean on', async () => {
  const backend = await open();
  await migrate(backend, clock);
  const { rows } = await backend.read(undefined, (db) =>
    sql<{ name: string; columns: string }>`
      select m.name || ':' || group_concat(c.name, ',') as name from sqlite_master m, pragma_index_list(m.name) i, pragma_index_info(i.name) c
      where m.type = 'table' and i."unique" = 1 group by m.name, i.name`.execute(db),
  );
  const unique = new Set(rows.map(({ name }) => name));
  for (const wanted of [
    'users:organization_id,email_key',
    'agents:organization_id,handle',
    'agents:organization_id,did',
    'connections:vault_id,provider_id,name,live',
    'sessions:token_hash',
    'sessions:made_from',
    'sealed_values:key',
    'events:organization_id,writer,sequence',
    'spent_values:hash',
    'organizations:issuer',
    'organizations:slug',
    'data_keys:scope',
    'authorities:organization_id',
    'audit_keys:organization_id',
    'provider_definitions:organization_id,provider_id',
    'provider_clients:organization_id,provider_id',
    'jobs:unique_key',
  ])
    expect(unique, wanted).toContain(wanted);
  await backend.close();
});
