import type { Clock } from '#kernel';
import { checkEntry, checkKey, checkTtl } from '../limits.ts';
import type { Ephemera } from '../ports.ts';

interface Entry {
  readonly value: string;
  readonly expiresAt: number;
}

const sweptAtOnce = 500;

/** Ephemera in this process's memory: for tests and `--dev`. Each verb is one synchronous step, so each is atomic. */
export function createMemoryEphemera(clock: Clock): Ephemera {
  const entries = new Map<string, Entry>();

  function living(key: string): Entry | undefined {
    const entry = entries.get(key);
    return entry !== undefined && entry.expiresAt > clock.now() ? entry : undefined;
  }

  const set = (key: string, value: string, ttl: number) => entries.set(key, { value, expiresAt: clock.now() + ttl });

  return Object.freeze({
    async get(key: string) {
      checkKey(key);
      return living(key)?.value;
    },
    async put(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      set(key, value, ttl);
    },
    async claim(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      if (living(key) !== undefined) return false;
      set(key, value, ttl);
      return true;
    },
    async take(key: string) {
      checkKey(key);
      const entry = living(key);
      entries.delete(key);
      return entry?.value;
    },
    async drop(key: string, value: string) {
      checkKey(key);
      return living(key)?.value === value && entries.delete(key);
    },
    async bump(key: string, ttl: number) {
      checkKey(key);
      checkTtl(ttl);
      const entry = living(key);
      if (entry === undefined) {
        set(key, '1', ttl);
        return 1;
      }
      const count = (Number.parseInt(entry.value, 10) || 0) + 1;
      entries.set(key, { value: String(count), expiresAt: entry.expiresAt });
      return count;
    },
    /** Forgotten with the process, which only `--dev` allows. */
    async since() {
      return 0;
    },
    async ping() {
      return 0;
    },
    async sweep() {
      return sweepSome(entries, clock.now());
    },
    async close() {
      entries.clear();
    },
  });
}

function sweepSome(entries: Map<string, Entry>, now: number): number {
  let removed = 0;
  for (const [key, { expiresAt }] of entries) {
    if (expiresAt > now) continue;
    entries.delete(key);
    removed += 1;
    if (removed === sweptAtOnce) break;
  }
  return removed;
}
