import { type Clock, systemClock } from '#kernel';
import { checkEntry, checkKey, checkTtl } from '../limits.ts';
import type { Ephemera } from '../ports.ts';

/**
 * A table of short-lived values. Each step is atomic, in one process or several. Lives are milliseconds from now on; what they
 * ended by now is not there any more. `Now` is what the table is told of the time: a number, or nothing where it has a clock.
 */
export interface EphemeraTable<Now extends number | null = number> {
  get(key: string, now: Now): Promise<string | undefined>;
  put(key: string, value: string, ttl: number, now: Now): Promise<unknown>;
  claim(key: string, value: string, ttl: number, now: Now): Promise<boolean>;
  take(key: string, now: Now): Promise<string | undefined>;
  drop(key: string, value: string, now: Now): Promise<boolean>;
  bump(key: string, ttl: number, now: Now): Promise<number>;
  ping(): Promise<unknown>;
  sweep(now: Now): Promise<number>;
  close(): Promise<void>;
}

/** Ephemera in a table. */
export function ephemeraIn<Now extends number | null>(table: EphemeraTable<Now>, now: () => Now): Ephemera {
  return Object.freeze({
    async get(key: string) {
      checkKey(key);
      return await table.get(key, now());
    },
    async put(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      await table.put(key, value, ttl, now());
    },
    async claim(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      return await table.claim(key, value, ttl, now());
    },
    async take(key: string) {
      checkKey(key);
      return await table.take(key, now());
    },
    async drop(key: string, value: string) {
      checkKey(key);
      return await table.drop(key, value, now());
    },
    async bump(key: string, ttl: number) {
      checkKey(key);
      checkTtl(ttl);
      return await table.bump(key, ttl, now());
    },
    async since() {
      return 0;
    },
    async ping() {
      const began = performance.now();
      await table.ping();
      return performance.now() - began;
    },
    sweep: () => table.sweep(now()),
    close: () => table.close(),
  });
}

/**
 * What a database server is told of the time: nothing, so that it goes by its own clock, which is one for all who ask, however
 * wrong theirs are. The clock of a test does say.
 */
export function toldTime(clock: Clock): () => number | null {
  return clock === systemClock ? () => null : () => clock.now();
}

export type EphemeraVerb = 'get' | 'put' | 'claim' | 'take' | 'drop' | 'bump' | 'ping' | 'sweep';
export type EphemeraRow = Readonly<Record<string, unknown>>;

/** A table whose every step is one statement, with the same parameters, that says in the rows it returns what it did. */
export function returningTable<Now extends number | null>(
  run: (verb: EphemeraVerb, ...parameters: readonly (string | number | null)[]) => Promise<readonly EphemeraRow[]>,
  close: () => Promise<void>,
): EphemeraTable<Now> {
  const valueIn = ([row]: readonly EphemeraRow[]) => (row === undefined ? undefined : String(row.value));
  return {
    get: async (key, now) => valueIn(await run('get', key, now)),
    put: (key, value, ttl, now) => run('put', key, value, ttl, now),
    claim: async (key, value, ttl, now) => (await run('claim', key, value, ttl, now)).length === 1,
    async take(key, now) {
      const rows = await run('take', key, now);
      return Number(rows[0]?.lives) === 1 ? valueIn(rows) : undefined;
    },
    drop: async (key, value, now) => (await run('drop', key, value, now)).length === 1,
    bump: async (key, ttl, now) => Number((await run('bump', key, ttl, now))[0]?.count),
    ping: () => run('ping'),
    sweep: async (now) => (await run('sweep', now)).length,
    close,
  };
}
