import { expect, test } from 'vitest';
import { Latest } from './latest.ts';

test('what is used stays, what is not is forgotten, and it never holds more than twice what it should', () => {
  const map = new Latest<number, string>(10);
  map.set(-1, 'used');
  for (let i = 0; i < 1_000; i++) {
    map.set(i, 'passing');
    expect(map.get(-1)).toBe('used');
  }
  const kept = Array.from({ length: 1_000 }, (_, i) => map.get(i)).filter((one) => one !== undefined);
  expect(kept.length).toBeLessThanOrEqual(20);
});

test('the entries set last are all there', () => {
  const map = new Latest<number, number>(10);
  for (let i = 0; i < 95; i++) map.set(i, i);
  for (let i = 85; i < 95; i++) expect(map.get(i)).toBe(i);
});

test('what was deleted or overwritten does not come back', () => {
  const map = new Latest<string, number>(2);
  map.set('a', 1);
  map.set('b', 1);
  map.set('c', 1);
  map.set('a', 2);
  expect(map.get('a')).toBe(2);
  map.delete('a');
  expect(map.get('a')).toBeUndefined();
  map.delete('b');
  expect(map.get('b')).toBeUndefined();
});
