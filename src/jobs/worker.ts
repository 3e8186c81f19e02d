import { type Clock, Fault, isFault, type Log } from '#kernel';
import type { JobKind } from './contract.ts';
import type { Ending, JobRow, JobTable } from './jobs.sql.ts';
import { periodicKey } from './row.ts';
import { nextRun, retryAt } from './timing.ts';

export interface WorkerDeps {
  readonly table: JobTable;
  readonly clock: Clock;
  readonly log: Log;
  /** Names this process among the owners of leases. */
  readonly owner: string;
  /** Milliseconds a lease lasts unless it is renewed. */
  readonly lease: number;
}

/** Why a run was told to stop. */
class Stopped extends Error {
  readonly why: 'lost' | 'closing';

  constructor(why: 'lost' | 'closing') {
    super(why === 'lost' ? 'the lease was lost or the job cancelled' : 'the process is ending');
    this.why = why;
  }
}

export interface Run {
  /** Tells it to stop because the process ends. */
  stop(): void;
  /** Settles, without an error, when the run is over and its end is written. */
  readonly ended: Promise<void>;
}

/** Runs one job, which this process has leased as `row` was read, and writes how it ended. */
export function runJob(deps: WorkerDeps, row: JobRow, kind: JobKind): Run {
  const controller = new AbortController();
  const lease = keepLease(deps, row, () => controller.abort(new Stopped('lost')));
  const ended = attempt(deps, row, kind, controller.signal)
    .then((ending) => finish(deps, row, ending))
    .catch((error: unknown) => deps.log.error('the end of a job could not be written', { job: row.id, kind: row.kind, error }))
    .finally(() => lease.stop());
  return { stop: () => controller.abort(new Stopped('closing')), ended };
}

/** Ends a job whose every try ended with its process: it may be what ends them. */
export function giveUp(deps: WorkerDeps, row: JobRow, kind: JobKind): Run {
  deps.log.error('a job was given up: its process ended at every try', { job: row.id, kind: row.kind });
  const ended = finish(deps, row, over(deps, row, kind, { status: 'failed', error: 'internal' })).catch((error: unknown) =>
    deps.log.error('the end of a job could not be written', { job: row.id, kind: row.kind, error }),
  );
  return { stop() {}, ended };
}

/** Renews the lease three times in its life; says so when it is not ours any more, or could not be renewed in time. */
function keepLease({ table, clock, owner, lease }: WorkerDeps, row: JobRow, lost: () => void): { stop(): void } {
  let until = clock.monotonic() + lease;
  const timer = setInterval(() => {
    const began = clock.monotonic();
    if (began >= until) lost();
    table.renew(row.id, owner, clock.now() + lease).then(
      (ours) => {
        if (ours) until = began + lease;
        else lost();
      },
      () => {},
    );
  }, lease / 3);
  return { stop: () => clearInterval(timer) };
}

/** How a run ends: the change to its row, or undefined when the row is not ours to change. */
async function attempt(deps: WorkerDeps, row: JobRow, kind: JobKind, signal: AbortSignal): Promise<Ending | undefined> {
  try {
    await kind.run({
      payload: JSON.parse(row.payload_json),
      organization: row.organization_id ?? undefined,
      progress: (progress) => storeProgress(deps, row, progress),
      signal,
    });
    return over(deps, row, kind, { status: 'done', error: null });
  } catch (error) {
    const reason: unknown = signal.aborted ? signal.reason : undefined;
    if (reason instanceof Stopped && reason.why === 'lost') return undefined;
    if (reason instanceof Stopped) return { status: 'waiting', attempts: row.attempts, run_at: deps.clock.now() };
    return failed(deps, row, kind, error);
  }
}

async function storeProgress({ table, owner }: WorkerDeps, row: JobRow, progress: unknown): Promise<void> {
  if (!(await table.progress(row.id, owner, JSON.stringify(progress ?? null)))) throw new Fault('conflict');
}

function failed(deps: WorkerDeps, row: JobRow, kind: JobKind, error: unknown): Ending {
  const attempts = row.attempts + 1;
  deps.log.error('a job failed', { job: row.id, kind: row.kind, attempts, error });
  const said = isFault(error) ? error.code : 'internal';
  if (attempts >= kind.attempts) return over(deps, row, kind, { status: 'failed', error: said });
  return { status: 'waiting', run_at: retryAt(deps.clock.now(), attempts), error: said };
}

/** A periodic job waits for its next time, anything else has ended. */
function over({ clock }: WorkerDeps, row: JobRow, kind: JobKind, result: { status: 'done' | 'failed'; error: string | null }): Ending {
  const now = clock.now();
  if (kind.every !== undefined && row.unique_key === periodicKey(kind.kind))
    return { status: 'waiting', run_at: nextRun(kind.every, now), attempts: 0, error: result.error, finished_at: now };
  return { ...result, finished_at: now, unique_key: null };
}

/** Writes the end; if the job was added again while it ran, it waits for another run instead. */
async function finish({ table, owner }: WorkerDeps, row: JobRow, ending: Ending | undefined): Promise<void> {
  if (ending === undefined || (await table.end(row.id, owner, ending, row.run_at))) return;
  await table.end(row.id, owner, { status: 'waiting', attempts: 0, error: ending.error ?? null });
}
