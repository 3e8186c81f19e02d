import { sql } from 'kysely';
import { expect } from 'vitest';
import { isFault, newId, type OrganizationId } from '#kernel';
import { isUniqueViolation, type Reading, type Store, StoreMisuse, type Writing } from '#store';
import type { Case } from './suite.ts';

/** Two stores on one database. */
export interface RecordsBackend {
  readonly first: Store;
  readonly second: Store;
}

const crowd = 24;
const why = 'conformance';

const platform = (store: Store) => store.records.platform(why);

async function note(tx: Writing, name: string, value = ''): Promise<void> {
  await tx.db.insertInto('platform_facts').values({ name, value, version: 1 }).execute();
}

async function names(store: Store): Promise<readonly string[]> {
  const rows = await platform(store).read(({ db }) => db.selectFrom('platform_facts').select('name').orderBy('name').execute());
  return rows.map(({ name }) => name);
}

async function factOf(store: Store, name: string): Promise<string | undefined> {
  const row = await platform(store).read(({ db }) =>
    db.selectFrom('platform_facts').select('value').where('name', '=', name).executeTakeFirst(),
  );
  return row?.value;
}

function everybody<T>(
  { first, second }: RecordsBackend,
  act: (store: Store, index: number) => Promise<T>,
): Promise<PromiseSettledResult<T>[]> {
  return Promise.allSettled(Array.from({ length: crowd }, (_, index) => act(index % 2 === 0 ? first : second, index)));
}

const failed = (results: readonly PromiseSettledResult<unknown>[]) => results.filter((result) => result.status === 'rejected');

function vault(organization: OrganizationId, name: string) {
  return {
    id: newId('vlt'),
    organization_id: organization,
    created_at: 1,
    name,
    owner_kind: 'organization' as const,
    owner_user_id: null,
    version: 1,
  };
}

/** Reads the value, adds one, writes it back: loses an update unless writes exclude one another. */
async function increment(tx: Writing, name: string): Promise<void> {
  const { value } = await tx.db.selectFrom('platform_facts').select('value').where('name', '=', name).executeTakeFirstOrThrow();
  await tx.db
    .updateTable('platform_facts')
    .set({ value: String(Number(value) + 1) })
    .where('name', '=', name)
    .execute();
}

