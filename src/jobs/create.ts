import { randomUUID } from 'node:crypto';
import { type Clock, Fault, type JobId, type Log, newId } from '#kernel';
import type { Records, Writing } from '#store';
import type { JobKind, Jobs, JobView } from './contract.ts';
import { createJobTable, type JobRow, type JobTable } from './jobs.sql.ts';
import { nextRun } from './timing.ts';
import { giveUp, periodicKey, type Run, runJob, type WorkerDeps } from './worker.ts';

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
  /** Milliseconds that `close` waits for what runs. */
  readonly grace?: number;
}

const atOnce = 4;
const keptFor = 7 * 24 * 3_600_000;
const prunedAtOnce = 500;

/** Durable background work: rows leased by one process at a time, retried, renewed, listed. */
export function createJobs(deps: JobsDeps): Jobs {
  const { records, clock, log, pollEvery = 500, lease = 30_000, grace = 5_000 } = deps;
  const table = createJobTable(records);
  const kinds = () => byName([...(typeof deps.kinds === 'function' ? deps.kinds() : deps.kinds), pruning(table, clock)]);
  const worker = createWorker({ table, clock, log, owner: randomUUID(), lease }, pollEvery, kinds);

  return Object.freeze({
    async add(tx: Writing, job: Parameters<Jobs['add']>[1]) {
      const now = clock.now();
      const runAt = job.runAt ?? now;
      const there = job.uniqueKey === undefined ? undefined : await table.join(tx, job.uniqueKey, runAt);
      if (there === undefined && job.uniqueKey?.startsWith(periodicKey(''))) throw new RangeError('that key belongs to periodic jobs');
      const row = there === undefined ? newRow(job, now, runAt) : undefined;
      if (row !== undefined) await table.insert(tx, row);
      worker.lookSoon();
      return there ?? (row as NewRow).id;
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
    start: worker.start,
    close: () => worker.close(grace),
  });
}

function byName(kinds: readonly JobKind[]): ReadonlyMap<string, JobKind> {
  const named = new Map(kinds.map((kind) => [kind.kind, kind]));
  if (named.size !== kinds.length) throw new RangeError('two kinds of jobs have one name');
  return named;
}

type NewRow = ReturnType<typeof newRow>;

function newRow(job: Parameters<Jobs['add']>[1], now: number, runAt: number) {
  return {
    id: newId('job', now),
    organization_id: job.organization ?? null,
    kind: job.kind,
    unique_key: job.uniqueKey ?? null,
    payload_json: JSON.stringify(job.payload ?? null),
    progress_json: 'null',
    status: 'waiting' as const,
    run_at: runAt,
    attempts: 0,
    lease_owner: null,
    lease_until: null,
    error: null,
    created_at: now,
    finished_at: null,
    version: 1,
  };
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

/** Ended jobs are kept for a week, spent values until they are dead by themselves. */
function pruning(table: JobTable, clock: Clock): JobKind {
  return {
    kind: 'jobs.prune',
    every: 3_600_000,
    attempts: 3,
    async run({ signal }) {
      while (!signal.aborted && (await table.prune(clock.now() - keptFor, prunedAtOnce)) === prunedAtOnce);
      while (!signal.aborted && (await table.forgetSpent(clock.now(), prunedAtOnce)) === prunedAtOnce);
    },
  };
}

/** Looks for work, leases it, and keeps at most a few jobs running. */
function createWorker(deps: WorkerDeps, pollEvery: number, known: () => ReadonlyMap<string, JobKind>) {
  const { table, clock, log, owner, lease } = deps;
  let kinds: ReadonlyMap<string, JobKind> = new Map();
  const runs = new Set<Run>();
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let started = false;
  let closed = false;
  let registered = false;

  /** Makes the row of each periodic kind; of many processes one does. */
  async function register(): Promise<void> {
    for (const { kind, every } of kinds.values()) {
      if (every === undefined) continue;
      const now = clock.now();
      const due = nextRun(every, now);
      const made = await table.insertNew(newRow({ kind, uniqueKey: periodicKey(kind) }, now, due));
      if (!made) await table.hurry(periodicKey(kind), due);
    }
    registered = true;
  }

  async function look(): Promise<void> {
    try {
      if (!registered) await register();
      const due = await table.due([...kinds.keys()], clock.now(), atOnce - runs.size);
      for (const row of due) await take(row);
    } catch (error) {
      if (!closed) log.warn('jobs could not be looked up', { error });
    }
  }

  async function take(row: JobRow): Promise<void> {
    const kind = kinds.get(row.kind);
    if (kind === undefined || closed || !(await table.lease(row, owner, clock.now() + lease))) return;
    const run = row.status === 'running' && row.attempts >= kind.attempts ? giveUp(deps, row, kind) : runJob(deps, row, kind);
    runs.add(run);
    void run.ended.then(() => {
      runs.delete(run);
      lookSoon(0);
    });
  }

  function lookSoon(wait = 20): void {
    if (!started || closed || looking !== undefined) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      looking = (runs.size < atOnce ? look() : Promise.resolve()).finally(() => {
        looking = undefined;
        lookSoon(pollEvery);
      });
    }, wait);
    timer.unref();
  }

  return {
    lookSoon: () => lookSoon(),
    start(): void {
      kinds = known();
      started = true;
      lookSoon(0);
    },
    async close(grace: number): Promise<void> {
      closed = true;
      clearTimeout(timer);
      await looking;
      for (const run of runs) run.stop();
      const patience = Promise.withResolvers<void>();
      const end = setTimeout(patience.resolve, grace);
      await Promise.race([Promise.all([...runs].map(({ ended }) => ended)), patience.promise]);
      clearTimeout(end);
    },
  };
}
