import type { Clock } from '#kernel';
import { checkEntry, checkKey, checkTtl } from '../limits.ts';
import type { Ephemera } from '../ports.ts';

/**
 * A table of short-lived values. Each step is atomic, in one process or several, and told what time it is: `end` is when a
 * life ends, and what ended by `now` is not there any more.
 */
export interface EphemeraTable {
  get(key: string, now: number): Promise<string | undefined>;
  put(key: string, value: string, end: number): Promise<unknown>;
  claim(key: string, value: string, end: number, now: number): Promise<boolean>;
  take(key: string): Promise<{ readonly value: string; readonly end: number } | undefined>;
  drop(key: string, value: string, now: number): Promise<boolean>;
  bump(key: string, end: number, now: number): Promise<number>;
  ping(): Promise<unknown>;
  sweep(now: number): Promise<number>;
  close(): Promise<void>;
}

/** Ephemera in a table. */
export function ephemeraIn(table: EphemeraTable, clock: Clock): Ephemera {
  return Object.freeze({
    async get(key: string) {
      checkKey(key);
      return await table.get(key, clock.now());
    },
    async put(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      await table.put(key, value, clock.now() + ttl);
    },
    async claim(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      const now = clock.now();
      return await table.claim(key, value, now + ttl, now);
    },
    async take(key: string) {
      checkKey(key);
      const taken = await table.take(key);
      return taken === undefined || taken.end <= clock.now() ? undefined : taken.value;
    },
    async drop(key: string, value: string) {
      checkKey(key);
      return await table.drop(key, value, clock.now());
    },
    async bump(key: string, ttl: number) {
      checkKey(key);
      checkTtl(ttl);
      const now = clock.now();
      return await table.bump(key, now + ttl, now);
    },
    async since() {
      return 0;
    },
    async ping() {
      const began = performance.now();
      await table.ping();
      return performance.now() - began;
    },
    sweep: () => table.sweep(clock.now()),
    close: () => table.close(),
  });
}

export type EphemeraVerb = 'get' | 'put' | 'claim' | 'take' | 'drop' | 'bump' | 'ping' | 'sweep';
export type EphemeraRow = Readonly<Record<string, unknown>>;

/** A table whose every step is one statement, with the same parameters, that says in the rows it returns what it did. */
export function returningTable(
  run: (verb: EphemeraVerb, ...parameters: readonly (string | number)[]) => Promise<readonly EphemeraRow[]>,
  close: () => Promise<void>,
): EphemeraTable {
  return {
    async get(key, now) {
      const [row] = await run('get', key, now);
      return row === undefined ? undefined : String(row.value);
    },
    put: (key, value, end) => run('put', key, value, end),
    claim: async (key, value, end, now) => (await run('claim', key, value, end, now)).length === 1,
    async take(key) {
      const [row] = await run('take', key);
      return row === undefined ? undefined : { value: String(row.value), end: Number(row.expires_at) };
    },
    drop: async (key, value, now) => (await run('drop', key, value, now)).length === 1,
    bump: async (key, end, now) => Number((await run('bump', key, end, now))[0]?.count),
    ping: () => run('ping'),
    sweep: async (now) => (await run('sweep', now)).length,
    close,
  };
}
