import type { Clock } from '#kernel';
import type { Ephemera } from '../ports.ts';
import { type EphemeraTable, ephemeraIn } from './ephemera-table.ts';

interface Entry {
  readonly value: string;
  readonly end: number;
}

const sweptAtOnce = 500;

/** Ephemera in this process's memory: for tests and `--dev`, forgotten with it. Each step is synchronous, so it is atomic. */
export function createMemoryEphemera(clock: Clock): Ephemera {
  const entries = new Map<string, Entry>();

  function living(key: string, now: number): Entry | undefined {
    const entry = entries.get(key);
    return entry !== undefined && entry.end > now ? entry : undefined;
  }

  const table: EphemeraTable = {
    get: async (key, now) => living(key, now)?.value,
    put: async (key, value, ttl, now) => entries.set(key, { value, end: now + ttl }),
    async claim(key, value, ttl, now) {
      if (living(key, now) !== undefined) return false;
      entries.set(key, { value, end: now + ttl });
      return true;
    },
    async take(key, now) {
      const entry = living(key, now);
      entries.delete(key);
      return entry?.value;
    },
    drop: async (key, value, now) => living(key, now)?.value === value && entries.delete(key),
    async bump(key, ttl, now) {
      const entry = living(key, now);
      const count = entry === undefined ? 1 : (Number.parseInt(entry.value, 10) || 0) + 1;
      entries.set(key, { value: String(count), end: entry?.end ?? now + ttl });
      return count;
    },
    async ping() {},
    sweep: async (now) => sweepSome(entries, now),
    close: async () => entries.clear(),
  };
  return ephemeraIn(table, clock.now);
}

function sweepSome(entries: Map<string, Entry>, now: number): number {
  let removed = 0;
  for (const [key, { end }] of entries) {
    if (end > now) continue;
    entries.delete(key);
    removed += 1;
    if (removed === sweptAtOnce) break;
  }
  return removed;
}
