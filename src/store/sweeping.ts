import type { Log } from '#kernel';
import type { Ephemera } from './ports.ts';

const sweepEvery = 15_000;
const whileThereIsMore = 100;

/** Removes expired Ephemera now and then, one small batch at a time, and faster while it finds any. Nothing depends on it. */
export function keepSwept(ephemera: Ephemera, log: Log, every: number = sweepEvery): { stop(): void } {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function sweep(): Promise<void> {
    let removed = 0;
    try {
      removed = await ephemera.sweep();
    } catch (error) {
      if (!stopped) log.warn('expired values could not be removed', { error });
    }
    schedule(removed > 0 ? Math.min(every, whileThereIsMore) : every);
  }

  function schedule(wait: number): void {
    if (stopped) return;
    timer = setTimeout(() => void sweep(), wait);
    timer.unref();
  }

  schedule(every);
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
