import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test as plainTest } from 'vitest';
import { silentLog, systemClock } from '#kernel';
import { copyDatabase, type DatabasePlace, openStore, type TableDigest } from '#store';
import { kinds, newDatabase } from '../support/databases.ts';
import { addConnections, type Filled, openAll, openFilled } from '../support/filled.ts';
import { gatehouse, until } from '../support/installation.ts';
import { count, testWith } from '../support/need.ts';
import { temporaryFolder } from '../support/store.ts';

const many = count(2_000, 100_000);
const patience = count(180_000, 1_800_000);
const needed = kinds.flatMap(({ needs }) => needs);
const test = testWith(...needed);

const files = (): DatabasePlace => ({ home: temporaryFolder() });
const homeOf = ({ people }: Filled): DatabasePlace => ({ home: people.store.home });
const copy = (from: DatabasePlace, to: DatabasePlace) => copyDatabase({ from, to, clock: systemClock });

async function onServer(index: number): Promise<DatabasePlace> {
  const kind = kinds[index];
  if (kind === undefined) throw new Error('no such kind of database');
  return { home: '', database: await newDatabase(kind) };
}

/** Without standing in the way of what a copy says of itself: opens it whatever its standing. */
async function opened<T>(place: DatabasePlace, work: (store: Awaited<ReturnType<typeof openStore>>) => Promise<T>): Promise<T> {
  const store = await openStore({
    ...place,
    home: place.home === '' ? temporaryFolder() : place.home,
    ephemera: 'memory',
    clock: systemClock,
    log: silentLog,
  });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

const rowsIn = (tables: readonly TableDigest[], name: string) => tables.find(({ table }) => table === name)?.rows;
const seconds = (began: number) => ((performance.now() - began) / 1000).toFixed(1);

test(
  `${many} connections go from SQLite to PostgreSQL to MariaDB to SQLite, are equal everywhere, and each opens`,
  async () => {
    const filled = await openFilled(many);
    const places = [homeOf(filled), await onServer(0), await onServer(1), files()];
    const reports = [];
    for (const [index, to] of places.slice(1).entries()) {
      const began = performance.now();
      reports.push(await copy(places[index] as DatabasePlace, to));
      process.stdout.write(`copy ${index + 1} of 3, ${many} connections: ${seconds(began)} s\n`);
    }
    const [first, ...others] = reports.map(({ tables }) => tables);
    expect(rowsIn(first ?? [], 'connections')).toBe(many);
    expect(rowsIn(first ?? [], 'sealed_values')).toBe(many);
    for (const tables of others) expect(tables).toEqual(first);
    await opened(places[3] as DatabasePlace, async (store) => {
      expect(await store.standing()).toMatchObject({ state: 'paused', by: 'copy' });
      expect(await openAll(filled, store)).toBe(many);
    });
  },
  patience,
);

test(
  'a copy is brought up to date by repeating it, whatever was added, changed, removed or renamed meanwhile',
  async () => {
    const filled = await openFilled(600);
    const { people, vaults } = filled;
    const target = await onServer(0);
    await copy(homeOf(filled), target);
    await addConnections(people, vaults, 600, 900);
    await people.store.records.platform('test').write(async ({ db }) => {
      await db.deleteFrom('connections').where('name', '=', 'c5').execute();
      await db.updateTable('connections').set({ name: 'c5' }).where('name', '=', 'c7').execute();
      await db.updateTable('connections').set({ used_at: 12_345 }).where('shared', '=', 1).execute();
    });
    const again = await copy(homeOf(filled), target);
    expect([again.resumed, rowsIn(again.tables, 'connections')]).toEqual([true, 899]);
    expect(again.tables).toEqual((await copy(homeOf(filled), files())).tables);
  },
  patience,
);

test(
  'a row that is added to a copy has a row id of its own',
  async () => {
    const filled = await openFilled(10);
    for (const target of [await onServer(0), await onServer(1), files()]) {
      await copy(homeOf(filled), target);
      const added = opened(target, (store) =>
        store.records.platform('test').write(({ db }) =>
          db
            .insertInto('sealed_values')
            .values({ key: 'vault:more', envelope: Buffer.from('x'), version: 1 })
            .execute(),
        ),
      );
      await expect(added).resolves.toBeDefined();
    }
  },
  patience,
);

test(
  'what is copied is one state of the source, however much is written to it meanwhile',
  async () => {
    const filled = await openFilled(1_000);
    const { store, organization } = filled.people;
    let writing = true;
    const move = (step: number) =>
      store.records.in(organization.id).write(async ({ db }) => {
        await db.updateTable('connections').set({ used_at: step }).where('name', '=', 'c0').execute();
        await db.updateTable('connections').set({ used_at: step }).where('name', '=', 'c999').execute();
      });
    const writer = (async () => {
      for (let step = 1; writing; step++) await move(step);
    })();
    for (const target of [await onServer(1), files()]) {
      await copy(homeOf(filled), target);
      const used = await opened(target, (copied) =>
        copied.records
          .platform('test')
          .read(({ db }) => db.selectFrom('connections').select('used_at').where('name', 'in', ['c0', 'c999']).execute()),
      );
      expect(used[0]).toEqual(used[1]);
    }
    writing = false;
    await writer;
  },
  patience,
);

test(
  'a copy that was killed may not be served, and goes on when it is repeated',
  async () => {
    const filled = await openFilled(count(6_000, 20_000));
    const { home } = homeOf(filled);
    for (const index of [0, 1]) {
      const target = await onServer(index);
      const command = ['db', 'copy', '--to', target.database?.url ?? '', '--schema', target.database?.schema ?? ''];
      const env = { PATH: process.env.PATH ?? '', HOME: home, GATEHOUSE_HOME: home };
      const [program, ...first] = gatehouse;
      const child = spawn(program, [...first, ...command], { env, stdio: 'ignore' });
      const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
      await opened(target, async (watching) => {
        const count = () =>
          watching.records.platform('test').read(({ db }) =>
            db
              .selectFrom('sealed_values')
              .select(({ fn }) => fn.countAll<number>().as('n'))
              .executeTakeFirstOrThrow(),
          );
        await until(async () => (await count().catch(() => ({ n: 0 }))).n > 200, 60_000);
        child.kill('SIGKILL');
        expect(await ended).toBe('SIGKILL');
        expect(Number((await count()).n)).toBeLessThan(filled.count);
        expect(await watching.standing()).toMatchObject({ state: 'incomplete' });
      });
      const again = await copy({ home }, target);
      expect([again.resumed, rowsIn(again.tables, 'connections')]).toEqual([true, filled.count]);
    }
  },
  patience,
);

/** What somebody else does to the files of a database, between two steps of whoever works on it. */
function meanwhile({ home }: DatabasePlace, statement: string): void {
  const database = new DatabaseSync(join(home, 'gatehouse.db'));
  database.exec(statement);
  database.close();
}

plainTest('a copy that was overtaken by another, and so perhaps is served by now, is not written to any more', async () => {
  const filled = await openFilled(600);
  const target = files();
  let told = false;
  const overtaken = copyDatabase({
    from: homeOf(filled),
    to: target,
    clock: systemClock,
    onProgress({ table }) {
      if (told || table !== 'connections') return;
      told = true;
      meanwhile(target, "delete from platform_facts where name = 'standing'");
    },
  });
  await expect(overtaken).rejects.toMatchObject({ code: 'conflict' });
  await opened(target, async (store) => expect(await store.standing()).toBeUndefined());
  await expect(copy(homeOf(filled), target)).rejects.toMatchObject({ code: 'store_not_empty' });
});

plainTest('of two copies at once into one database the later goes on, and the database is whole', async () => {
  const filled = await openFilled(600);
  const target = files();
  let second: ReturnType<typeof copy> | undefined;
  const first = copyDatabase({
    from: homeOf(filled),
    to: target,
    clock: systemClock,
    onProgress() {
      second ??= copy(homeOf(filled), target);
      second.catch(() => {});
    },
  });
  const outcomes = await Promise.allSettled([
    first,
    first.then(
      () => second,
      () => second,
    ),
  ]);
  expect(outcomes[1]?.status).toBe('fulfilled');
  if (outcomes[0]?.status === 'rejected') expect(outcomes[0].reason).toMatchObject({ code: 'conflict' });
  await opened(target, async (store) => {
    expect(await store.standing()).toMatchObject({ state: 'paused', by: 'copy' });
    expect(await openAll(filled, store)).toBe(600);
  });
});

test('a target that holds something else is refused and left as it is', async () => {
  const [one, other] = [await openFilled(3), await openFilled(4)];
  for (const target of [await onServer(0), await onServer(1), files()]) {
    await copy(homeOf(one), target);
    await expect(copy(homeOf(other), target)).rejects.toMatchObject({ code: 'store_not_empty' });
    expect(await copy(homeOf(one), target)).toMatchObject({ resumed: true });
  }
  await expect(copy(homeOf(one), homeOf(other))).rejects.toMatchObject({ code: 'store_not_empty' });
  await expect(copy(homeOf(one), homeOf(one))).rejects.toMatchObject({ code: 'invalid_request' });
}, 120_000);

test('a dry run changes nothing and makes nothing', async () => {
  const filled = await openFilled(5);
  const folder = join(temporaryFolder(), 'none');
  for (const target of [await onServer(0), await onServer(1), { home: folder }]) {
    const told = await copyDatabase({ from: homeOf(filled), to: target, clock: systemClock, dryRun: true });
    expect([told.resumed, rowsIn(told.tables, 'connections')]).toEqual([false, 5]);
    expect(await copy(homeOf(filled), target)).toMatchObject({ resumed: false });
  }
}, 120_000);

plainTest('a source that is not there is refused, and not made', async () => {
  const folder = join(temporaryFolder(), 'none');
  await expect(copy({ home: folder }, files())).rejects.toMatchObject({ code: 'not_found' });
  expect(existsSync(folder)).toBe(false);
  await expect(copy(files(), files())).rejects.toMatchObject({ code: 'not_found' });
});

plainTest('a source of an older version is refused', async () => {
  const filled = await openFilled(1);
  await filled.people.store.records.platform('test').write(({ db }) => db.deleteFrom('migrations').execute());
  await expect(copy(homeOf(filled), files())).rejects.toMatchObject({ code: 'store_outdated' });
});
