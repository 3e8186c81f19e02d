import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, vi } from 'vitest';
import { fakeClock, systemClock } from '#kernel';
import { createMemoryEphemera, type Ephemera } from '#store';
import { kinds, openPair, pooledDatabase, pooledNeeds } from '../support/databases.ts';
import { testWith } from '../support/need.ts';
import { openFilePair } from '../support/store.ts';
import { type EphemeraBackend, ephemeraCases } from './ephemera.suite.ts';
import { expectRejected, type Opener, runSuite } from './suite.ts';

runSuite('ephemera in memory', ephemeraCases, async () => {
  const clock = fakeClock();
  const only = createMemoryEphemera(clock);
  return { first: only, second: only, clock, close: () => only.close() };
});

runSuite('ephemera on sqlite', ephemeraCases, async () => {
  const clock = fakeClock();
  const { first, second, close } = await openFilePair({ clock, ephemera: 'sql' });
  return { first: first.ephemera, second: second.ephemera, clock, close };
});

for (const kind of kinds)
  runSuite(
    `ephemera on ${kind.name}`,
    ephemeraCases,
    async () => {
      const clock = fakeClock();
      const { first, second, close } = await openPair(kind, clock);
      return { first: first.ephemera, second: second.ephemera, clock, close };
    },
    testWith(...kind.needs),
  );

runSuite(
  'ephemera on postgresql, behind pgbouncer',
  ephemeraCases,
  async () => {
    const clock = fakeClock();
    const { first, second, close } = await openPair(await pooledDatabase(), clock);
    return { first: first.ephemera, second: second.ephemera, clock, close };
  },
  testWith(...pooledNeeds),
);

describe.each(kinds)('the clocks of processes on $name', ({ needs, ...kind }) => {
  afterEach(() => void vi.restoreAllMocks());

  /** Of now on, this process is wrong by so many milliseconds. */
  const shift = (by: number) => {
    const right = Date.now.bind(Date);
    vi.spyOn(Date, 'now').mockImplementation(() => right() + by);
  };

  testWith(...needs).each([-300_000, 300_000])('may be wrong by %i ms: nothing ends earlier or later for that', async (wrong) => {
    const { first, second, close } = await openPair({ needs, ...kind }, systemClock);
    try {
      await first.ephemera.put('right', 'value', 60_000);
      expect(await first.ephemera.claim('claimed', 'right', 60_000)).toBe(true);
      shift(wrong);
      await second.ephemera.put('wrong', 'value', 60_000);
      await second.ephemera.put('brief', 'value', 1);
      await setTimeout(50);
      await second.ephemera.sweep();
      expect(await second.ephemera.claim('claimed', 'wrong', 60_000)).toBe(false);
      expect(await second.ephemera.bump('counted', 60_000)).toBe(1);
      expect(await second.ephemera.get('right')).toBe('value');
      vi.restoreAllMocks();
      expect(await first.ephemera.get('brief')).toBeUndefined();
      expect(await first.ephemera.claim('claimed', 'right', 60_000)).toBe(false);
      expect(await first.ephemera.bump('counted', 60_000)).toBe(2);
      expect(await first.ephemera.take('wrong')).toBe('value');
    } finally {
      await close();
    }
  });
});

/** A good implementation with some verbs replaced by bad ones, which lean on the good ones. */
function broken(breaking: (good: Ephemera) => Partial<Ephemera>): Opener<EphemeraBackend> {
  return async () => {
    const clock = fakeClock();
    const good = createMemoryEphemera(clock);
    const bad = { ...good, ...breaking(good) };
    return { first: bad, second: bad, clock, close: () => good.close() };
  };
}

const forever = 1_000_000_000;
const fold = (key: string) => (key === '' ? key : key.toLowerCase());

