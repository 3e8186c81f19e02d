import { expect } from 'vitest';
import type { Store } from '#store';
import { type Database, kinds, newDatabase, openOn } from '../support/databases.ts';
import { testWith } from '../support/need.ts';

const processes = 4;
const times = 50;
const [postgresql] = kinds.filter(({ name }) => name === 'postgresql');
if (postgresql === undefined) throw new Error('there is no PostgreSQL among the kinds');

/** Lets the server learn how few rows there are, so that reading all of them seems cheapest. */
async function analyse({ url, schema }: Database): Promise<void> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`analyze "${schema}".platform_facts`);
  await client.end();
}

testWith(...postgresql.needs)('writes of processes that look at and change rows of their own are not done again', async () => {
  const database = await newDatabase(postgresql);
  const stores: Store[] = [];
  for (let index = 0; index < processes; index++) stores.push(await openOn(database));
  const own = (store: Store) => store.records.platform('test');
  for (const [index, store] of stores.entries())
    await own(store).write(({ db }) =>
      db
        .insertInto('platform_facts')
        .values({ name: `own ${index}`, value: '', version: 1 })
        .execute(),
    );
  await analyse(database);
  let tries = 0;
  await Promise.all(
    stores.map(async (store, index) => {
      for (let time = 1; time <= times; time++)
        await own(store).write(async ({ db }) => {
          tries++;
          const { version } = await db
            .selectFrom('platform_facts')
            .select('version')
            .where('name', '=', `own ${index}`)
            .executeTakeFirstOrThrow();
          await db
            .updateTable('platform_facts')
            .set({ version: version + 1 })
            .where('name', '=', `own ${index}`)
            .execute();
        });
    }),
  );
  // A row that moves to another page is put into the index again, which others have read: a few are.
  expect(tries).toBeLessThan(processes * times * 1.1);
});
