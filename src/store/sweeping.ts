import type { Log } from '#kernel';
import type { Ephemera } from './ports.ts';

const sweepEvery = 15_000;

/** Removes expired Ephemera now and then, one small batch at a time. Nothing depends on it. */
export function keepSwept(ephemera: Ephemera, log: Log): { stop(): void } {
  const timer = setInterval(() => {
    ephemera.sweep().catch((error: unknown) => log.warn('expired values could not be removed', { error }));
  }, sweepEvery);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
