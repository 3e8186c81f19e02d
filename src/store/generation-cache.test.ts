import { expect, test } from 'vitest';
import { cacheByGeneration } from '#store';
import { openTestStore } from '../../test/support/store.ts';

test('a value is loaded once for all who wait, kept until the topic changes, and absent ones are looked up again', async () => {
  const store = await openTestStore();
  const cache = cacheByGeneration<number>(store.changes, 'policy', 10);
  let loads = 0;
  const load = async () => ++loads;
  expect(await Promise.all([cache.get('a', load), cache.get('a', load)])).toEqual([1, 1]);
  expect(await cache.get('a', load)).toBe(1);
  await store.records.platform('test').write((tx) => tx.bump('keys'));
  expect(await cache.get('a', load)).toBe(1);
  await store.records.platform('test').write((tx) => tx.bump('policy'));
  expect(await cache.get('a', load)).toBe(2);
  expect(await cache.get('b', async () => undefined)).toBeUndefined();
  expect(await cache.get('b', load)).toBe(3);
  cache.close();
});

test('what was loaded while the topic changed is not kept, and a load that fails is not either', async () => {
  const store = await openTestStore();
  const cache = cacheByGeneration<string>(store.changes, 'policy', 10);
  const gate = Promise.withResolvers<string>();
  const early = cache.get('a', () => gate.promise);
  await store.records.platform('test').write((tx) => tx.bump('policy'));
  gate.resolve('before');
  expect(await early).toBe('before');
  expect(await cache.get('a', async () => 'after')).toBe('after');
  await expect(cache.get('b', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await cache.get('b', async () => 'yes')).toBe('yes');
});

test('a full cache forgets its oldest value', async () => {
  const store = await openTestStore();
  const cache = cacheByGeneration<string>(store.changes, 'policy', 2);
  for (const key of ['a', 'b', 'c']) await cache.get(key, async () => key);
  expect(await cache.get('c', async () => 'again')).toBe('c');
  expect(await cache.get('a', async () => 'again')).toBe('again');
});
