import type { DataKeyId } from '#kernel';
import type { Records, Schema, Writing } from '#store';

/** A row of `data_keys` as the rest of the room sees it. */
export type DataKeyRow = Omit<Schema['data_keys'], 'row'> & { readonly row: number };
export type NewDataKey = Pick<DataKeyRow, 'id' | 'scope' | 'master_key_id' | 'wrapped' | 'created_at'>;
export interface MarkRow {
  readonly id: string;
  readonly check_value: Uint8Array;
}

/** Where a retired key's scope goes on: one scope has one active key, by the unique index on `scope`. */
const retiredMark = '#';

/** The scope a key was made for, active or retired. */
export function scopeOfRow(row: Pick<DataKeyRow, 'scope'>): string {
  return row.scope.split(retiredMark, 1)[0] ?? '';
}

export type DataKeyQueries = ReturnType<typeof dataKeyQueries>;

/** Every statement on `data_keys` and `master_key_marks`. */
export function dataKeyQueries(records: Records) {
  const platform = records.platform('the vault keeps the data keys of every organization');

  return Object.freeze({
    byId: (id: DataKeyId): Promise<DataKeyRow | undefined> =>
      platform.read(({ db }) => db.selectFrom('data_keys').selectAll().where('id', '=', id).executeTakeFirst()),

    active: (scope: string): Promise<DataKeyRow | undefined> =>
      platform.read(({ db }) => db.selectFrom('data_keys').selectAll().where('scope', '=', scope).executeTakeFirst()),

    activeId: async (scope: string): Promise<DataKeyId | undefined> => {
      const row = await platform.read(({ db }) => db.selectFrom('data_keys').select('id').where('scope', '=', scope).executeTakeFirst());
      return row?.id;
    },

    /** Fails with a unique violation when the scope has an active key. */
    insert: (row: NewDataKey): Promise<void> => platform.write((tx) => insertDataKey(tx, row)),

    /** Counts seals ahead of their use. False: somebody else was faster, or it is no longer active. */
    reserve: (row: DataKeyRow, seals: number): Promise<boolean> =>
      platform.write(async ({ db }) => {
        const { numUpdatedRows } = await db
          .updateTable('data_keys')
          .set({ seals: row.seals + seals, version: row.version + 1 })
          .where('id', '=', row.id)
          .where('version', '=', row.version)
          .where('status', '=', 'active')
          .executeTakeFirstOrThrow();
        return numUpdatedRows === 1n;
      }),

    /** Retires `row` and puts `successor` in its place, and tells every process. False: somebody else was faster. */
    replace: (row: DataKeyRow, successor: NewDataKey): Promise<boolean> =>
      platform.write(async (tx) => {
        const { numUpdatedRows } = await tx.db
          .updateTable('data_keys')
          .set({ status: 'retired', scope: `${row.scope}${retiredMark}${row.id}`, version: row.version + 1 })
          .where('id', '=', row.id)
          .where('version', '=', row.version)
          .where('status', '=', 'active')
          .executeTakeFirstOrThrow();
        if (numUpdatedRows !== 1n) return false;
        await insertDataKey(tx, successor);
        await tx.bump('keys');
        return true;
      }),

    /** Stores the key as wrapped with another master key. False: the row was changed meanwhile. */
    rewrap: (row: DataKeyRow, masterKey: string, wrapped: Uint8Array): Promise<boolean> =>
      platform.write(async ({ db }) => {
        const { numUpdatedRows } = await db
          .updateTable('data_keys')
          .set({ master_key_id: masterKey, wrapped, version: row.version + 1 })
          .where('id', '=', row.id)
          .where('version', '=', row.version)
          .executeTakeFirstOrThrow();
        return numUpdatedRows === 1n;
      }),

    /** A page of keys that are not wrapped with this master key. */
    wrappedWithOthers: (masterKey: string, after: number, limit: number): Promise<DataKeyRow[]> =>
      platform.read(({ db }) =>
        db
          .selectFrom('data_keys')
          .selectAll()
          .where('master_key_id', '!=', masterKey)
          .where('row', '>', after)
          .orderBy('row')
          .limit(limit)
          .execute(),
      ),

    /** A page of active keys that were made under another master key. */
    activeMadeUnderOthers: (masterKey: string, after: number, limit: number): Promise<DataKeyRow[]> =>
      platform.read(({ db }) =>
        db
          .selectFrom('data_keys')
          .selectAll()
          .where('made_under', '!=', masterKey)
          .where('status', '=', 'active')
          .where('row', '>', after)
          .orderBy('row')
          .limit(limit)
          .execute(),
      ),

    /** How many keys a rotation to this master key has to wrap, and how many active ones it would replace. */
    counts: async (masterKey: string): Promise<{ readonly wrap: number; readonly replace: number }> =>
      platform.read(async ({ db }) => {
        const count = db.fn.countAll<number>().as('count');
        const wrap = await db.selectFrom('data_keys').select(count).where('master_key_id', '!=', masterKey).executeTakeFirstOrThrow();
        const replace = await db
          .selectFrom('data_keys')
          .select(count)
          .where('made_under', '!=', masterKey)
          .where('status', '=', 'active')
          .executeTakeFirstOrThrow();
        return { wrap: Number(wrap.count), replace: Number(replace.count) };
      }),

    wrapsByMasterKey: async (): Promise<ReadonlyMap<string, number>> => {
      const rows = await platform.read(({ db }) =>
        db
          .selectFrom('data_keys')
          .select(['master_key_id', db.fn.countAll<number>().as('count')])
          .groupBy('master_key_id')
          .execute(),
      );
      return new Map(rows.map((row) => [row.master_key_id, Number(row.count)]));
    },

    marks: (): Promise<MarkRow[]> =>
      platform.read(({ db }) => db.selectFrom('master_key_marks').select(['id', 'check_value']).orderBy('id').execute()),

    /** Fails with a unique violation when the key has its mark. */
    mark: (row: Schema['master_key_marks']): Promise<void> =>
      platform.write(async ({ db }) => {
        await db.insertInto('master_key_marks').values(row).execute();
      }),

    announce: (): Promise<void> => platform.write((tx) => tx.bump('keys')),
  });
}

/** The active key of a scope, inside a transaction. */
export async function hasActiveKey(tx: Writing, scope: string): Promise<boolean> {
  const row = await tx.db.selectFrom('data_keys').select('id').where('scope', '=', scope).executeTakeFirst();
  return row !== undefined;
}

/** A new active key, with its unique scope. */
export async function insertDataKey(tx: Writing, key: NewDataKey): Promise<void> {
  await tx.db
    .insertInto('data_keys')
    .values({ ...key, made_under: key.master_key_id, status: 'active', seals: 0, version: 1 })
    .execute();
}
