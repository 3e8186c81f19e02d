import { expect, test } from 'vitest';
import { openTestStore } from '../../test/support/store.ts';

test('a fresh store is migrated once, answers, and is empty until the first row', async () => {
  const store = await openTestStore({ ephemera: 'sql' });
  expect(await store.migrate()).toEqual([]);
  expect(await store.isEmpty()).toBe(true);
  expect(await store.ping()).toBeLessThan(1000);
  expect(store.changes.age()).toBe(0);
  expect(await store.sealed.put('vault:a', new Uint8Array([1]), 0)).toBe(true);
  expect(await store.sealed.put('vault:a', new Uint8Array([1]), 0)).toBe(false);
  expect(await store.isEmpty()).toBe(false);
});
