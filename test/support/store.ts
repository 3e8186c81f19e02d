import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { type Clock, type FakeClock, fakeClock, type Log, silentLog, systemClock } from '#kernel';
import { openStore, type Store, type StoreOptions } from '#store';

export interface TestStoreOptions<C extends Clock = Clock> {
  /** `'fake'` (the default) moves only when told to. */
  readonly clock?: C | 'fake' | 'system';
  readonly ephemera?: StoreOptions['ephemera'];
  readonly sealed?: StoreOptions['sealed'];
  readonly redis?: StoreOptions['redis'];
  readonly log?: Log;
  readonly database?: NonNullable<StoreOptions['database']>;
  /** A folder of the caller's, to open one store twice; else a new one, deleted with the store. */
  readonly home?: string;
}

export interface TestStore<C extends Clock = FakeClock> extends Store {
  readonly clock: C;
  readonly home: string;
}

const opened = new Set<Store>();
const folders = new Set<string>();

afterAll(async () => {
  for (const store of opened) await store.close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A new temporary folder, deleted when the test file is done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-test-'));
  folders.add(folder);
  return folder;
}

/** The real store on SQLite, migrated, in a temporary folder. It closes and deletes itself when the test file is done. */
export function openTestStore(options?: Omit<TestStoreOptions, 'clock'> & { clock?: 'fake' }): Promise<TestStore>;
export function openTestStore<C extends Clock>(options: TestStoreOptions<C>): Promise<TestStore<C>>;
export async function openTestStore(options: TestStoreOptions = {}): Promise<TestStore<Clock>> {
  const clock = clockOf(options.clock ?? 'fake');
  const home = options.home ?? temporaryFolder();
  const { database, sealed = 'database', redis } = options;
  const where = {
    ephemera: options.ephemera ?? 'memory',
    sealed,
    ...(redis === undefined ? {} : { redis }),
    ...(database === undefined ? {} : { database }),
  };
  const store = await openStore({ home, ...where, clock, log: options.log ?? silentLog });
  opened.add(store);
  await store.migrate();
  const close = async () => {
    if (opened.delete(store)) await store.close();
  };
  return Object.freeze({ ...store, clock, home, close });
}

/** Two of one place, as two processes have them. */
export async function twice<S extends { close(): Promise<void> }>(open: () => Promise<S>) {
  const [first, second] = [await open(), await open()];
  return {
    first,
    second,
    async close() {
      await first.close();
      await second.close();
    },
  };
}

/** Two stores on the same files. */
export function openFilePair(options: Omit<TestStoreOptions, 'home'> = {}) {
  const home = temporaryFolder();
  return twice(() => openTestStore({ ...options, home }));
}

function clockOf(clock: Clock | 'fake' | 'system'): Clock {
  if (clock === 'fake') return fakeClock();
  return clock === 'system' ? systemClock : clock;
}
