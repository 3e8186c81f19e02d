import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect } from 'vitest';
import type { StoreOptions } from '#store';
import { kinds, newDatabase } from '../support/databases.ts';
import { long, testWith } from '../support/need.ts';
import { openTestStore, temporaryFolder } from '../support/store.ts';

type Fact = Readonly<Record<string, unknown>>;

const script = fileURLToPath(new URL('./store-process.ts', import.meta.url));
const started = new Set<ChildProcess>();

afterAll(() => {
  for (const child of started) child.kill('SIGKILL');
});

/** Where the processes of a test keep what they share. */
interface Place {
  readonly home: string;
  readonly database?: NonNullable<StoreOptions['database']>;
}

/** Starts a process on a place; `facts` fills with what it says. */
function start({ home, database }: Place, task: string, name = '', count = 0) {
  const server = database === undefined ? [] : [database.url, database.schema];
  const child = spawn(process.execPath, ['--conditions=gatehouse-source', script, home, task, name, String(count), ...server], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.add(child);
  const facts: Fact[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => void facts.push(JSON.parse(line) as Fact));
  const exited = Promise.all([once(child, 'exit'), once(lines, 'close')]).then(([[code]]) => {
    started.delete(child);
    return code as number | null;
  });
  return { child, facts, exited };
}

/** Waits for a fact that has this key. */
async function until(facts: readonly Fact[], key: string, wanted = 1): Promise<Fact> {
  const end = performance.now() + 20_000;
  for (;;) {
    const found = facts.filter((fact) => key in fact);
    if (found.length >= wanted) return found.at(-1) as Fact;
    if (performance.now() > end) throw new Error(`no fact ${key}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const places: readonly { readonly name: string; readonly needs: readonly string[]; readonly make: () => Promise<Place> }[] = [
  { name: 'sqlite', needs: [], make: async () => ({ home: temporaryFolder() }) },
  ...kinds.map((kind) => ({ ...kind, make: async () => ({ home: temporaryFolder(), database: await newDatabase(kind) }) })),
];

describe.each(places)('on $name', ({ needs, make: newPlace }) => {
  const test = testWith(...needs);

  test('of ten processes that start at once on an empty database, each starts, and one migrates', async () => {
    const place = await newPlace();
    const processes = Array.from({ length: 10 }, () => start(place, 'migrate'));
    expect(await Promise.all(processes.map(({ exited }) => exited))).toEqual(Array(10).fill(0));
    const ran = processes.map(({ facts }) => facts.find((fact) => 'migrated' in fact)?.migrated as string[]);
    expect(ran.filter((names) => names.length > 0)).toHaveLength(1);
  });

  test('two processes that write to one database both get on, lose nothing, and freeze nobody', {
    timeout: long ? 300_000 : 30_000,
  }, async () => {
    const place = await newPlace();
    const store = await openTestStore({ ...place, ephemera: 'sql', clock: 'system' });
    await store.records
      .platform('test')
      .write(({ db }) => db.insertInto('platform_facts').values({ name: 'counter', value: '0', version: 1 }).execute());
    const half = long ? 5_000 : 150;
    const processes = ['a', 'b'].map((name) => start(place, 'increment', name, half));
    expect(await Promise.all(processes.map(({ exited }) => exited))).toEqual([0, 0]);
    const row = await store.records
      .platform('test')
      .read(({ db }) => db.selectFrom('platform_facts').select('value').executeTakeFirstOrThrow());
    expect(row.value).toBe(String(2 * half));
    for (const { facts } of processes) expect((await until(facts, 'longestFreeze')).longestFreeze).toBeLessThan(500);
  });

  test('no process spends what another one spent', async () => {
    const place = await newPlace();
    const store = await openTestStore({ ...place, ephemera: 'sql', clock: 'system' });
    const count = 60;
    for (let index = 0; index < count; index++) await store.ephemera.put(`ticket ${index}`, 'value', 60_000);
    const processes = ['a', 'b', 'c'].map((name) => start(place, 'spend', name, count));
    expect(await Promise.all(processes.map(({ exited }) => exited))).toEqual([0, 0, 0]);
    const all = (key: string) =>
      processes.flatMap(({ facts }) => facts.find((fact) => key in fact)?.[key] as number[]).sort((a, b) => a - b);
    const numbers = Array.from({ length: count }, (_, index) => index);
    expect(all('taken')).toEqual(numbers);
    expect(all('claimed')).toEqual(numbers);
    expect(all('numbers')).toEqual(Array.from({ length: 3 * count }, (_, index) => index + 1));
  });

  test('a change reaches another process within a second', async () => {
    const place = await newPlace();
    const store = await openTestStore({ ...place, ephemera: 'sql', clock: 'system' });
    const { facts, exited } = start(place, 'listen');
    await until(facts, 'listening');
    await store.records.platform('test').write((tx) => tx.bump('revocations'));
    const told = Date.now();
    const { heard } = await until(facts, 'heard');
    expect(Number(heard) - told).toBeLessThan(1000);
    expect(await exited).toBe(0);
  });

  test('what a killed process was told is written is there, and the others go on', { timeout: long ? 300_000 : 30_000 }, async () => {
    const place = await newPlace();
    const store = await openTestStore({ ...place, ephemera: 'sql', clock: 'system' });
    for (let round = 0; round < (long ? 50 : 3); round++) {
      const { child, facts, exited } = start(place, 'note', `round${round}`);
      await until(facts, 'note', 200);
      child.kill('SIGKILL');
      await exited;
      const rows = await store.records.platform('test').read(({ db }) => db.selectFrom('platform_facts').select('name').execute());
      const there = new Set(rows.map(({ name }) => name));
      const told = facts.flatMap((fact) => ('note' in fact ? [String(fact.note)] : []));
      expect(told.filter((note) => !there.has(note))).toEqual([]);
      await store.records.platform('test').write(({ db }) =>
        db
          .insertInto('platform_facts')
          .values({ name: `after ${round}`, value: '', version: 1 })
          .execute(),
      );
    }
  });
});
