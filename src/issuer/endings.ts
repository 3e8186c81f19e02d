import { type Clock, Fault } from '#kernel';
import { type Changes, type Records, stalest, type Writing } from '#store';
import { type Ending, endingsAfter, insertEnding } from './endings.sql.ts';

/** What has ended and could still be presented: exact, in this process, as new as the change feed (SECURITY 16). */
export interface Endings {
  /** Stores an ending in the caller's transaction. @throws {UniqueViolation} when it had ended */
  insert(tx: Writing, ending: Ending): Promise<void>;
  /** Whether one of these has ended. No I/O unless something ended since. @throws {Fault} `stale_revocations` */
  any(subjects: readonly string[]): Promise<boolean>;
  close(): void;
}

const everybody = 'what has ended, of every organization';
const atOnce = 1_000;
const pruneEvery = 60_000;

export function createEndings({
  records,
  changes,
  clock,
}: {
  readonly records: Records;
  readonly changes: Changes;
  readonly clock: Clock;
}): Endings {
  const ended = new Map<string, number>();
  let known = -1;
  let last = 0;
  let prunedAt = 0;
  let loading: Promise<void> | undefined;

  async function load(): Promise<void> {
    const generation = changes.generation('grants');
    for (;;) {
      const rows = await records.platform(everybody).read((tx) => endingsAfter(tx, last, clock.now(), atOnce));
      for (const { row, subject, expires_at } of rows) {
        ended.set(subject, expires_at);
        last = Math.max(last, row);
      }
      if (rows.length < atOnce) break;
    }
    known = generation;
    prune(clock.now());
  }

  function prune(now: number): void {
    if (now - prunedAt < pruneEvery) return;
    prunedAt = now;
    for (const [subject, expiresAt] of ended) if (expiresAt <= now) ended.delete(subject);
  }

  async function catchUp(): Promise<void> {
    while (known < changes.generation('grants')) {
      loading ??= load().finally(() => {
        loading = undefined;
      });
      await loading;
    }
  }

  // Ahead of whoever asks next; a failure is theirs to see.
  const stop = changes.watch('grants', () => void catchUp().catch(() => undefined));
  return Object.freeze({
    insert: (tx: Writing, ending: Ending) => insertEnding(tx, ending, clock.now()),
    async any(subjects: readonly string[]) {
      if (changes.age() > stalest) throw new Fault('stale_revocations');
      if (known < changes.generation('grants')) await catchUp();
      return subjects.some((subject) => ended.has(subject));
    },
    close: stop,
  });
}
