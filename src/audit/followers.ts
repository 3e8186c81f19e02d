import type { Clock, Log } from '#kernel';
import type { RecordedEvent } from './contract.ts';
import type { AuditQueries } from './events.sql.ts';
import { advance, beginAfter, lookBack, type Position } from './position.ts';

export interface Followers {
  add(listener: (event: RecordedEvent) => void): () => void;
  close(): void;
}

const pollEvery = 100;
const pageSize = 500;

/**
 * Tells listeners what was recorded, by reading on from the last row: so they hear of committed events only, each chain in
 * order, and of those that other processes recorded too, also when those commit late. Nothing is read while nobody listens.
 */
export function createFollowers(deps: { readonly queries: AuditQueries; readonly clock: Clock; readonly log: Log }): Followers {
  const { queries, clock, log } = deps;
  const listeners = new Set<(event: RecordedEvent) => void>();
  let position: Promise<Position> | undefined;
  let timer: NodeJS.Timeout | undefined;

  async function poll(): Promise<void> {
    try {
      await readOn();
    } catch (error) {
      log.warn('the audit trail cannot be followed right now', { error });
    }
    timer = listeners.size === 0 ? undefined : setTimeout(poll, pollEvery).unref();
  }

  async function readOn(): Promise<void> {
    for (;;) {
      const from = await (position ?? begin());
      const found = await queries.following(from, pageSize);
      position = Promise.resolve(
        advance(
          from,
          found.map(({ row }) => row),
          clock.now(),
        ),
      );
      for (const { event } of found) tell(event);
      if (found.length < pageSize) return;
    }
  }

  function tell(event: RecordedEvent): void {
    for (const listener of [...listeners]) {
      try {
        listener(event);
      } catch (error) {
        log.error('a listener to events failed', { error });
      }
    }
  }

  /** Where to go on from is read at once: what is recorded from now on is told. */
  function begin(): Promise<Position> {
    const beginning = queries.lastRows(lookBack).then((rows) => beginAfter(rows, clock.now()));
    position = beginning;
    beginning.catch(() => {
      if (position === beginning) position = undefined;
    });
    return beginning;
  }

  return Object.freeze({
    add(listener: (event: RecordedEvent) => void) {
      const own = (event: RecordedEvent) => listener(event);
      listeners.add(own);
      if (timer === undefined) {
        void begin();
        timer = setTimeout(poll, pollEvery).unref();
      }
      return () => {
        listeners.delete(own);
      };
    },
    close() {
      listeners.clear();
      clearTimeout(timer);
      timer = undefined;
    },
  });
}
