import { setTimeout as sleep } from 'node:timers/promises';
import { isFault, type Log } from '#kernel';

const looksEvery = 500;
const tellsEvery = 5_000;

/**
 * Opens something that stands on a server which may come later. Tried again while it is `unavailable`, and told at once and
 * every five seconds. @throws {Fault} `unavailable` once `patience` milliseconds have passed
 */
export async function whenItComes<T>(what: string, patience: number, log: Log, open: () => Promise<T>): Promise<T> {
  const began = performance.now();
  let told = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      const waited = performance.now() - began;
      if (!isFault(error, 'unavailable') || waited + looksEvery > patience) throw error;
      if (performance.now() - told >= tellsEvery) {
        told = performance.now();
        log.info(`waiting for ${what}`, { waited: Math.round(waited / 1000), atMost: Math.round(patience / 1000) });
      }
      await sleep(looksEvery);
    }
  }
}
