import { type Clock, Fault, type OrganizationId } from '#kernel';
import { endingName } from '#oauth';
import { type Changes, type Records, stalest, type Writing } from '#store';
import { type Ending, endingsAfter, insertEnding } from './endings.sql.ts';

/** What has ended and could still be presented: exact, in this process, as new as the change feed (SECURITY 16). */
export interface Endings {
  /** Stores an ending in the caller's transaction. @throws {UniqueViolation} when it had ended */
  insert(tx: Writing, ending: Ending): Promise<void>;
  /** Whether one of these has ended. No I/O unless something ended since. @throws {Fault} `stale_revocations` */
  any(subjects: readonly string[]): Promise<boolean>;
  /** What ended in an organization after a row, in order. @throws {Fault} `stale_revocations` */
  after(organization: OrganizationId, row: number, most: number): Promise<readonly KnownEnding[]>;
  /** Waits until something ends, or keys change, or for so long, milliseconds. */
  next(patience: number): Promise<void>;
  close(): void;
}

/** An ending as others are told of it. */
export interface KnownEnding {
  readonly row: number;
  /** `endingName` of its subject. */
  readonly name: string;
  readonly expiresAt: number;
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
  const told = new Map<OrganizationId, KnownEnding[]>();
  const patient = createPatience();
  let known = -1;
  let last = 0;
  let prunedAt = 0;
  let loading: Promise<void> | undefined;

  async function load(): Promise<void> {
    const generation = changes.generation('grants');
    for (;;) {
      const rows = await records.platform(everybody).read((tx) => endingsAfter(tx, last, clock.now(), atOnce));
      for (const row of rows) keep(row);
      if (rows.length < atOnce) break;
    }
    known = generation;
    prune(clock.now());
    patient.wake();
  }

  function keep({ row, organization_id, subject, expires_at }: Awaited<ReturnType<typeof endingsAfter>>[number]): void {
    ended.set(subject, expires_at);
    const ending = { row, name: endingName(subject), expiresAt: expires_at };
    const before = told.get(organization_id);
    if (before === undefined) told.set(organization_id, [ending]);
    else before.push(ending);
    last = Math.max(last, row);
  }

  function prune(now: number): void {
    if (now - prunedAt < pruneEvery) return;
    prunedAt = now;
    for (const [subject, expiresAt] of ended) if (expiresAt <= now) ended.delete(subject);
    for (const [organization, endings] of told) {
      const left = endings.filter(({ expiresAt }) => expiresAt > now);
      if (left.length === 0) told.delete(organization);
      else told.set(organization, left);
    }
  }

  async function catchUp(): Promise<void> {
    while (known < changes.generation('grants')) {
      loading ??= load().finally(() => {
        loading = undefined;
      });
      await loading;
    }
  }

  async function beFresh(): Promise<void> {
    if (changes.age() > stalest) throw new Fault('stale_revocations');
    if (known < changes.generation('grants')) await catchUp();
  }

  // Ahead of whoever asks next; a failure is theirs to see.
  const stops = [changes.watch('grants', () => void catchUp().catch(() => undefined)), changes.watch('issuing', patient.wake)];
  return Object.freeze({
    insert: (tx: Writing, ending: Ending) => insertEnding(tx, ending, clock.now()),
    async any(subjects: readonly string[]) {
      await beFresh();
      return subjects.some((subject) => ended.has(subject));
    },
    async after(organization: OrganizationId, row: number, most: number) {
      await beFresh();
      const endings = told.get(organization) ?? [];
      const first = firstAfter(endings, row);
      return endings.slice(first, first + most);
    },
    next: (patience: number) => patient.wait(patience),
    close() {
      for (const stop of stops) stop();
      patient.wake();
    },
  });
}

/** The index of the first one after a row; they are in order. */
function firstAfter(endings: readonly KnownEnding[], row: number): number {
  let [low, high] = [0, endings.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((endings[middle] as KnownEnding).row > row) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** At most so many wait at once; one more is answered without. */
const mostPatient = 1_000;

/** Who waits for the next ending. */
function createPatience() {
  const waiting = new Set<() => void>();
  return {
    wake() {
      for (const go of [...waiting]) go();
    },
    wait: (patience: number) =>
      new Promise<void>((resolve) => {
        if (waiting.size >= mostPatient || patience <= 0) return resolve();
        const go = () => {
          clearTimeout(timer);
          waiting.delete(go);
          resolve();
        };
        const timer = setTimeout(go, patience);
        waiting.add(go);
      }),
  };
}
