import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { describe, expect } from 'vitest';
import { silentLog, systemClock } from '#kernel';
import { openStore, type Store } from '#store';
import { type Database, kinds, newDatabase, newPooledDatabase, pooledNeeds } from '../support/databases.ts';
import { testWith } from '../support/need.ts';
import { temporaryFolder } from '../support/store.ts';

async function opened(database: Database): Promise<Store> {
  const store = await openStore({ home: temporaryFolder(), ephemera: 'sql', database, clock: systemClock, log: silentLog });
  await store.migrate();
  return store;
}

/** A little of everything. */
async function use(store: Store): Promise<void> {
  const platform = store.records.platform('test');
  await platform.write(async (tx) => {
    await tx.db.insertInto('platform_facts').values({ name: 'ours', value: '', version: 1 }).execute();
    await tx.bump('keys');
  });
  await platform.read(({ db }) => db.selectFrom('platform_facts').selectAll().execute());
  await store.sealed.put('vault:a:b:connection:c', Buffer.from('sealed'), 0);
  await store.ephemera.claim('claimed', 'value', 60_000);
  await store.ephemera.put('put', 'value', 60_000);
  await store.ephemera.take('put');
  await store.ephemera.bump('bumped', 60_000);
  await store.ephemera.sweep();
  expect(await store.isEmpty()).toBe(false);
}

const rows = async <R>(store: Store, text: string): Promise<R[]> =>
  (await store.records.platform('test').read(({ db }) => sql.raw<R>(text).execute(db))).rows;

describe.each(kinds.filter(({ name }) => name !== 'postgresql'))('every table on $name', (kind) => {
  const test = testWith(...kind.needs);

  test('states its character set, whatever that of the database; keys, codes and hashes are bytes', async () => {
    const store = await opened(await newDatabase(kind));
    const tables = await rows<{ name: string; collation: string }>(
      store,
      `select table_name as name, table_collation as collation from information_schema.tables where table_schema = database()`,
    );
    expect(tables.length).toBeGreaterThan(20);
    const binary = kind.name === 'mariadb' ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin';
    expect(tables.filter(({ collation }) => collation !== binary)).toEqual([]);
    const columns = await rows<{ place: string; type: string; collation: string | null }>(
      store,
      `select concat(table_name, '.', column_name) as place, data_type as type, collation_name as collation
        from information_schema.columns where table_schema = database()`,
    );
    const allowed = new Set([`longtext ${binary}`, ...['varbinary', 'bigint', 'longblob', 'mediumblob'].map((type) => `${type} null`)]);
    expect(columns.filter(({ type, collation }) => !allowed.has(`${type} ${collation ?? 'null'}`))).toEqual([]);
    const indexed = await rows<{ type: string }>(
      store,
      `select distinct c.data_type as type from information_schema.statistics s join information_schema.columns c
        on c.table_schema = s.table_schema and c.table_name = s.table_name and c.column_name = s.column_name where s.table_schema = database()`,
    );
    expect(indexed.map(({ type }) => type).sort()).toEqual(['bigint', 'varbinary']);
    await store.close();
  });
});

const places = [
  { name: 'postgresql', needs: kinds[0]?.needs ?? [], make: () => newDatabase(kinds[0] as (typeof kinds)[number]) },
  { name: 'postgresql behind pgbouncer', needs: pooledNeeds, make: newPooledDatabase },
];

describe.each(places)('every table on $name', ({ needs, make }) => {
  const test = testWith(...needs);

  test('compares text by its bytes, whatever the order of the database', async () => {
    const database = await make();
    const store = await opened(database);
    const columns = await rows<{ place: string; collation: string | null }>(
      store,
      `select table_name || '.' || column_name as place, collation_name as collation from information_schema.columns
        where table_schema = '${database.schema}' and data_type in ('text', 'character varying', 'character')`,
    );
    expect(columns.length).toBeGreaterThan(50);
    expect(columns.filter(({ collation }) => collation !== 'C')).toEqual([]);
    await store.close();
  });

  test('is in the schema of the setting; nothing outside it is made or read, not even what bears the same name', async () => {
    const database = await make();
    const decoy = `decoy_${randomBytes(4).toString('hex')}`;
    const { default: pg } = await import('pg');
    const url = new URL(database.url);
    const asOwner = new pg.Client({ connectionString: url.href });
    await asOwner.connect();
    const names = ['migrations', 'generations', 'platform_facts', 'sealed_values', 'ephemera'];
    // The schema that bears the user's name comes first by default, and the public one after it.
    await asOwner.query(`create role ${decoy} login superuser; create schema ${decoy}`);
    for (const name of names) await asOwner.query(`create table ${decoy}.${name} (poison integer)`);
    url.username = decoy;
    const outside = async () =>
      (
        await asOwner.query(`select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname not in ('${database.schema}', 'pg_catalog', 'information_schema', 'pg_toast') and n.nspname !~ '^(t_|u_|pg_)' order by 1`)
      ).rows;
    const before = await outside();
    const store = await opened({ ...database, url: database.pooler === undefined ? url.href : database.url });
    await use(store);
    await store.close();
    expect(await outside()).toEqual(before);
    const read = await asOwner.query(
      `select coalesce(sum(seq_scan + coalesce(idx_scan, 0) + n_tup_ins), 0)::int as n
      from pg_stat_user_tables where schemaname in ('${decoy}', 'public') and relname = any($1)`,
      [names],
    );
    expect(read.rows).toEqual([{ n: 0 }]);
    await asOwner.query(`drop schema ${decoy} cascade`);
    await asOwner.end();
  });
});
