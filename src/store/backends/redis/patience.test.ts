import { expect, test } from 'vitest';
import { createPatience } from './patience.ts';

test('who waits goes on as soon as it holds, and no later than it may', async () => {
  const patience = createPatience(2_000);
  let holds = false;
  setTimeout(() => {
    holds = true;
  }, 60);
  const began = performance.now();
  expect(await patience(() => holds)).toBe(true);
  expect(performance.now() - began).toBeLessThan(1_500);
  const short = createPatience(80);
  expect(await short(() => false)).toBe(false);
});

test('without patience nobody waits, and beyond a thousand who wait one more is refused at once', async () => {
  expect(await createPatience(0)(() => false)).toBe(false);
  const patience = createPatience(200);
  const waiting = Array.from({ length: 1_000 }, () => patience(() => false));
  const began = performance.now();
  expect(await patience(() => false)).toBe(false);
  expect(performance.now() - began).toBeLessThan(100);
  expect(new Set(await Promise.all(waiting))).toEqual(new Set([false]));
  expect(await patience(() => true)).toBe(true);
});
