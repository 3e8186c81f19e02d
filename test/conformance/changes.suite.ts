import { expect } from 'vitest';
import { newId } from '#kernel';
import { type Store, type Topic, topics } from '#store';
import type { Case } from './suite.ts';

/** Two stores on one database, as two processes would have them. */
export interface ChangesBackend {
  readonly first: Store;
  readonly second: Store;
}

const raise = (store: Store, topic: Topic) => store.records.platform('conformance').write((tx) => tx.bump(topic));

/** Resolves when `done` holds; fails after a second, which is what the port promises. */
async function within(milliseconds: number, done: () => boolean): Promise<void> {
  const until = performance.now() + milliseconds;
  while (!done()) {
    if (performance.now() > until) throw new Error(`not within ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function heard(store: Store, topic: Topic): { readonly generations: number[]; stop(): void } {
  const generations: number[] = [];
  return { generations, stop: store.changes.watch(topic, (generation) => void generations.push(generation)) };
}

export const changesCases: readonly Case<ChangesBackend>[] = [
  {
    name: 'a change is told to its own process by the time the write resolves, with its generation',
    async run({ first }) {
      const { generations } = heard(first, 'policy');
      await raise(first, 'policy');
      expect(generations).toEqual([1]);
      expect(first.changes.generation('policy')).toBe(1);
      await raise(first, 'policy');
      expect(generations).toEqual([1, 2]);
    },
  },
  {
    name: 'nothing is told before COMMIT',
    async run({ first, second }) {
      const { generations } = heard(first, 'policy');
      await first.records.platform('conformance').write(async (tx) => {
        await tx.bump('policy');
        await tx.db.selectFrom('generations').selectAll().execute();
        expect(generations).toEqual([]);
        expect(second.changes.generation('policy')).toBe(0);
      });
      expect(generations).toEqual([1]);
    },
  },
  {
    name: 'a write that fails raises and tells nothing',
    async run({ first, second }) {
      const { generations } = heard(first, 'policy');
      const failing = first.records.platform('conformance').write(async (tx) => {
        await tx.bump('policy');
        throw new Error('no');
      });
      await Promise.all([expect(failing).rejects.toThrow('no'), raise(first, 'keys')]);
      expect(generations).toEqual([]);
      await raise(second, 'policy');
      expect(second.changes.generation('policy')).toBe(1);
    },
  },
  {
    name: 'every other process learns of a change within a second',
    async run({ first, second }) {
      const { generations } = heard(second, 'revocations');
      await raise(first, 'revocations');
      await raise(first, 'revocations');
      await within(1000, () => second.changes.generation('revocations') === 2);
      expect(generations.at(-1)).toBe(2);
    },
  },
  {
    name: 'topics do not mix',
    async run({ first, second }) {
      const others = topics.filter((topic) => topic !== 'keys').map((topic) => heard(first, topic));
      const own = heard(first, 'keys');
      await raise(first, 'keys');
      await within(1000, () => second.changes.generation('keys') === 1);
      expect(own.generations).toEqual([1]);
      expect(others.flatMap(({ generations }) => generations)).toEqual([]);
      expect(topics.filter((topic) => second.changes.generation(topic) > 0)).toEqual(['keys']);
    },
  },
  {
    name: 'every bump raises by one, from an organization or the platform, in one process or two; generations only grow',
    async run({ first, second }) {
      const { generations } = heard(first, 'identity');
      const inOrganization = (store: Store) => store.records.in(newId('org')).write((tx) => tx.bump('identity'));
      await Promise.all(
        Array.from({ length: 20 }, (_, index) => (index % 4 < 2 ? raise : inOrganization)(index % 2 ? first : second, 'identity')),
      );
      await within(1000, () => first.changes.generation('identity') === 20 && second.changes.generation('identity') === 20);
      expect(generations).toEqual([...new Set(generations)].sort((a, b) => a - b));
      expect(generations.at(-1)).toBe(20);
    },
  },
  {
    name: 'a write that bumps twice tells the last',
    async run({ first }) {
      const { generations } = heard(first, 'settings');
      await first.records.platform('conformance').write(async (tx) => {
        await tx.bump('settings');
        await tx.bump('settings');
        await tx.bump('providers');
      });
      expect(generations.at(-1)).toBe(2);
      expect(first.changes.generation('settings')).toBe(2);
      expect(first.changes.generation('providers')).toBe(1);
    },
  },
  {
    name: 'who stopped watching is not told, and a listener that throws stops no other and no write',
    async run({ first }) {
      const stopped = heard(first, 'policy');
      first.changes.watch('policy', () => {
        throw new Error('a bad listener');
      });
      const kept = heard(first, 'policy');
      stopped.stop();
      stopped.stop();
      await raise(first, 'policy');
      expect(stopped.generations).toEqual([]);
      expect(kept.generations).toEqual([1]);
    },
  },
  {
    name: 'a listener may read and write',
    async run({ first }) {
      const seen: Promise<unknown>[] = [];
      first.changes.watch('policy', () => {
        seen.push(first.records.platform('conformance').read(({ db }) => db.selectFrom('generations').selectAll().execute()));
        seen.push(raise(first, 'keys'));
      });
      await raise(first, 'policy');
      await Promise.all(seen);
      expect(first.changes.generation('keys')).toBe(1);
    },
  },
  {
    name: 'the age is that of the last completed poll, and grows once polls fail',
    async run({ first, second }) {
      expect(first.changes.age()).toBeLessThan(1000);
      await new Promise((resolve) => setTimeout(resolve, 1200));
      expect(first.changes.age()).toBeLessThan(1000);
      await second.close();
      const before = second.changes.age();
      await new Promise((resolve) => setTimeout(resolve, 700));
      expect(second.changes.age()).toBeGreaterThan(before + 600);
    },
  },
];

/** Of a store whose changes are pushed, besides all the others. */
export const pushCases: readonly Case<ChangesBackend>[] = [
  {
    name: 'a change of another process is heard at once, long before the next poll would find it',
    async run({ first, second }) {
      await warm(first, second);
      const waits: number[] = [];
      for (let round = 0; round < 9; round++) {
        await raise(first, 'policy');
        const began = performance.now();
        const wanted = first.changes.generation('policy');
        await within(1000, () => second.changes.generation('policy') === wanted);
        waits.push(performance.now() - began);
        await new Promise((resolve) => setTimeout(resolve, 40));
      }
      expect(waits.sort((a, b) => a - b)[4]).toBeLessThan(120);
    },
  },
];

/** Until what both open in the background is open. */
async function warm(first: Store, second: Store): Promise<void> {
  await raise(first, 'keys');
  await raise(second, 'keys');
  await new Promise((resolve) => setTimeout(resolve, 700));
}
