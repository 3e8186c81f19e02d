import { expect, test } from 'vitest';
import { fakeClock, silentLog } from '#kernel';
import { createMemoryEphemera } from '#store';
import { keepSwept } from './sweeping.ts';

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

test('what has expired is removed batch by batch until nothing is left, and a failing sweep is tried again', async () => {
  const clock = fakeClock();
  const ephemera = createMemoryEphemera(clock);
  for (let index = 0; index < 1_200; index++) await ephemera.put(`key ${index}`, 'value', 1);
  clock.advance(1);
  const batches: number[] = [];
  let failures = 0;
  const watched = {
    ...ephemera,
    async sweep() {
      if (failures++ === 0) throw new Error('not now');
      const removed = await ephemera.sweep();
      batches.push(removed);
      return removed;
    },
  };
  const sweeping = keepSwept(watched, silentLog, 5);
  await pause(200);
  sweeping.stop();
  const swept = batches.length;
  expect(batches.slice(0, 4)).toEqual([500, 500, 200, 0]);
  await pause(40);
  expect(batches).toHaveLength(swept);
});
