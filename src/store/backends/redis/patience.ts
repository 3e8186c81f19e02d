import { setTimeout as sleep } from 'node:timers/promises';

const lookedEvery = 25;
const mostWaiting = 1_000;

/** Waits until `holds`, but not for ever. False: it did not come to be, or too many wait already. */
export type Patience = (holds: () => boolean) => Promise<boolean>;

/** For those who have sent nothing yet, and so send nothing late. `longest` in milliseconds. */
export function createPatience(longest: number): Patience {
  let waiting = 0;
  return async (holds) => {
    if (holds()) return true;
    if (longest <= 0 || waiting >= mostWaiting) return false;
    waiting += 1;
    try {
      for (const end = performance.now() + longest; performance.now() < end; ) {
        await sleep(lookedEvery);
        if (holds()) return true;
      }
      return false;
    } finally {
      waiting -= 1;
    }
  };
}
