import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openTestStore, type TestStore } from '../../../../test/support/store.ts';
import { createCheckpointer } from './checkpoint.ts';

const fileOf = ({ home }: Pick<TestStore, 'home'>) => join(home, 'gatehouse.db');
const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

let written = 0;
const write = (store: TestStore, bytes = 200_000) =>
  store.records.platform('test').write(({ db }) =>
    db
      .insertInto('sealed_values')
      .values({ key: `k${written++}`, envelope: Buffer.alloc(bytes, 7), version: 1 })
      .execute(),
  );

test('no commit copies the log, however long it is; the job does, and empties it', async () => {
  const store = await openTestStore();
  const [file, log] = [fileOf(store), `${fileOf(store)}-wal`];
  const before = sizeOf(file);
  while (sizeOf(log) < 24 * 1024 * 1024) await write(store);
  expect(sizeOf(file)).toBe(before);
  expect(await store.checkpoint()).toMatchObject({ truncated: true });
  expect(sizeOf(log)).toBe(0);
  expect(sizeOf(file)).toBeGreaterThan(20 * 1024 * 1024);
});

test('while a checkpoint runs, the loop turns and writes are committed', async () => {
  const store = await openTestStore();
  while (sizeOf(`${fileOf(store)}-wal`) < 16 * 1024 * 1024) await write(store);
  let ended = false;
  let during = 0;
  const checkpoint = store.checkpoint().finally(() => {
    ended = true;
  });
  expect(ended).toBe(false);
  while (!ended) {
    await write(store, 100);
    during++;
  }
  expect((await checkpoint)?.pages).toBeGreaterThan(3_000);
  // It was given back before the thread had even begun, or no write could have come between.
  expect(during).toBeGreaterThan(0);
  await store.checkpoint();
  expect(sizeOf(`${fileOf(store)}-wal`)).toBe(0);
});

test('a checkpoint waits for nobody: who writes or reads keeps the file, and the next one empties the log', async () => {
  const store = await openTestStore();
  await write(store);
  const other = new DatabaseSync(fileOf(store), { timeout: 0 });
  other.exec('begin immediate');
  expect(await store.checkpoint()).toMatchObject({ truncated: false });
  other.exec('commit');
  other.exec('begin');
  other.prepare('select count(*) from sealed_values').get();
  await write(store);
  expect(await store.checkpoint()).toMatchObject({ truncated: false });
  other.exec('commit');
  other.close();
  expect(await store.checkpoint()).toMatchObject({ truncated: true });
});

test('two at once are one', async () => {
  const store = await openTestStore();
  await write(store);
  const [one, other] = [store.checkpoint(), store.checkpoint()];
  expect(await one).toBe(await other);
});

test('a log that grows long is emptied where no job runs', async () => {
  const store = await openTestStore();
  const checkpointer = createCheckpointer(fileOf(store), 1024 * 1024);
  for (let count = 0; count < 10; count++) await write(store);
  await sleep(1_100);
  checkpointer.watch();
  await checkpointer.close();
  expect(sizeOf(`${fileOf(store)}-wal`)).toBe(0);
});
