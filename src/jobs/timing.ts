import { Cron } from 'croner';

const firstWait = 1_000;
const longestWait = 300_000;

/** When a job that failed for the `attempts`-th time is tried again: a second, doubled each time, at most five minutes, spread by a fifth. */
export function retryAt(now: number, attempts: number): number {
  const wait = Math.min(longestWait, firstWait * 2 ** Math.max(0, attempts - 1));
  return now + Math.round(wait * (0.9 + 0.2 * Math.random()));
}

/** When a periodic job is due next, after `now`. @throws {RangeError} if it never is */
export function nextRun(every: number | string, now: number): number {
  if (typeof every === 'number') {
    if (!Number.isSafeInteger(every) || every <= 0) throw new RangeError('a period is a positive integer of milliseconds');
    return now + every;
  }
  const next = new Cron(every, { timezone: 'UTC', paused: true }).nextRun(new Date(now));
  if (next === null) throw new RangeError('this pattern never comes again');
  return next.getTime();
}
