import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Log } from '#kernel';
import { createMemoryEphemera } from './backends/memory.ts';
import type { SqlDatabase } from './backends/server.ts';
import { openSqliteEphemera } from './backends/sqlite/ephemera.ts';
import { openSqliteRecords } from './backends/sqlite/records.ts';
import { createChangeFeed } from './changes.ts';
import { parseDatabaseUrl } from './database-url.ts';
import { isEmpty, migrate } from './migrate.ts';
import { outsideOf } from './outside.ts';
import type { Store } from './ports.ts';
import { createRecords } from './records.ts';
import { createSqlSealedStore } from './sealed.ts';
import { keepSwept } from './sweeping.ts';

export interface StoreOptions {
  /** The data folder; made, for its owner only, if it is not there. */
  readonly home: string;
  readonly ephemera: 'memory' | 'sql';
  /** A database server instead of files in `home`; what lives briefly is kept there too. */
  readonly database?: { readonly url: string; readonly schema: string };
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Opens the store in `home`: `gatehouse.db`, and `ephemera.db` unless Ephemera are kept in memory; or on the database
 * server that is named. A database that is not migrated yet has no Records to speak of until `migrate()`;
 * `changes.age()` is Infinity until then.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { clock, log } = options;
  const { records: backend, ephemera: plain } = await openDatabase(options);
  const ephemera = outsideOf(backend.inside, plain);
  const changes = createChangeFeed({ backend, clock, log });
  const sweeping = keepSwept(ephemera, log);
  await changes.poll();

  return Object.freeze({
    records: createRecords({ backend, changes }),
    ephemera,
    sealed: createSqlSealedStore(backend),
    changes,
    async migrate() {
      const ran = await migrate(backend, clock);
      await changes.poll();
      return ran;
    },
    async ping() {
      const began = performance.now();
      await backend.read(undefined, (db) => db.selectNoFrom((row) => row.lit(1).as('one')).execute());
      return performance.now() - began;
    },
    isEmpty: () => isEmpty(backend),
    async close() {
      sweeping.stop();
      await changes.close();
      await backend.close();
      await ephemera.close();
    },
  });
}

/** The driver of a database server is loaded only if one is named. */
async function openDatabase(options: StoreOptions): Promise<SqlDatabase> {
  const address = options.database === undefined ? undefined : parseDatabaseUrl(options.database.url);
  if (options.database === undefined || address === undefined) return await openFiles(options);
  if (address.kind === 'mysql') return await (await import('./backends/mysql/open.ts')).openMysql(address, options.clock);
  return await (await import('./backends/postgres/open.ts')).openPostgres(address, options.database.schema, options.clock);
}

async function openFiles({ home, ephemera: kind, clock }: StoreOptions): Promise<SqlDatabase> {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const records = await openSqliteRecords(join(home, 'gatehouse.db'));
  try {
    const ephemera = kind === 'memory' ? createMemoryEphemera(clock) : await openSqliteEphemera(join(home, 'ephemera.db'), clock);
    return { records, ephemera };
  } catch (error) {
    await records.close();
    throw error;
  }
}
