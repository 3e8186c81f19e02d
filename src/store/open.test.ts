import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Fault, newId, silentLog, systemClock } from '#kernel';
import { bearerKey, ephemeraKey, openStore, StoreMisuse, sha256 } from '#store';
import { openTestStore, temporaryFolder } from '../../test/support/store.ts';
import { migrations } from './migrations/index.ts';

test('a fresh store is migrated once, answers, and is empty until the first row', async () => {
  const store = await openTestStore({ ephemera: 'sql' });
  expect(await store.migrate()).toEqual([]);
  expect(await store.isEmpty()).toBe(true);
  expect(await store.ping()).toBeLessThan(1000);
  expect(store.changes.age()).toBe(0);
  expect(await store.sealed.put('vault:a', new Uint8Array([1]), 0)).toBe(true);
  expect(await store.isEmpty()).toBe(false);
});

test('a raised generation counts as something that was written', async () => {
  const store = await openTestStore();
  await store.records.platform('test').write((tx) => tx.bump('settings'));
  expect(await store.isEmpty()).toBe(false);
});

test('a store that was never migrated is empty, and gives its migrations when it is', async () => {
  const store = await openStore({ home: temporaryFolder(), ephemera: 'memory', clock: systemClock, log: silentLog });
  expect(await store.isEmpty()).toBe(true);
  expect(await store.migrate()).toEqual(migrations.map(({ name }) => name));
  expect(await store.isEmpty()).toBe(true);
  await store.close();
});

test('the folder and its files are for their owner only', async () => {
  const home = join(temporaryFolder(), 'deep', 'home');
  const store = await openTestStore({ home, ephemera: 'sql' });
  await store.ephemera.put('key', 'value', 1000);
  expect(statSync(home).mode & 0o777).toBe(0o700);
  for (const file of ['gatehouse.db', 'gatehouse.db-wal', 'gatehouse.db-shm', 'ephemera.db', 'ephemera.db-wal'])
    expect(statSync(join(home, file)).mode & 0o077, file).toBe(0);
});

test('what was written is there after closing and opening again', async () => {
  const home = temporaryFolder();
  const first = await openTestStore({ home, ephemera: 'sql', clock: 'system' });
  await first.sealed.put('key', new Uint8Array([7]), 0);
  await first.ephemera.put('key', 'value', 60_000);
  await first.records.platform('test').write((tx) => tx.bump('keys'));
  await first.close();
  const second = await openTestStore({ home, ephemera: 'sql', clock: 'system' });
  expect((await second.sealed.get('key'))?.version).toBe(1);
  expect(await second.ephemera.get('key')).toBe('value');
  expect(second.changes.generation('keys')).toBe(1);
});

test('a file that is no database stops the start with a fault', async () => {
  const home = temporaryFolder();
  mkdirSync(join(home, 'gatehouse.db'));
  await expect(openStore({ home, ephemera: 'memory', clock: systemClock, log: silentLog })).rejects.toThrow();
  const damaged = temporaryFolder();
  const { writeFileSync } = await import('node:fs');
  writeFileSync(join(damaged, 'gatehouse.db'), 'this is no database, and long enough to be looked at as one '.repeat(100));
  chmodSync(join(damaged, 'gatehouse.db'), 0o600);
  await expect(openStore({ home: damaged, ephemera: 'memory', clock: systemClock, log: silentLog })).rejects.toThrow(Fault);
});

test('Ephemera are refused inside a read or a write, by every verb, and free again after it', async () => {
  const store = await openTestStore();
  const { ephemera } = store;
  const verbs = [
    () => ephemera.get('k'),
    () => ephemera.put('k', 'v', 1),
    () => ephemera.claim('k', 'v', 1),
    () => ephemera.take('k'),
    () => ephemera.drop('k', 'v'),
    () => ephemera.bump('k', 1),
  ];
  const scope = store.records.platform('test');
  for (const verb of verbs) {
    await expect(scope.write(async () => void (await verb()))).rejects.toThrow(StoreMisuse);
    await expect(scope.read(async () => void (await verb()))).rejects.toThrow(StoreMisuse);
  }
  expect(await ephemera.get('k')).toBeUndefined();
  await scope.read(async () => {}).then(() => ephemera.put('k', 'v', 1));
  expect(await ephemera.get('k')).toBe('v');
});

test('keys name their kind, keep parts apart and hold bearer values only as hashes', () => {
  expect(ephemeraKey('rate', 'a:b', 'c')).not.toBe(ephemeraKey('rate', 'a', 'b:c'));
  expect(ephemeraKey('rate', 'a', 'b')).toBe('rate:a:b');
  expect(bearerKey('setup_link', 'canary')).toBe(`setup_link:${sha256('canary')}`);
  expect(sha256('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
});

test('many organizations may be asked for, and the same one gives the same scope', async () => {
  const store = await openTestStore();
  const organization = newId('org');
  expect(store.records.in(organization)).toBe(store.records.in(organization));
  for (let index = 0; index < 1_100; index++) store.records.in(newId('org'));
  expect(await store.records.in(organization).read(({ db }) => db.selectFrom('users').selectAll().execute())).toEqual([]);
});
