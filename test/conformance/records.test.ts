import { AsyncResource } from 'node:async_hooks';
import type { Scope, Store } from '#store';
import { encryptedDatabaseOf, encryptedKinds, kinds, openPair, pooledDatabase, pooledNeeds } from '../support/databases.ts';
import { testWith } from '../support/need.ts';
import { openFilePair } from '../support/store.ts';
import { type RecordsBackend, recordsCases } from './records.suite.ts';
import { expectRejected, type Opener, runSuite } from './suite.ts';

const openSqlite = () => openFilePair();

runSuite('records on sqlite', recordsCases, openSqlite);
for (const kind of kinds) runSuite(`records on ${kind.name}`, recordsCases, () => openPair(kind), testWith(...kind.needs));
for (const kind of encryptedKinds)
  runSuite(
    `records on ${kind.name}, over TLS`,
    recordsCases,
    async () => openPair(await encryptedDatabaseOf(kind)),
    testWith(...kind.needs),
  );
runSuite('records on postgresql, behind pgbouncer', recordsCases, async () => openPair(await pooledDatabase()), testWith(...pooledNeeds));

function broken(breaking: (good: Store) => Partial<Store>): Opener<RecordsBackend> {
  return async () => {
    const { first, second, close } = await openSqlite();
    return { first: { ...first, ...breaking(first) }, second: { ...second, ...breaking(second) }, close };
  };
}

/** The same store, whose scopes were tampered with. */
function withScopes(good: Store, tamper: (scope: Scope) => Partial<Scope>): Partial<Store> {
  const bad = (scope: Scope): Scope => ({ ...scope, ...tamper(scope) });
  const platform = bad(good.records.platform('broken'));
  return { records: { ...good.records, in: (organization) => bad(good.records.in(organization)), platform: () => platform } };
}

/** Runs everything that waits in one transaction without savepoints. */
function withoutSavepoints(scope: Scope): Partial<Scope> {
  let waiting: { fn: Parameters<Scope['write']>[0]; settle: (outcome: Promise<unknown>) => void }[] = [];
  const runAll = async () => {
    const members = waiting;
    waiting = [];
    const results: unknown[] = [];
    const all = scope.write(async (tx) => {
      for (const { fn } of members) results.push(await fn(tx));
    });
    members.forEach(({ settle }, index) => void settle(all.then(() => results[index])));
  };
  return {
    write: <T>(fn: Parameters<Scope['write']>[0]) =>
      new Promise<T>((resolve) => {
        if (waiting.length === 0) queueMicrotask(() => void runAll());
        waiting.push({ fn, settle: (outcome) => resolve(outcome as Promise<T>) });
      }),
  };
}

const defects: Record<string, (good: Store) => Partial<Store>> = {
  'a failing member that takes its neighbours with it': (good) => withScopes(good, withoutSavepoints),
  'a failing member that is not undone': (good) =>
    withScopes(good, (scope) => ({
      async write(fn) {
        const outcome = await scope.write((tx) =>
          Promise.resolve(fn(tx)).then(
            (value) => ({ value }),
            (error: unknown) => ({ error }),
          ),
        );
        if ('error' in outcome) throw outcome.error;
        return outcome.value;
      },
    })),
  'a write that resolves before COMMIT': (good) =>
    withScopes(good, (scope) => ({
      write: (fn) =>
        new Promise((resolve, reject) => {
          scope
            .write(async (tx) => {
              const value = await fn(tx);
              resolve(value);
              return value;
            })
            .catch(reject);
        }),
    })),
  'a write that is lost': (good) => {
    let number = 0;
    return withScopes(good, (scope) => ({
      async write(fn) {
        number += 1;
        if (number % 7 !== 0) return await scope.write(fn);
        const lost = new Error('lost');
        let value: Awaited<ReturnType<typeof fn>> | undefined;
        await scope
          .write(async (tx) => {
            value = await fn(tx);
            throw lost;
          })
          .catch((error: unknown) => {
            if (error !== lost) throw error;
          });
        return value as Awaited<ReturnType<typeof fn>>;
      },
    }));
  },
  'a write that runs twice': (good) =>
    withScopes(good, (scope) => ({
      async write(fn) {
        await scope.write(fn);
        return await scope.write(fn);
      },
    })),
  'narrowing that was dropped': (good) => ({ records: { ...good.records, in: () => good.records.platform('broken') } }),
  'narrowing of writes that was dropped': (good) => ({
    records: {
      ...good.records,
      in: (organization) => ({ ...good.records.in(organization), write: good.records.platform('broken').write }),
    },
  }),
  'narrowing of reads that was dropped': (good) => ({
    records: { ...good.records, in: (organization) => ({ ...good.records.in(organization), read: good.records.platform('broken').read }) },
  }),
  'nesting that is not noticed': (good) =>
    withScopes(good, (scope) => {
      const outside = new AsyncResource('outside');
      return { read: (fn) => outside.runInAsyncScope(() => scope.read(fn)) };
    }),
  'reads that may write': (good) => withScopes(good, (scope) => ({ read: (fn) => scope.write(fn) })),
  'a database from tomorrow that is taken': () => ({ migrate: async () => [] }),
  'a store that always says it is empty': () => ({ isEmpty: async () => true }),
  'a store that never says it is empty': () => ({ isEmpty: async () => false }),
  'a close that leaves the store open': () => ({ close: async () => {} }),
};

for (const [what, breaking] of Object.entries(defects)) expectRejected(what, recordsCases, broken(breaking));
