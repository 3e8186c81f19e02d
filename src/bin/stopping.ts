import type { Log } from '#kernel';

/** How a server is told to end. */
export interface Stopping {
  /** Resolves when it is told. */
  readonly told: Promise<void>;
  /** Aborted when it is told once more: what is under way is not waited for any longer. */
  readonly hurry: AbortSignal;
}

/** A terminal tells the whole group, and a launcher passes on what it was told: one request, though it comes twice. */
const sameRequest = 1_000;
const usual: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP'];

/** Listens for the signals that ask a process to end. No signal ends it otherwise from now on. */
export function untilStopped(log: Log, signals: readonly NodeJS.Signals[] = usual): Stopping {
  const hurry = new AbortController();
  const told = new Promise<void>((resolve) => {
    let first: number | undefined;
    for (const signal of signals) {
      process.on(signal, () => {
        if (first === undefined) {
          first = performance.now();
          log.info('stopping', { signal });
          resolve();
        } else if (!hurry.signal.aborted && performance.now() - first > sameRequest) {
          log.info('stopping at once', { signal });
          hurry.abort();
        }
      });
    }
  });
  return { told, hurry: hurry.signal };
}