const defects: Record<string, (good: Ephemera) => Partial<Ephemera>> = {
  'a take that reads, then deletes': (good) => ({
    async take(key) {
      const value = await good.get(key);
      await good.take(key);
      return value;
    },
  }),
  'a take that leaves the value': (good) => ({ take: (key) => good.get(key) }),
  'a claim that looks, then puts': (good) => ({
    async claim(key, value, ttl) {
      if ((await good.get(key)) !== undefined) return false;
      await good.put(key, value, ttl);
      return true;
    },
  }),
  'a claim that lengthens the life it lost to': (good) => ({
    async claim(key, value, ttl) {
      const won = await good.claim(key, value, ttl);
      const held = won ? undefined : await good.get(key);
      if (held !== undefined) await good.put(key, held, ttl);
      return won;
    },
  }),
  'a put that loses its life': (good) => ({
    put: (key, value, ttl) => good.put(key, value, ttl > 0 && Number.isSafeInteger(ttl) ? forever : ttl),
  }),
  'a claim that loses its life': (good) => ({
    claim: (key, value, ttl) => good.claim(key, value, ttl > 0 && Number.isSafeInteger(ttl) ? forever : ttl),
  }),
  'a put that keeps what was there': (good) => ({
    async put(key, value, ttl) {
      await good.claim(key, value, ttl);
    },
  }),
  'a bump whose window slides': (good) => ({
    async bump(key, ttl) {
      const number = await good.bump(key, ttl);
      await good.put(key, String(number), ttl);
      return number;
    },
  }),
  'a bump that reads, then writes': (good) => ({
    async bump(key, ttl) {
      const next = Number((await good.get(key)) ?? 0) + 1;
      if (next === 1) await good.put(key, '1', ttl);
      else await good.put(key, String(next), ttl);
      return next;
    },
  }),
  'a bump that never starts anew': (good) => ({ bump: (key, ttl) => good.bump(key, ttl > 0 && Number.isSafeInteger(ttl) ? forever : ttl) }),
  'a drop that does not look at the value': (good) => ({ drop: async (key) => (await good.take(key)) !== undefined }),
  'a drop that looks, then deletes': (good) => ({
    async drop(key, value) {
      if ((await good.get(key)) !== value) return false;
      await good.take(key);
      return true;
    },
  }),
  'keys that fold case': (good) => ({ get: (key) => good.get(fold(key)), put: (key, value, ttl) => good.put(fold(key), value, ttl) }),
  'keys that end at a zero byte': (good) => ({
    get: (key) => good.get(key.split('\u0000')[0] ?? key),
    put: (key, value, ttl) => good.put(key.split('\u0000')[0] ?? key, value, ttl),
  }),
  'keys that are normalized': (good) => ({
    get: (key) => good.get(key.normalize('NFC')),
    put: (key, value, ttl) => good.put(key.normalize('NFC'), value, ttl),
  }),
  'a life of zero that is taken as none': (good) => ({ put: (key, value, ttl) => good.put(key, value, ttl === 0 ? forever : ttl) }),
  'a life that is rounded': (good) => ({ bump: (key, ttl) => good.bump(key, Math.ceil(ttl)) }),
  'values that are cut': (good) => ({ put: (key, value, ttl) => good.put(key, value.slice(0, 65_536), ttl) }),
  'an empty value that counts as absent': (good) => ({ get: async (key) => (await good.get(key)) || undefined }),
  'a sweep that removes what lives': (good) => ({
    async sweep() {
      return (await good.take('long')) === undefined ? 0 : 1;
    },
  }),
};

for (const [what, breaking] of Object.entries(defects)) expectRejected(what, ephemeraCases, broken(breaking));

expectRejected('an expired value that still counts', ephemeraCases, async () => {
  const clock = fakeClock();
  const good = createMemoryEphemera(fakeClock());
  return { first: good, second: good, clock, close: () => good.close() };
});

expectRejected('two instances that do not share their data', ephemeraCases, async () => {
  const clock = fakeClock();
  const [first, second] = [createMemoryEphemera(clock), createMemoryEphemera(clock)];
  return { first, second, clock, close: () => first.close() };
});
