import { type Clock, Fault, type Log } from '#kernel';
import { openRedis, type RedisBackend, type RedisOptions } from './backends/redis/open.ts';
import { createChangeFeed } from './changes.ts';
import { StoreMisuse } from './errors.ts';
import { isEmpty, migrate, schemaState } from './migrate.ts';
import { type DatabasePlace, type OpenedDatabase, openDatabases } from './open-database.ts';
import { outsideOf } from './outside.ts';
import { keepPlace } from './place-of-sealed.ts';
import type { SealedStore, Store } from './ports.ts';
import { joinPush, type Push } from './push.ts';
import { createRecords } from './records.ts';
import { createSqlSealedStore } from './sealed.ts';
import { guardSealed } from './sealed-guard.ts';
import { standingOf } from './standing.ts';
import { keepSwept } from './sweeping.ts';

export interface StoreOptions extends DatabasePlace {
  readonly ephemera: 'memory' | 'sql' | 'redis';
  /** Where sealed values lie; the database unless told otherwise. */
  readonly sealed?: 'database' | 'redis';
  /** Needed where one of the two is `redis`. */
  readonly redis?: RedisOptions;
  /** Processes of one service, which share its connections to the database server. */
  readonly processes?: number;
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
  const place = places.sealed === undefined ? 'database' : 'redis';
  const sealed = guardSealed(places.sealed ?? createSqlSealedStore(backend), { backend, changes, place, log });
  await changes.poll();

  const settle = async () => {
    await keepPlace(backend, place);
    await changes.poll();
  };

  return Object.freeze({
    records: createRecords({ backend, changes }),
    ephemera,
    sealed: sealed.store,
    changes,
    async migrate() {
      const ran = await migrate(backend, clock, { log });
      await settle();
      return ran;
    },
    async checkSchema() {
      const { pending, newer } = await schemaState(backend);
      if (newer.length > 0) throw new Fault('store_newer');
      if (pending.length > 0) throw new Fault('store_outdated');
      await settle();
    },
    schema: () => schemaState(backend),
    async ping() {
      const began = performance.now();
      await backend.read(undefined, (db) => db.selectNoFrom((row) => row.lit(1).as('one')).execute());
      return performance.now() - began;
    },
    watchServers: places.watchServers,
    isEmpty: () => isEmpty(backend),
    checkpoint: () => backend.checkpoint(),
    standing: () => standingOf(backend),
    async close() {
      sweeping.stop();
      sealed.stop();
      await changes.close();
      await backend.close();
      await ephemera.close();
      await places.close();
    },
  });
}

/** Where everything lies. */
interface Places extends Pick<OpenedDatabase, 'records' | 'ephemera'> {
  /** Undefined: in the database. */
  readonly sealed: SealedStore | undefined;
  readonly push: Push;
  readonly watchServers: Store['watchServers'];
  /** Closes what `records` and `ephemera` leave open. */
  close(): Promise<void>;
}

async function openPlaces(options: StoreOptions): Promise<Places> {
  const redis = await openRedisFor(options);
  try {
    const outside = options.ephemera === 'redis' ? redis?.ephemera : undefined;
    const { records, ephemera, push } = await openDatabases(options, options, { outside, memory: options.ephemera === 'memory' });
    const ways = [push, outside === undefined ? undefined : redis?.push].filter((way) => way !== undefined);
    const sealed = options.sealed === 'redis' ? redis?.sealed : undefined;
    const watchServers = redis?.watchServers ?? (() => {});
    return { records, ephemera, sealed, push: joinPush(ways), watchServers, close: async () => redis?.close() };
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
