/**
 * A process of its own on one store, for the tests of several processes: `store-process.ts HOME TASK NAME COUNT [URL SCHEMA]`.
 * Prints one line of JSON per fact.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { silentLog, systemClock } from '#kernel';
import { openStore, type Store } from '#store';

const [home = '', task = '', name = '', count = '0', url, schema = ''] = process.argv.slice(2);
const say = (fact: unknown) => process.stdout.write(`${JSON.stringify(fact)}\n`);
const times = Number(count);

async function increment(store: Store): Promise<void> {
  await store.records.platform('several processes').write(async ({ db }) => {
    const { value } = await db.selectFrom('platform_facts').select('value').where('name', '=', 'counter').executeTakeFirstOrThrow();
    await db
      .updateTable('platform_facts')
      .set({ value: String(Number(value) + 1) })
      .where('name', '=', 'counter')
      .execute();
  });
}

const tasks: Record<string, (store: Store) => Promise<void>> = {
  async migrate() {},
  /** One write after the other, as fast as it goes. */
  async increment(store) {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const began = Date.now();
    for (let index = 0; index < times; index++) await increment(store);
    say({ began, ended: Date.now(), longestFreeze: delay.max / 1e6 });
  },
  /** Notes numbers until it is killed, and says each one once it is durable. */
  async note(store) {
    for (let index = 0; ; index++) {
      const notes = Array.from({ length: 8 }, (_, part) => `${name}-${index}-${part}`);
      await Promise.all(
        notes.map(async (note) => {
          await store.records
            .platform('several processes')
            .write(({ db }) => db.insertInto('platform_facts').values({ name: note, value: '', version: 1 }).execute());
          say({ note });
        }),
      );
    }
  },
  /** Takes, claims and bumps what every process is after. */
  async spend(store) {
    const spent: Record<'taken' | 'claimed' | 'numbers', number[]> = { taken: [], claimed: [], numbers: [] };
    for (let index = 0; index < times; index++) {
      if ((await store.ephemera.take(`ticket ${index}`)) !== undefined) spent.taken.push(index);
      if (await store.ephemera.claim(`place ${index}`, name, 60_000)) spent.claimed.push(index);
      spent.numbers.push(await store.ephemera.bump('counter', 60_000));
    }
    say(spent);
  },
  async listen(store) {
    const heard = new Promise<number>((resolve) => void store.changes.watch('revocations', resolve));
    const alive = setInterval(() => {}, 1000);
    say({ listening: true });
    await heard;
    clearInterval(alive);
    say({ heard: Date.now() });
  },
};

const database = url === undefined ? {} : { database: { url, schema } };
const store = await openStore({ home, ephemera: 'sql', ...database, clock: systemClock, log: silentLog });
say({ migrated: await store.migrate() });
await tasks[task]?.(store);
await store.close();
