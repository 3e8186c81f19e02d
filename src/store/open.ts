import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Log } from '#kernel';
import { createMemoryEphemera } from './backends/memory.ts';
import { openRedis, type RedisBackend, type RedisOptions } from './backends/redis/open.ts';
import type { SqlDatabase } from './backends/server.ts';
import { openSqliteEphemera } from './backends/sqlite/ephemera.ts';
import { openSqliteRecords } from './backends/sqlite/records.ts';
import { createChangeFeed } from './changes.ts';
import { parseDatabaseUrl } from './database-url.ts';
import { StoreMisuse } from './errors.ts';
import { isEmpty, migrate } from './migrate.ts';
import { outsideOf } from './outside.ts';
import { keepPlace } from './place-of-sealed.ts';
import type { Ephemera, SealedStore, Store } from './ports.ts';
import { joinPush, type Push } from './push.ts';
import { createRecords } from './records.ts';
import { createSqlSealedStore } from './sealed.ts';
import { keepSwept } from './sweeping.ts';

export interface StoreOptions {
  /** The data folder; made, for its owner only, if it is not there. */
  readonly home: string;
  readonly ephemera: 'memory' | 'sql' | 'redis';
  /** A database server instead of files in `home`. */
  readonly database?: { readonly url: string; readonly schema: string };
  /** Where sealed values lie; the database unless told otherwise. */
  readonly sealed?: 'database' | 'redis';
  /** Needed where one of the two is `redis`. */
  readonly redis?: RedisOptions;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Opens the store in `home`: `gatehouse.db`, and `ephemera.db` unless Ephemera are kept elsewhere; or on the database
 * server that is named. A database that is not migrated yet has no Records to speak of until `migrate()`;
 * `changes.age()` is Infinity until then.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { clock, log } = options;
  const places = await openPlaces(options);
  const { records: backend } = places;
  const ephemera = outsideOf(backend.inside, places.ephemera);
  const changes = createChangeFeed({ backend, push: places.push, clock, log });
  const sweeping = keepSwept(ephemera, log);
  await changes.poll();

  return Object.freeze({
    records: createRecords({ backend, changes }),
    ephemera,
    sealed: places.sealed ?? createSqlSealedStore(backend),
    changes,
    async migrate() {
      const ran = await migrate(backend, clock);
      await keepPlace(backend, places.sealed === undefined ? 'database' : 'redis');
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
      await places.close();
    },
  });
}

/** Where everything lies. */
interface Places extends Omit<SqlDatabase, 'push'> {
  /** Undefined: in the database. */
  readonly sealed: SealedStore | undefined;
  readonly push: Push;
  /** Closes what `records` and `ephemera` leave open. */
  close(): Promise<void>;
}

async function openPlaces(options: StoreOptions): Promise<Places> {
  const redis = await openRedisFor(options);
  try {
    const outside = options.ephemera === 'redis' ? redis?.ephemera : undefined;
    const { records, ephemera, push } = await openDatabase(options, outside);
    const ways = [push, outside === undefined ? undefined : redis?.push].filter((way) => way !== undefined);
    const sealed = options.sealed === 'redis' ? redis?.sealed : undefined;
    return { records, ephemera, sealed, push: joinPush(ways), close: async () => redis?.close() };
  } catch (error) {
    redis?.close();
    throw error;
  }
}

async function openRedisFor({ ephemera, sealed, redis, clock, log }: StoreOptions): Promise<RedisBackend | undefined> {
  const uses = [...(ephemera === 'redis' ? (['ephemera'] as const) : []), ...(sealed === 'redis' ? (['sealed'] as const) : [])];
  if (uses.length === 0) return undefined;
  if (redis === undefined) throw new StoreMisuse('a use of Redis without saying where it is');
  return await openRedis(redis, uses, clock, log);
}

/** The driver of a database server is loaded only if one is named. `outside`: Ephemera that are kept elsewhere. */
async function openDatabase(options: StoreOptions, outside: Ephemera | undefined): Promise<SqlDatabase> {
  const address = options.database === undefined ? undefined : parseDatabaseUrl(options.database.url);
  if (options.database === undefined || address === undefined) return await openFiles(options, outside);
  const opened =
    address.kind === 'mysql'
      ? await (await import('./backends/mysql/open.ts')).openMysql(address, options.clock)
      : await (await import('./backends/postgres/open.ts')).openPostgres(address, options.database.schema, options.clock, options.log);
  return { ...opened, ephemera: outside ?? opened.ephemera };
}

async function openFiles({ home, ephemera: kind, clock }: StoreOptions, outside: Ephemera | undefined): Promise<SqlDatabase> {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const records = await openSqliteRecords(join(home, 'gatehouse.db'));
  try {
    if (outside !== undefined) return { records, ephemera: outside };
    const ephemera = kind === 'memory' ? createMemoryEphemera(clock) : await openSqliteEphemera(join(home, 'ephemera.db'), clock);
    return { records, ephemera };
  } catch (error) {
    await records.close();
    throw error;
  }
}
