import type { Clock } from '#kernel';
import { checkEntry, checkKey, checkTtl } from '../limits.ts';
import type { Ephemera } from '../ports.ts';

export type EphemeraVerb = 'get' | 'put' | 'claim' | 'take' | 'drop' | 'bump' | 'ping' | 'sweep';
export type EphemeraRow = Readonly<Record<string, unknown>>;

/**
 * Ephemera on a database whose every verb is one statement that says what it did in the rows it returns, so each is
 * atomic, in one process or several. Parameters, in order: key, value, the end of its life, now, as far as the verb has them.
 */
export function createVerbs(
  run: (verb: EphemeraVerb, ...parameters: readonly (string | number)[]) => Promise<readonly EphemeraRow[]>,
  close: () => Promise<void>,
  clock: Clock,
): Ephemera {
  return Object.freeze({
    async get(key: string) {
      checkKey(key);
      const [row] = await run('get', key, clock.now());
      return row === undefined ? undefined : String(row.value);
    },
    async put(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      await run('put', key, value, clock.now() + ttl);
    },
    async claim(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      const now = clock.now();
      return (await run('claim', key, value, now + ttl, now)).length === 1;
    },
    async take(key: string) {
      checkKey(key);
      const [row] = await run('take', key);
      return row === undefined || Number(row.expires_at) <= clock.now() ? undefined : String(row.value);
    },
    async drop(key: string, value: string) {
      checkKey(key);
      return (await run('drop', key, value, clock.now())).length === 1;
    },
    async bump(key: string, ttl: number) {
      checkKey(key);
      checkTtl(ttl);
      const now = clock.now();
      const [row] = await run('bump', key, now + ttl, now);
      return Number(row?.count);
    },
    async since() {
      return 0;
    },
    async ping() {
      const began = performance.now();
      await run('ping');
      return performance.now() - began;
    },
    async sweep() {
      return (await run('sweep', clock.now())).length;
    },
    close,
  });
}
