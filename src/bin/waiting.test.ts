import { expect, test } from 'vitest';
import { Fault, isFault, silentLog } from '#kernel';
import { whenItComes } from './waiting.ts';

test('what comes later is waited for, with one line at once', async () => {
  const lines: string[] = [];
  const log = { ...silentLog, info: (message: string) => void lines.push(message) };
  let tries = 0;
  const open = async () => {
    if (++tries < 3) throw new Fault('unavailable');
    return 'open';
  };
  expect(await whenItComes('the database', 10_000, log, open)).toBe('open');
  expect([tries, lines]).toEqual([3, ['waiting for the database']]);
});

test('what does not come is given up in time, and any other failure at once', async () => {
  const from = performance.now();
  const absent = whenItComes('the database', 1_200, silentLog, () => Promise.reject(new Fault('unavailable')));
  await expect(absent).rejects.toSatisfy((error) => isFault(error, 'unavailable'));
  expect(performance.now() - from).toBeLessThan(1_300);
  let tries = 0;
  const refused = whenItComes('the database', 60_000, silentLog, async () => {
    tries++;
    throw new Fault('invalid_setting');
  });
  await expect(refused).rejects.toSatisfy((error) => isFault(error, 'invalid_setting'));
  expect(tries).toBe(1);
});
