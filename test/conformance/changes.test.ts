import { expect, test } from 'vitest';
import { silentLog, systemClock } from '#kernel';
import { type Changes, openStore, type Store, type Topic, type Writing } from '#store';
import { encryptedDatabaseOf, encryptedKinds, kinds, openPair, pooledDatabase, pooledNeeds } from '../support/databases.ts';
import { testWith } from '../support/need.ts';
import { openFilePair, temporaryFolder } from '../support/store.ts';
import { type ChangesBackend, changesCases, pushCases } from './changes.suite.ts';
import { expectRejected, type Opener, runSuite } from './suite.ts';

const openSqlite = () => openFilePair({ clock: 'system' });

runSuite('changes on sqlite', changesCases, openSqlite);
for (const kind of kinds) runSuite(`changes on ${kind.name}`, changesCases, () => openPair(kind, 'system'), testWith(...kind.needs));
for (const kind of encryptedKinds)
  runSuite(
    `changes on ${kind.name}, over TLS`,
    changesCases,
    async () => openPair(await encryptedDatabaseOf(kind), 'system'),
    testWith(...kind.needs),
  );
runSuite(
  'changes on postgresql, behind pgbouncer',
  changesCases,
  async () => openPair(await pooledDatabase(), 'system'),
  testWith(...pooledNeeds),
);
for (const kind of kinds.filter(({ name }) => name === 'postgresql'))
  runSuite(`changes pushed by ${kind.name}`, pushCases, () => openPair(kind, 'system'), testWith(...kind.needs));

test('a store that is not migrated knows nothing of changes, and is infinitely old', async () => {
  const store = await openStore({ home: temporaryFolder(), ephemera: 'memory', clock: systemClock, log: silentLog });
  expect(store.changes.age()).toBe(Number.POSITIVE_INFINITY);
  await store.migrate();
  expect(store.changes.age()).toBeLessThan(1000);
  await store.close();
});

function broken(breaking: (good: Store) => Partial<Store>): Opener<ChangesBackend> {
  return async () => {
    const { first, second, close } = await openSqlite();
    return { first: { ...first, ...breaking(first) }, second: { ...second, ...breaking(second) }, close };
  };
}

/** The same store, with another `bump` and something after each write. */
function withBump(good: Store, bump: (tx: Writing, topic: Topic) => Promise<void>): Partial<Store> {
  const scope = (inner: ReturnType<Store['records']['platform']>): ReturnType<Store['records']['platform']> => ({
    ...inner,
    write: (fn) => inner.write((tx) => fn({ ...tx, bump: (topic) => bump(tx, topic) })),
  });
  return {
    records: {
      ...good.records,
      in: (organization) => scope(good.records.in(organization)),
      platform: (reason) => scope(good.records.platform(reason)),
    },
  };
}

const withChanges = (good: Store, changes: Partial<Changes>): Partial<Store> => ({ changes: { ...good.changes, ...changes } });

/** Watchers who are told by `tell` instead of by the store. */
function ownWatchers(): { watch: Changes['watch']; tell(topic: Topic, generation: number): void } {
  const listeners: { topic: Topic; listener: (generation: number) => void }[] = [];
  return {
    watch(topic, listener) {
      const own = { topic, listener };
      listeners.push(own);
      return () => void listeners.splice(listeners.indexOf(own), listeners.includes(own) ? 1 : 0);
    },
    tell(topic, generation) {
      for (const own of [...listeners]) {
        try {
          if (own.topic === topic) own.listener(generation);
        } catch {}
      }
    },
  };
}

const defects: Record<string, (good: Store) => Partial<Store>> = {
  'a feed that tells before COMMIT': (good) => {
    const { watch, tell } = ownWatchers();
    const early = withBump(good, async (tx, topic) => {
      await tx.bump(topic);
      tell(topic, good.changes.generation(topic) + 1);
    });
    return { ...early, ...withChanges(good, { watch }) };
  },
  'a bump that raises nothing': (good) => withBump(good, async () => {}),
  'a bump that raises another topic too': (good) =>
    withBump(good, async (tx, topic) => {
      await tx.bump(topic);
      await tx.bump('policy');
    }),
  'a bump that raises by two': (good) =>
    withBump(good, async (tx, topic) => {
      await tx.bump(topic);
      await tx.bump(topic);
    }),
  'a feed that hears only its own process': (good) => {
    const own = new Map<Topic, number>();
    const records = withBump(good, async (tx, topic) => {
      await tx.bump(topic);
      own.set(topic, (own.get(topic) ?? 0) + 1);
    });
    return { ...records, ...withChanges(good, { generation: (topic) => own.get(topic) ?? 0 }) };
  },
  'a feed that hears only others': (good) =>
    withChanges(good, {
      watch: (topic, listener) => good.changes.watch(topic, (generation) => void setTimeout(listener, 100, generation)),
    }),
  'a watch that cannot be stopped': (good) =>
    withChanges(good, {
      watch(topic, listener) {
        good.changes.watch(topic, listener);
        return () => {};
      },
    }),
  'a feed that tells twice': (good) =>
    withChanges(good, {
      watch: (topic, listener) =>
        good.changes.watch(topic, (generation) => {
          listener(generation);
          listener(generation);
        }),
    }),
  'a feed that mixes topics': (good) =>
    withChanges(good, {
      watch(topic, listener) {
        const stops = [good.changes.watch(topic, listener), good.changes.watch('keys', listener)];
        return () => stops.forEach((stop) => void stop());
      },
    }),
  'an age that is always young': (good) => withChanges(good, { age: () => 0 }),
  'an age that counts from the start': (good) => {
    const started = performance.now();
    return withChanges(good, { age: () => performance.now() - started });
  },
};

for (const [what, breaking] of Object.entries(defects)) expectRejected(what, changesCases, broken(breaking));

expectRejected('a feed that only polls', pushCases, openSqlite);
