import { randomUUID } from 'node:crypto';
import { type Clock, Fault, type JobId, type Log } from '#kernel';
import type { Records, Writing } from '#store';
import type { JobKind, Jobs, JobView } from './contract.ts';
import { createJobTable, type JobRow, type JobTable } from './jobs.sql.ts';
import { createQueue } from './queue.ts';
import { newRow, periodicKey } from './row.ts';

export interface JobsDeps {
  readonly records: Records;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * What this process can run; a function is asked once, at `start`. Jobs of other kinds are left to processes that
   * know them.
   */
  readonly kinds: readonly JobKind[] | (() => readonly JobKind[]);
  /** Milliseconds between looks at the table. */
  readonly pollEvery?: number;
  /** Milliseconds until the job of a dead process is taken over. */
  readonly lease?: number;
  /** Jobs that this process runs at once. */
  readonly atOnce?: number;
  /** Milliseconds that `close` waits for what runs. */
  readonly grace?: number;
}

/** Jobs at once, unless told otherwise. */
export const mostJobs = 4;

const keptFor = 7 * 24 * 3_600_000;
/** The server that removes what is dead may be ahead of the others. */
const spentKeptFor = 3_600_000;
const prunedAtOnce = 500;

/** Durable background work: rows leased by one process at a time, retried, renewed, listed. */
export function createJobs(deps: JobsDeps): Jobs {
  const { records, clock, log, pollEvery = 500, lease = 30_000, grace = 5_000, atOnce = mostJobs } = deps;
  const table = createJobTable(records);
  const kinds = () => byName([...(typeof deps.kinds === 'function' ? deps.kinds() : deps.kinds), pruning(table, clock)]);
  const queue = createQueue({ table, clock, log, owner: randomUUID(), lease, atOnce }, pollEvery, kinds);

  return Object.freeze({
    async add(tx: Writing, job: Parameters<Jobs['add']>[1]) {
      const now = clock.now();
      const runAt = job.runAt ?? now;
      if (job.uniqueKey?.startsWith(periodicKey(''))) throw new RangeError('that key belongs to periodic jobs');
      queue.lookSoon();
      const there = job.uniqueKey === undefined ? undefined : await table.join(tx, job.uniqueKey, runAt);
      if (there !== undefined) return there;
      const row = newRow(job, now, runAt);
      await table.insert(tx, row);
      return row.id;
    },
    async job(id: JobId) {
      const row = await table.find(id);
      return row === undefined ? undefined : view(row);
    },
    async list({ cursor, limit, ...filter }: Parameters<Jobs['list']>[0]) {
      const rows = await table.page({ ...filter, ...(cursor === undefined ? {} : { before: rowOf(cursor) }), limit: limit + 1 });
      const items = rows.slice(0, limit).map(view);
      const last = rows.length > limit ? rows[limit - 1] : undefined;
      return last === undefined ? { items } : { items, next: String(last.row) };
    },
    cancel: (id: JobId) => table.cancel(id, clock.now()),
    start: queue.start,
    close: () => queue.close(grace),
  });
}

function byName(kinds: readonly JobKind[]): ReadonlyMap<string, JobKind> {
  const named = new Map(kinds.map((kind) => [kind.kind, kind]));
  if (named.size !== kinds.length) throw new RangeError('two kinds of jobs have one name');
  return named;
}

function view(row: JobRow): JobView {
  return Object.freeze({
    id: row.id,
    kind: row.kind,
    status: row.status,
    progress: JSON.parse(row.progress_json),
    attempts: row.attempts,
    runAt: row.run_at,
    error: row.error ?? undefined,
  });
}

function rowOf(cursor: string): number {
  const row = /^[1-9][0-9]{0,15}$/.test(cursor) ? Number(cursor) : Number.NaN;
  if (!Number.isSafeInteger(row)) throw new Fault('invalid_request', { fields: { '/cursor': 'is not a cursor of this list' } });
  return row;
}

/** Ended jobs are kept for a week, spent values until they are dead by themselves by any server's clock. */
function pruning(table: JobTable, clock: Clock): JobKind {
  return {
    kind: 'jobs.prune',
    every: 3_600_000,
    attempts: 3,
    async run({ signal }) {
      while (!signal.aborted && (await table.prune(clock.now() - keptFor, prunedAtOnce)) === prunedAtOnce);
      while (!signal.aborted && (await table.forgetSpent(clock.now() - spentKeptFor, prunedAtOnce)) === prunedAtOnce);
    },
  };
}