const transactions: readonly Case<RecordsBackend>[] = [
  {
    name: 'a write has happened for everybody once it resolves, and gives what its function returned',
    async run({ first, second }) {
      for (let index = 0; index < 10; index++) {
        const answer = await platform(first).write(async (tx) => {
          await note(tx, `n${index}`);
          return index;
        });
        expect(answer).toBe(index);
        expect(await names(second)).toContain(`n${index}`);
      }
    },
  },
  {
    name: 'a write sees its own rows before anybody else does',
    async run({ first, second }) {
      await platform(first).write(async (tx) => {
        await note(tx, 'own');
        expect(await tx.db.selectFrom('platform_facts').select('name').execute()).toHaveLength(1);
        expect(await names(second)).toEqual([]);
      });
      expect(await names(second)).toEqual(['own']);
    },
  },
  {
    name: 'a write that fails leaves nothing behind, and rejects with its own error',
    async run({ first }) {
      const error = new Error('mine');
      const write = platform(first).write(async (tx) => {
        await note(tx, 'half');
        throw error;
      });
      await expect(write).rejects.toBe(error);
      const early = platform(first).write(() => {
        throw error;
      });
      await expect(early).rejects.toBe(error);
      expect(await names(first)).toEqual([]);
    },
  },
  {
    name: 'a failing write takes no neighbour with it',
    async run(backend) {
      const results = await everybody(backend, (store, index) =>
        platform(store).write(async (tx) => {
          await note(tx, `n${String(index).padStart(2, '0')}`);
          if (index % 3 === 1) throw new Error(`failed ${index}`);
          return index;
        }),
      );
      const wanted = Array.from({ length: crowd }, (_, index) => index).filter((index) => index % 3 !== 1);
      expect(await names(backend.first)).toEqual(wanted.map((index) => `n${String(index).padStart(2, '0')}`));
      expect(results.map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason)))).toEqual(
        Array.from({ length: crowd }, (_, index) => (index % 3 === 1 ? `Error: failed ${index}` : index)),
      );
    },
  },
  {
    name: 'a write that breaks a constraint takes no neighbour with it',
    async run(backend) {
      await platform(backend.first).write((tx) => note(tx, 'taken'));
      const results = await everybody(backend, (store, index) =>
        platform(store).write((tx) => note(tx, index % 4 === 0 ? 'taken' : `n${index}`)),
      );
      expect(failed(results).every(({ reason }) => isUniqueViolation(reason, 'platform_facts.name'))).toBe(true);
      expect(failed(results)).toHaveLength(crowd / 4);
      expect(await names(backend.second)).toHaveLength(1 + crowd - crowd / 4);
    },
  },
  {
    name: 'no update is lost among many, in one process or between two',
    async run(backend) {
      await platform(backend.first).write((tx) => note(tx, 'counter', '0'));
      const results = await everybody(backend, (store) => platform(store).write((tx) => increment(tx, 'counter')));
      expect(failed(results)).toEqual([]);
      expect(await factOf(backend.second, 'counter')).toBe(String(crowd));
    },
  },
  {
    name: 'exactly one of many updates from one version wins',
    async run(backend) {
      await platform(backend.first).write((tx) => note(tx, 'row'));
      const results = await everybody(backend, (store, index) =>
        platform(store).write(async ({ db }) => {
          const update = db.updateTable('platform_facts').set({ value: `by ${index}`, version: 2 });
          return (await update.where('name', '=', 'row').where('version', '=', 1).executeTakeFirstOrThrow()).numUpdatedRows;
        }),
      );
      const won = results.flatMap((result, index) => (result.status === 'fulfilled' && result.value === 1n ? [index] : []));
      expect(won).toHaveLength(1);
      expect(await factOf(backend.first, 'row')).toBe(`by ${won[0]}`);
    },
  },
  {
    name: 'exactly one of many spends of a single-use value wins, and the losers made nothing',
    async run(backend) {
      const results = await everybody(backend, (store, index) =>
        platform(store).write(async (tx) => {
          await note(tx, `made by ${index}`);
          await tx.db.insertInto('spent_values').values({ hash: 'one', kind: 'test', made: 'x', spent_at: 1, expires_at: 2 }).execute();
        }),
      );
      expect(failed(results)).toHaveLength(crowd - 1);
      expect(failed(results).every(({ reason }) => isUniqueViolation(reason, 'spent_values.hash'))).toBe(true);
      expect(await names(backend.second)).toHaveLength(1);
    },
  },
];

const handles: readonly Case<RecordsBackend>[] = [
  {
    name: 'a read or write inside a write or read throws, and harms nothing',
    async run({ first }) {
      const scope = platform(first);
      const nested: (() => Promise<unknown>)[] = [
        () => scope.write(() => scope.write((tx) => note(tx, 'inner'))),
        () => scope.write(() => scope.read(async () => undefined)),
        () => scope.read(() => scope.write((tx) => note(tx, 'inner'))),
        () => scope.read(() => scope.read(async () => undefined)),
      ];
      for (const attempt of nested) await expect(attempt()).rejects.toThrow(StoreMisuse);
      await scope.write((tx) => note(tx, 'after'));
      expect(await names(first)).toEqual(['after']);
    },
  },
  {
    name: 'reads and writes beside one another are no nesting, also started from the end of another',
    async run({ first }) {
      const scope = platform(first);
      await Promise.all([
        scope.read(async () => {}),
        scope.write((tx) => note(tx, 'a')),
        scope.read(async () => {}),
        scope.write((tx) => note(tx, 'b')),
      ]);
      await scope.write((tx) => note(tx, 'c')).then(() => scope.write((tx) => note(tx, 'd')));
      expect(await names(first)).toEqual(['a', 'b', 'c', 'd']);
    },
  },
  {
    name: 'a handle throws once its function has returned',
    async run({ first }) {
      const kept: Reading[] = [];
      await platform(first).write(async (tx) => void kept.push(tx));
      await platform(first).read(async (tx) => void kept.push(tx));
      await platform(first)
        .write(async (tx) => {
          kept.push(tx);
          throw new Error('ended');
        })
        .catch(() => {});
      expect(kept).toHaveLength(3);
      for (const { db } of kept) await expect(db.selectFrom('platform_facts').selectAll().execute()).rejects.toThrow(StoreMisuse);
    },
  },
  {
    name: 'a reading handle cannot write',
    async run({ first }) {
      const attempt = platform(first).read(({ db }) =>
        db.insertInto('platform_facts').values({ name: 'x', value: '', version: 1 }).execute(),
      );
      await expect(attempt).rejects.toThrow();
      expect(await names(first)).toEqual([]);
    },
  },
];

