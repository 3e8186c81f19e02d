import type { SealedStore } from '#store';
import { kinds, openPair } from '../support/databases.ts';
import { testWith } from '../support/need.ts';
import { openFilePair } from '../support/store.ts';
import { type SealedBackend, sealedCases } from './sealed.suite.ts';
import { expectRejected, type Opener, runSuite } from './suite.ts';

/** Two stores on one file. */
async function openSqlite(): Promise<SealedBackend & { close(): Promise<void> }> {
  const { first, second, close } = await openFilePair();
  return { first: first.sealed, second: second.sealed, close };
}

runSuite('sealed values on sqlite', sealedCases, openSqlite);
for (const kind of kinds)
  runSuite(
    `sealed values on ${kind.name}`,
    sealedCases,
    async () => {
      const { first, second, close } = await openPair(kind);
      return { first: first.sealed, second: second.sealed, close };
    },
    testWith(...kind.needs),
  );

function broken(breaking: (good: SealedStore) => Partial<SealedStore>): Opener<SealedBackend> {
  return async () => {
    const { first, second, close } = await openSqlite();
    return { first: { ...first, ...breaking(first) }, second: { ...second, ...breaking(second) }, close };
  };
}

/** Writes whatever is there. */
async function overwrite(good: SealedStore, key: string, envelope: Uint8Array): Promise<boolean> {
  for (;;) {
    const entry = await good.get(key);
    if (await good.put(key, envelope, entry?.version ?? 0)) return true;
  }
}

const defects: Record<string, (good: SealedStore) => Partial<SealedStore>> = {
  'a put that loses an update': (good) => ({
    async put(key, envelope, expected) {
      const before = await good.get(key);
      if ((before?.version ?? 0) !== expected) return good.put(key, envelope, expected);
      return await overwrite(good, key, envelope);
    },
  }),
  'a first put that overwrites': (good) => ({
    put: (key, envelope, expected) => (expected === 0 && key !== '' ? overwrite(good, key, envelope) : good.put(key, envelope, expected)),
  }),
  'a put that wins without writing': (good) => ({
    async put(key, envelope, expected) {
      await good.put(key, envelope, expected);
      return true;
    },
  }),
  'a removal that does not look at the version': (good) => ({
    async remove(key, expected) {
      const entry = await good.get(key);
      return await good.remove(key, entry === undefined ? expected : entry.version);
    },
  }),
  'a removal that always says it won': (good) => ({
    async remove(key, expected) {
      await good.remove(key, expected);
      return true;
    },
  }),
  'a put that revives what was removed': (good) => ({
    async put(key, envelope, expected) {
      return (await good.put(key, envelope, expected)) || (expected > 0 && (await good.put(key, envelope, 0)));
    },
  }),
  'a listing that ignores case': (good) => ({
    async list(prefix, page) {
      const keys = await good.list('', { limit: 1000 });
      return keys.filter((key) => key.toLowerCase().startsWith(prefix.toLowerCase()) && key > (page.after ?? '')).slice(0, page.limit);
    },
  }),
  'a listing that forgets where it was': (good) => ({
    list: (prefix, page) =>
      good.list(prefix, { limit: page.after === undefined ? page.limit : page.limit + 1 }).then((keys) => keys.slice(0, 10 * keys.length)),
  }),
  'a listing whose pages overlap': (good) => ({
    async list(prefix, { after, limit }) {
      const keys = await good.list(prefix, { limit: 1000 });
      return keys.filter((key) => after === undefined || key >= after).slice(after === keys.at(-1) ? keys.length : 0, limit);
    },
  }),
  'a listing that takes a prefix for a pattern': (good) => ({
    async list(prefix, page) {
      const pattern = new RegExp(
        `^${prefix
          .replace(/[.*[\]\\']/g, '\\$&')
          .replaceAll('%', '.*')
          .replaceAll('_', '.')}`,
      );
      return (await good.list('', { limit: 1000 })).filter((key) => pattern.test(key) && key > (page.after ?? '')).slice(0, page.limit);
    },
  }),
  'a listing without a limit': (good) => ({ list: (prefix, page) => good.list(prefix, { ...page, limit: 1000 }) }),
  'envelopes that are turned into text': (good) => ({
    put: (key, envelope, expected) => good.put(key, Buffer.from(Buffer.from(envelope).toString('utf8')), expected),
  }),
  'keys that are cut': (good) => ({
    get: (key) => good.get(key.slice(0, 512)),
    put: (key, envelope, expected) => good.put(key.slice(0, 512), envelope, expected),
  }),
  'a negative version that is taken as none': (good) => ({
    put: (key, envelope, expected) => good.put(key, envelope, Math.max(0, expected)),
  }),
};

for (const [what, breaking] of Object.entries(defects)) expectRejected(what, sealedCases, broken(breaking));

expectRejected('a cache that hands out its own bytes', sealedCases, async () => {
  const { first, second, close } = await openSqlite();
  const kept = new Map<string, { envelope: Uint8Array; version: number }>();
  const caching: SealedStore = {
    ...first,
    async put(key, envelope, expected) {
      const won = await first.put(key, envelope, expected);
      if (won) kept.set(key, { envelope, version: expected + 1 });
      return won;
    },
    get: async (key) => kept.get(key) ?? (await first.get(key)),
  };
  return { first: caching, second, close };
});
