import { expect, test } from 'vitest';
import { poolSizes } from './pool-sizes.ts';

const sum = (sizes: object) => Object.values(sizes).reduce((total: number, one: number) => total + one, 0);

test('the processes of a service share ten connections, and each has one of every kind', () => {
  expect(sum(poolSizes())).toBe(10);
  expect(sum(poolSizes(2))).toBe(5);
  for (const processes of [3, 4, 16, 64]) {
    expect(sum(poolSizes(processes))).toBeLessThanOrEqual(Math.max(4, 10 / processes));
    expect(Object.values(poolSizes(processes)).every((size) => size >= 1)).toBe(true);
  }
});
