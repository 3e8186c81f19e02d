import { expect, test } from 'vitest';
import { idleWithin, partOf, poolSizes } from './pool-sizes.ts';

test('all connections of a process together are those of the setting, and none of its uses goes without', () => {
  for (let total = 6; total <= 20; total++) {
    for (const kept of [0, 1])
      for (const ephemera of [true, false]) {
        const { reading, writing, schema, ephemera: brief } = poolSizes(total, { kept, ephemera });
        expect(reading + writing + schema + brief + kept).toBe(total);
        expect([Math.min(reading, writing, schema) > 0, brief > 0]).toEqual([true, ephemera]);
        // The driver of MySQL has no idle limit for a pool of one, so its pools have two unless work queues for them.
        if (kept === 0) expect([reading > 1, brief !== 1]).toEqual([true, true]);
      }
  }
});

test('an idle connection is closed at half of what the server allows, or when the setting says, whichever comes first', () => {
  expect(idleWithin(300_000, 28_800_000)).toBe(300_000);
  expect(idleWithin(300_000, 60_000)).toBe(30_000);
  expect(idleWithin(300_000, 0)).toBe(300_000);
  expect(idleWithin(300_000, 500)).toBe(1_000);
});

test('the processes of a service share its connections, and each has enough for all of its uses', () => {
  expect([partOf(10), partOf(20, 2), partOf(20, 3), partOf(10, 2), partOf(10, 64)]).toEqual([10, 10, 6, 6, 6]);
});
