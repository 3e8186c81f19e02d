import { expect, test } from 'vitest';
import { stalest } from '#store';
import { settleTime } from './moving.ts';

test('a move of sealed values waits for what a server, which has not heard of it, writes once a fail-over is over', () => {
  expect(settleTime({ redisFailoverSeconds: 30, redisCommandSeconds: 5 })).toBeGreaterThan(stalest + 35_000);
});