const tenancy: readonly Case<RecordsBackend>[] = [
  {
    name: 'one organization neither sees, changes, deletes nor inserts rows of another',
    async run({ first, second }) {
      const [ours, theirs] = [newId('org'), newId('org')];
      for (const organization of [ours, theirs])
        await first.records.in(organization).write(({ db }) => db.insertInto('vaults').values(vault(organization, 'v')).execute());
      const scope = second.records.in(ours);
      const seen = await scope.read(({ db }) => db.selectFrom('vaults').select('organization_id').execute());
      expect(seen.map((row) => row.organization_id)).toEqual([ours]);
      const joined = await scope.read(({ db }) =>
        db.selectFrom('vaults as a').leftJoin('vaults as b', 'b.name', 'a.name').select('b.organization_id').execute(),
      );
      expect(joined.map((row) => row.organization_id)).toEqual([ours]);
      expect((await scope.write(({ db }) => db.updateTable('vaults').set({ version: 2 }).executeTakeFirstOrThrow())).numUpdatedRows).toBe(
        1n,
      );
      expect((await scope.write(({ db }) => db.deleteFrom('vaults').executeTakeFirstOrThrow())).numDeletedRows).toBe(1n);
      await expect(scope.write(({ db }) => db.insertInto('vaults').values(vault(theirs, 'w')).execute())).rejects.toThrow(StoreMisuse);
      const left = await platform(first).read(({ db }) => db.selectFrom('vaults').select(['organization_id', 'version']).execute());
      expect(left.map((row) => [row.organization_id, row.version])).toEqual([[theirs, 1]]);
    },
  },
  {
    name: 'the scope of an organization runs no SQL text of its own',
    async run({ first }) {
      const attempt = first.records.in(newId('org')).read(({ db }) => sql`select 1`.execute(db));
      await expect(attempt).rejects.toThrow(StoreMisuse);
    },
  },
];

const texts = ['', ' ', 'é', 'e\u0301', '日本', '👩‍👩‍👧', "o'brien", '"', '%_\\', 'a\u0000b', '-- ; drop table users', 'x'.repeat(300_000)];

