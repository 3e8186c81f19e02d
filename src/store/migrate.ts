import type { Kysely } from 'kysely';
import { type Clock, Fault, type Log, silentLog } from '#kernel';
import type { RecordsBackend } from './backend.ts';
import { type Migration, migrations, ownTables } from './migrations/index.ts';
import { createTable } from './migrations/tables.ts';
import { type SchemaState, topics } from './ports.ts';
import type { Schema } from './schema.ts';

const ledger = { columns: { name: 'key', applied_at: 'integer' }, primary: ['name'] } as const;
const tellsAfter = 2_000;

export interface MigrateOptions {
  readonly log?: Log;
  readonly known?: readonly Migration[];
  /** Beside tables that are not ours, as long as none of them bears a name of ours. */
  readonly intoExisting?: boolean;
}

/**
 * Brings the schema up to date: all missing migrations in one transaction that no other process shares, recorded with
 * it. However many processes start at once, each runs once. Returns the names of those it ran. Where the database commits
 * each change of the schema by itself, an interrupted migration is begun again, and what it had done is passed over.
 * Where nothing is missing, nothing is changed that needs the right to change the schema.
 * @throws {Fault} `store_foreign` when there are tables, and none of them says that they are ours
 * @throws {Fault} `store_newer` when the database has a migration that this program does not know
 */
export async function migrate(backend: RecordsBackend, clock: Clock, options: MigrateOptions = {}): Promise<readonly string[]> {
  const { log = silentLog, known = migrations, intoExisting = false } = options;
  const waiting = setTimeout(() => log.info('waiting for another process that migrates the database'), tellsAfter);
  try {
    return await backend.exclusively(async (db) => {
      clearTimeout(waiting);
      const there = await lookAt(db);
      const state = stateOf(there, known);
      if (state.newer.length > 0) throw new Fault('store_newer');
      if (there.applied === undefined) {
        refuseForeign(there, intoExisting);
        await createTable(db, backend.columns, 'migrations', ledger);
      }
      const missing = known.filter(({ name }) => state.pending.includes(name));
      if (missing.length > 0) await runAll(backend, db, missing, clock, log);
      await seedGenerations(db);
      return state.pending;
    });
  } finally {
    clearTimeout(waiting);
  }
}

async function runAll(
  { columns }: RecordsBackend,
  db: Kysely<Schema>,
  missing: readonly Migration[],
  clock: Clock,
  log: Log,
): Promise<void> {
  const began = clock.monotonic();
  log.info('migrating the database', { migrations: missing.length });
  for (const migration of missing) {
    const from = clock.monotonic();
    await migration.run(db, columns);
    await db.insertInto('migrations').values({ name: migration.name, applied_at: clock.now() }).execute();
    log.info('migrated', { migration: migration.name, ms: Math.round(clock.monotonic() - from) });
  }
  log.info('the database is up to date', { migrations: missing.length, ms: Math.round(clock.monotonic() - began) });
}

/** Which migrations the database has, and which this program would add. Changes nothing. @throws {Fault} `store_foreign` */
export async function schemaState(backend: RecordsBackend, known: readonly Migration[] = migrations): Promise<SchemaState> {
  return await backend.read(undefined, async (db) => stateOf(await lookAt(db), known));
}

/** The names of what was applied, or undefined when there is no ledger yet. @throws {Fault} `store_foreign` */
export async function migrationsIn(db: Kysely<Schema>): Promise<ReadonlySet<string> | undefined> {
  const { applied, tables } = await lookAt(db);
  if (applied === undefined && tables.length > 0) throw new Fault('store_foreign');
  return applied === undefined ? undefined : new Set(applied.map(({ name }) => name));
}

interface There {
  /** Undefined: there is no ledger of ours. */
  readonly applied: SchemaState['applied'] | undefined;
  readonly tables: readonly string[];
}

async function lookAt(db: Kysely<Schema>): Promise<There> {
  const tables = (await db.introspection.getTables()).map(({ name }) => name);
  if (!tables.includes('migrations')) return { applied: undefined, tables };
  const rows = await db.selectFrom('migrations').selectAll().execute();
  // Many programs have a table of that name: ours begins with our first migration.
  if (rows.length > 0 && !rows.some(({ name }) => name === migrations[0]?.name)) throw new Fault('store_foreign');
  const applied = rows.map(({ name, applied_at }) => ({ name, appliedAt: applied_at }));
  return { applied: applied.sort((a, b) => (a.name < b.name ? -1 : 1)), tables };
}

function stateOf({ applied, tables }: There, known: readonly Migration[]): SchemaState {
  const names = new Set(known.map(({ name }) => name));
  const has = new Set(applied?.map(({ name }) => name));
  return {
    applied: applied ?? [],
    pending: known.map(({ name }) => name).filter((name) => !has.has(name)),
    newer: [...has].filter((name) => !names.has(name)),
    foreign: tables.filter((name) => applied === undefined || !ownTables.has(name)),
  };
}

function refuseForeign({ tables }: There, intoExisting: boolean): void {
  if (tables.length === 0) return;
  if (!intoExisting) throw new Fault('store_foreign');
  const taken = tables.filter((name) => ownTables.has(name));
  if (taken.length === 0) return;
  throw new Fault('store_foreign', {
    detail: `The database holds tables of another program that bear names of ours: ${taken.join(', ')}`,
    hint: 'give Gatehouse a database or a schema of its own',
  });
}

/** Every topic has its counter row before anybody raises it. */
async function seedGenerations(db: Kysely<Schema>): Promise<void> {
  const rows = await db.selectFrom('generations').select('topic').execute();
  const there = new Set(rows.map(({ topic }) => topic));
  for (const topic of topics) {
    if (!there.has(topic)) await db.insertInto('generations').values({ topic, value: 0 }).execute();
  }
}

/** Without a row: the ledger's and those of Ephemera, which die by themselves, do not count. */
const uncounted: ReadonlySet<string> = new Set(['migrations', 'ephemera']);

/** True when no row was ever written: every table of ours is empty, or there is none yet. */
export async function isEmpty(backend: RecordsBackend): Promise<boolean> {
  return await backend.read(undefined, hasNothing);
}

/** The same, in the caller's transaction. */
export async function hasNothing(db: Kysely<Schema>): Promise<boolean> {
  for (const { name } of await db.introspection.getTables()) {
    if (ownTables.has(name) && !uncounted.has(name) && (await hasRows(db, name as keyof Schema))) return false;
  }
  return true;
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
