import type { Kysely } from 'kysely';
import { type Clock, Fault } from '#kernel';
import type { RecordsBackend } from './backend.ts';
import { type Migration, migrations } from './migrations/index.ts';
import { createTable } from './migrations/tables.ts';
import { topics } from './ports.ts';
import type { Schema } from './schema.ts';

const ledger = { columns: { name: 'key', applied_at: 'integer' }, primary: ['name'] } as const;

/**
 * Brings the schema up to date: all missing migrations in one transaction that no other process shares, recorded with
 * it. However many processes start at once, each runs once. Returns the names of those it ran. Where the database commits
 * each change of the schema by itself, an interrupted migration is begun again, and what it had done is passed over.
 * @throws {Fault} `store_foreign` when there are tables, and none of them says that they are ours
 * @throws {Fault} `store_newer` when the database has a migration that this program does not know
 */
export async function migrate(backend: RecordsBackend, clock: Clock, known: readonly Migration[] = migrations): Promise<readonly string[]> {
  return await backend.exclusively(async (db) => {
    const applied = await migrationsIn(db);
    const names = new Set(known.map(({ name }) => name));
    if (applied !== undefined && [...applied].some((name) => !names.has(name))) throw new Fault('store_newer');
    if (applied === undefined) await createTable(db, backend.columns, 'migrations', ledger);
    const missing = known.filter(({ name }) => applied?.has(name) !== true);
    for (const migration of missing) {
      await migration.run(db, backend.columns);
      await db.insertInto('migrations').values({ name: migration.name, applied_at: clock.now() }).execute();
    }
    await seedGenerations(db);
    return missing.map(({ name }) => name);
  });
}

/** The names of what was applied, or undefined when there is no ledger yet. @throws {Fault} `store_foreign` */
export async function migrationsIn(db: Kysely<Schema>): Promise<ReadonlySet<string> | undefined> {
  const tables = await db.introspection.getTables();
  if (!tables.some(({ name }) => name === 'migrations')) {
    if (tables.length > 0) throw new Fault('store_foreign');
    return undefined;
  }
  const rows = await db.selectFrom('migrations').select('name').execute();
  return new Set(rows.map(({ name }) => name));
}

/** Every topic has its counter row before anybody raises it. */
async function seedGenerations(db: Kysely<Schema>): Promise<void> {
  const rows = await db.selectFrom('generations').select('topic').execute();
  const there = new Set(rows.map(({ topic }) => topic));
  for (const topic of topics) {
    if (!there.has(topic)) await db.insertInto('generations').values({ topic, value: 0 }).execute();
  }
}

/** True when no row was ever written: every table but the ledger is empty, or there is no table yet. */
export async function isEmpty(backend: RecordsBackend): Promise<boolean> {
  return await backend.read(undefined, async (db) => {
    const tables = await db.introspection.getTables();
    for (const { name } of tables) {
      if (name !== 'migrations' && (await hasRows(db, name as keyof Schema))) return false;
    }
    return true;
  });
}

async function hasRows(db: Kysely<Schema>, table: keyof Schema): Promise<boolean> {
  const rows =
    table === 'generations'
      ? await db.selectFrom('generations').select('topic').where('value', '>', 0).limit(1).execute()
      : await db
          .selectFrom(table)
          .select((row) => row.lit(1).as('one'))
          .limit(1)
          .execute();
  return rows.length > 0;
}