const values: readonly Case<RecordsBackend>[] = [
  {
    name: 'text comes back as it was: empty, non-ASCII, quotes, zero bytes, long',
    async run({ first, second }) {
      for (const [index, text] of texts.entries()) await platform(first).write((tx) => note(tx, `n${index}`, text));
      for (const [index, text] of texts.entries()) expect(await factOf(second, `n${index}`)).toBe(text);
    },
  },
  {
    name: 'integers come back exact over the whole safe range, and bytes byte for byte',
    async run({ first, second }) {
      const whole = [0, -1, 2 ** 31, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
      const all = Uint8Array.from({ length: 256 }, (_, index) => index);
      for (const [index, created_at] of whole.entries())
        await platform(first).write(({ db }) =>
          db
            .insertInto('master_key_marks')
            .values({ id: `k${index}`, check_value: all, created_at })
            .execute(),
        );
      const rows = await platform(second).read(({ db }) => db.selectFrom('master_key_marks').selectAll().orderBy('id').execute());
      expect(rows.map((row) => row.created_at)).toEqual(whole);
      for (const row of rows) expect(Buffer.compare(row.check_value, all)).toBe(0);
    },
  },
  {
    name: 'unique keys are compared byte by byte',
    async run({ first }) {
      for (const name of ['a', 'A', 'a ', 'é', 'e\u0301', 'a\u0000b', 'a\u0000c']) await platform(first).write((tx) => note(tx, name));
      await expect(platform(first).write((tx) => note(tx, 'a'))).rejects.toSatisfy((error: unknown) => isUniqueViolation(error));
    },
  },
  {
    name: 'text is compared byte by byte too: letter case, accents and trailing spaces count',
    async run({ first, second }) {
      const alike = ['a', 'A', 'a ', 'á', 'a\u0301', 'ａ', 'ß', 'ss', '', ' '];
      for (const [index, text] of alike.entries()) await platform(first).write((tx) => note(tx, `n${index}`, text));
      for (const [index, text] of alike.entries()) {
        const found = await platform(second).read(({ db }) =>
          db.selectFrom('platform_facts').select('name').where('value', '=', text).execute(),
        );
        expect(found.map(({ name }) => name)).toEqual([`n${index}`]);
      }
    },
  },
];

const life: readonly Case<RecordsBackend>[] = [
  {
    name: 'migrations run once, however many ask at once',
    async run({ first, second }) {
      const ran = await Promise.all([first.migrate(), second.migrate(), first.migrate()]);
      expect(ran).toEqual([[], [], []]);
    },
  },
  {
    name: 'a database with a migration we do not know is refused',
    async run({ first, second }) {
      await platform(first).write(({ db }) => db.insertInto('migrations').values({ name: '9999-from-tomorrow', applied_at: 1 }).execute());
      await expect(second.migrate()).rejects.toSatisfy((error) => isFault(error, 'store_newer'));
    },
  },
  {
    name: 'a store is empty until its first row, and answers a ping',
    async run({ first, second }) {
      expect(await first.isEmpty()).toBe(true);
      await platform(first).write((tx) => note(tx, 'n'));
      expect(await second.isEmpty()).toBe(false);
      expect(await second.ping()).toBeGreaterThanOrEqual(0);
    },
  },
  {
    name: 'closing waits for the writes that were accepted; later ones are refused',
    async run({ first, second }) {
      const writes = Promise.all(Array.from({ length: crowd }, (_, index) => platform(first).write((tx) => note(tx, `n${index}`))));
      await first.close();
      await writes;
      expect(await names(second)).toHaveLength(crowd);
      await expect(platform(first).write((tx) => note(tx, 'late'))).rejects.toSatisfy((error) => isFault(error, 'shutting_down'));
      await expect(names(first)).rejects.toSatisfy((error) => isFault(error, 'shutting_down'));
    },
  },
];

const patience: readonly Case<RecordsBackend>[] = [
  {
    name: 'a write that waits for something else is ended, undone, and holds nobody up',
    async run({ first }) {
      let tell: (late: unknown) => void = () => {};
      const late = new Promise((resolve) => {
        tell = resolve;
      });
      const stuck = platform(first).write(async (tx) => {
        await note(tx, 'stuck');
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        await note(tx, 'late').then(() => tell('written'), tell);
      });
      const neighbour = platform(first).write((tx) => note(tx, 'neighbour'));
      await expect(stuck).rejects.toThrow(StoreMisuse);
      await neighbour;
      expect(await late).toBeInstanceOf(StoreMisuse);
      expect(await names(first)).toEqual(['neighbour']);
    },
  },
];

export const recordsCases: readonly Case<RecordsBackend>[] = [...transactions, ...handles, ...tenancy, ...values, ...life, ...patience];
