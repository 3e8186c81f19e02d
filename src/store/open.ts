import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Log } from '#kernel';
import { createMemoryEphemera } from './backends/memory.ts';
import { openSqliteEphemera } from './backends/sqlite/ephemera.ts';
import { openSqliteRecords } from './backends/sqlite/records.ts';
import { createChangeFeed } from './changes.ts';
import { isEmpty, migrate } from './migrate.ts';
import { outsideOf } from './outside.ts';
import type { Ephemera, Store } from './ports.ts';
import { createRecords } from './records.ts';
import { createSqlSealedStore } from './sealed.ts';
import { keepSwept } from './sweeping.ts';

export interface StoreOptions {
  /** The data folder; made, for its owner only, if it is not there. */
  readonly home: string;
  readonly ephemera: 'memory' | 'sql';
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Opens the store in `home`: `gatehouse.db`, and `ephemera.db` unless Ephemera are kept in memory. A database that is
 * not migrated yet has no Records to speak of until `migrate()`; `changes.age()` is Infinity until then.
 */
export async function openStore({ home, ephemera: kind, clock, log }: StoreOptions): Promise<Store> {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const backend = await openSqliteRecords(join(home, 'gatehouse.db'));
  const plain = await openEphemera(kind, home, clock).catch(async (error: unknown) => {
    await backend.close();
    throw error;
  });
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

async function openEphemera(kind: StoreOptions['ephemera'], home: string, clock: Clock): Promise<Ephemera> {
  return kind === 'memory' ? createMemoryEphemera(clock) : await openSqliteEphemera(join(home, 'ephemera.db'), clock);
}
