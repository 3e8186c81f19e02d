import { join } from 'node:path';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { fakeClock, isFault, silentLog } from '#kernel';
import { temporaryFolder } from '../../test/support/store.ts';
import { openSqliteRecords } from './backends/sqlite/records.ts';
import { isEmpty, migrate, schemaState } from './migrate.ts';
import { first } from './migrations/0001-first.ts';
import { type Migration, migrations } from './migrations/index.ts';
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
  expect(await migrate(backend, clock, { known: [first] })).toEqual(['0001-first']);
  expect(await migrate(backend, clock, { known: [first, second] })).toEqual(['0002-second']);
  expect(await migrate(backend, clock, { known: [first, second] })).toEqual([]);
  const rows = await backend.read(undefined, (db) => db.selectFrom('migrations').selectAll().execute());
  expect(rows.map((row) => ({ ...row }))).toEqual([
    { name: '0001-first', applied_at: clock.now() },
    { name: '0002-second', applied_at: clock.now() },
  ]);
  await backend.close();
});

test('a migration that fails leaves nothing, neither of itself nor of those before it in the same start', async () => {
  const backend = await open();
  await migrate(backend, clock, { known: [first] });
  await expect(migrate(backend, clock, { known: [first, second, failing] })).rejects.toThrow('halfway');
  const tables = await backend.read(undefined, (db) => db.introspection.getTables());
  expect(tables.map(({ name }) => name)).not.toContain('later');
  expect(tables.map(({ name }) => name)).not.toContain('half');
  expect(await migrate(backend, clock, { known: [first, second] })).toEqual(['0002-second']);
  await backend.close();
});

test('an older program refuses a newer database and changes nothing in it', async () => {
  const backend = await open();
  await migrate(backend, clock, { known: [first, second] });
  await expect(migrate(backend, clock, { known: [first] })).rejects.toSatisfy((error) => isFault(error, 'store_newer'));
  await backend.close();
});

test('tables of another program are refused, and left alone beside ours when they are let in', async () => {
  const backend = await open();
  await backend.exclusively((db) => sql`create table theirs (x integer)`.execute(db));
  await backend.exclusively((db) => sql`insert into theirs values (7)`.execute(db));
  await expect(migrate(backend, clock)).rejects.toSatisfy((error) => isFault(error, 'store_foreign'));
  expect(await schemaState(backend)).toEqual({ applied: [], pending: migrations.map(({ name }) => name), newer: [], foreign: ['theirs'] });
  expect(await migrate(backend, clock, { intoExisting: true })).toEqual(migrations.map(({ name }) => name));
  expect(await migrate(backend, clock)).toEqual([]);
  expect(await schemaState(backend)).toMatchObject({ pending: [], foreign: ['theirs'] });
  expect(await isEmpty(backend)).toBe(true);
  const rows = await backend.read(undefined, (db) => sql`select x from theirs`.execute(db));
  expect(rows.rows.map((row) => ({ ...(row as object) }))).toEqual([{ x: 7 }]);
  await backend.close();
});

test('tables of another program that bear names of ours are refused in any case', async () => {
  for (const statements of [
    ['create table users (x integer)'],
    ['create table migrations (id integer, migration text)', `insert into migrations values (1, '2014_create_users')`],
  ]) {
    const backend = await open();
    for (const statement of statements) await backend.exclusively((db) => sql.raw(statement).execute(db));
    await expect(migrate(backend, clock, { intoExisting: true })).rejects.toSatisfy((error) => isFault(error, 'store_foreign'));
    const tables = await backend.read(undefined, (db) => db.introspection.getTables());
    expect(tables).toHaveLength(1);
    await backend.close();
  }
});

test('a line tells when it begins, one of each migration its time, and one when it is done; nothing to do is not told', async () => {
  const lines: string[] = [];
  const info = (message: string, fields?: object) => void lines.push([message, ...Object.keys(fields ?? {})].join(' '));
  const log = { ...silentLog, info };
  const backend = await open();
  await migrate(backend, clock, { known: [first, second], log });
  expect(lines.splice(0)).toEqual([
    'migrating the database migrations',
    'migrated migration ms',
    'migrated migration ms',
    'the database is up to date migrations ms',
  ]);
  await migrate(backend, clock, { known: [first, second], log });
  expect(lines).toEqual([]);
  await backend.close();
});

test('two connections that migrate at once share the work', async () => {
  const path = join(temporaryFolder(), 'test.db');
  const backends = await Promise.all([openSqliteRecords(path), openSqliteRecords(path), openSqliteRecords(path)]);
  const ran = await Promise.all(backends.map((backend) => migrate(backend, clock)));
  expect(ran.flat()).toEqual(migrations.map(({ name }) => name));
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
