import type { Log } from '#kernel';
import type { RecordedEvent } from './contract.ts';
import type { AuditQueries } from './events.sql.ts';

export interface Followers {
  add(listener: (event: RecordedEvent) => void): () => void;
  close(): void;
}

const pollEvery = 100;
const pageSize = 500;

/**
 * Tells listeners what was recorded, by reading on from the last row: so they hear of committed events only, in order, and
 * of those that other processes recorded too. Nothing is read while nobody listens.
 */
export function createFollowers(deps: { readonly queries: AuditQueries; readonly log: Log }): Followers {
  const { queries, log } = deps;
  const listeners = new Set<(event: RecordedEvent) => void>();
  let last: Promise<number> | undefined;
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
      last ??= queries.lastRow();
      const rows = await queries.following(await last, pageSize);
      const end = rows.at(-1);
      if (end !== undefined) last = Promise.resolve(end.row);
      for (const { event } of rows) tell(event);
      if (rows.length < pageSize) return;
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
  function begin(): void {
    last = queries.lastRow();
    last.catch(() => {
      last = undefined;
    });
    timer = setTimeout(poll, pollEvery).unref();
  }

  return Object.freeze({
    add(listener: (event: RecordedEvent) => void) {
      const own = (event: RecordedEvent) => listener(event);
      listeners.add(own);
      if (timer === undefined) begin();
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
