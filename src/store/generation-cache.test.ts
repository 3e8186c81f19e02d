import { expect, test } from 'vitest';
import { openTestStore } from '../../test/support/store.ts';
import { cacheByGeneration } from './index.ts';

async function ready(limit = 10) {
  const store = await openTestStore();
  const change = () => store.records.platform('a test changes something').write((tx) => tx.bump('policy'));
  return { store, change, cache: cacheByGeneration<string>(store.changes, 'policy', limit) };
}

test('a value is loaded once for all who wait, and again after a change', async () => {
  const { cache, change } = await ready();
  let loads = 0;
  const load = async () => `value ${++loads}`;
  expect(await Promise.all(Array.from({ length: 50 }, () => cache.get('a', load)))).toEqual(Array(50).fill('value 1'));
  expect(await cache.get('a', load)).toBe('value 1');
  await change();
  expect(await cache.get('a', load)).toBe('value 2');
});

test('a load that began before a change is not kept, and nobody who asks after it gets it', async () => {
  const { cache, change } = await ready();
  let finish: (value: string) => void = () => undefined;
  const before = cache.get('a', () => new Promise<string>((go) => (finish = go)));
  await change();
  expect(await cache.get('a', async () => 'new')).toBe('new');
  finish('old');
  expect(await before).toBe('old');
  expect(await cache.get('a', async () => 'never loaded')).toBe('new');
});

test('what is absent and what failed is asked for again', async () => {
  const { cache } = await ready();
  expect(await cache.get('a', async () => undefined)).toBeUndefined();
  await expect(cache.get('a', () => Promise.reject(new Error('down')))).rejects.toThrow('down');
  expect(await cache.get('a', async () => 'there')).toBe('there');
});

test('the oldest value leaves when it is full, and other topics change nothing', async () => {
  const { cache, store } = await ready(2);
  for (const key of ['a', 'b', 'c']) await cache.get(key, async () => key);
  await store.records.platform('a test changes something else').write((tx) => tx.bump('identity'));
  expect(await cache.get('b', async () => 'again')).toBe('b');
  expect(await cache.get('a', async () => 'again')).toBe('again');
});

test('a closed cache keeps nothing and hears nothing', async () => {
  const { cache, change } = await ready();
  await cache.get('a', async () => 'one');
  cache.close();
  await change();
  expect(await cache.get('a', async () => 'two')).toBe('two');
  expect(await cache.get('a', async () => 'three')).toBe('three');
});
