import type { Kysely } from 'kysely';
import type { RecordsBackend } from './backend.ts';
import { isUniqueViolation } from './errors.ts';
import { hotQuery } from './hot-query.ts';
import { checkKey, checkPageLimit, checkVersion } from './limits.ts';
import { placeFactOf, refuseElsewhere } from './place-of-sealed.ts';
import type { SealedEntry, SealedStore } from './ports.ts';
import type { Schema } from './schema.ts';

const entryOf = hotQuery<{ key: string }, SealedEntry>((db, slot) =>
  db.selectFrom('sealed_values').select(['envelope', 'version']).where('key', '=', slot('key')),
);

const replaceEntry = hotQuery<{ key: string; envelope: Uint8Array; to: number; from: number }>((db, slot) =>
  db
    .updateTable('sealed_values')
    .set({ envelope: slot('envelope'), version: slot('to') })
    .where('key', '=', slot('key'))
    .where('version', '=', slot('from')),
);

/**
 * Ciphertext by key in the SQL database: a row per key, compare-and-set on its version. A write looks, in its own transaction,
 * whether values still lie here; `unguarded` is for whoever moves them.
 */
export function createSqlSealedStore(backend: RecordsBackend, guard: 'guarded' | 'unguarded' = 'guarded'): SealedStore {
  const write = <T>(fn: (db: Kysely<Schema>) => Promise<T>) =>
    backend.write(undefined, async (db) => {
      if (guard === 'guarded') refuseElsewhere(await placeFactOf(db), 'database');
      return await fn(db);
    });
  return Object.freeze({
    async get(key: string): Promise<SealedEntry | undefined> {
      checkKey(key);
      const { rows } = await backend.read(undefined, (db) => entryOf({ db, organization: undefined }, { key }));
      return rows[0];
    },

    async put(key: string, envelope: Uint8Array, expected: number): Promise<boolean> {
      checkKey(key);
      checkVersion(expected);
      return expected === 0 ? await insert(write, key, envelope) : await replace(write, key, envelope, expected);
    },

    async remove(key: string, expected: number): Promise<boolean> {
      checkKey(key);
      checkVersion(expected);
      const { numDeletedRows } = await write((db) =>
        db.deleteFrom('sealed_values').where('key', '=', key).where('version', '=', expected).executeTakeFirstOrThrow(),
      );
      return numDeletedRows === 1n;
    },

    async list(prefix: string, page: { readonly after?: string; readonly limit: number }): Promise<readonly string[]> {
      checkPageLimit(page.limit);
      const rows = await backend.read(undefined, (db) => {
        let query = db.selectFrom('sealed_values').select('key').orderBy('key').limit(page.limit);
        if (prefix !== '') query = query.where('key', '>=', prefix).where('key', '<', `${prefix}\u{10ffff}`);
        if (page.after !== undefined) query = query.where('key', '>', page.after);
        return query.execute();
      });
      return rows.map(({ key }) => key);
    },
  });
}

type Write = <T>(fn: (db: Kysely<Schema>) => Promise<T>) => Promise<T>;

async function insert(write: Write, key: string, envelope: Uint8Array): Promise<boolean> {
  try {
    await write((db) => db.insertInto('sealed_values').values({ key, envelope, version: 1 }).execute());
    return true;
  } catch (error) {
    if (isUniqueViolation(error)) return false;
    throw error;
  }
}

async function replace(write: Write, key: string, envelope: Uint8Array, expected: number): Promise<boolean> {
  const values = { key, envelope, from: expected, to: expected + 1 };
  const { numAffectedRows } = await write((db) => replaceEntry({ db, organization: undefined }, values));
  return numAffectedRows === 1n;
}
