import type { JobKind } from './contract.ts';
import type { JobRow } from './jobs.sql.ts';
import { newRow, periodicKey } from './row.ts';
import { nextRun } from './timing.ts';
import { giveUp, type Run, runJob, type WorkerDeps } from './worker.ts';

const afterAdding = 20;

/** Looks for work every `pollEvery` milliseconds, leases it, and keeps at most a few jobs running. */
export function createQueue(deps: WorkerDeps & { readonly atOnce: number }, pollEvery: number, known: () => ReadonlyMap<string, JobKind>) {
  const { atOnce } = deps;
  const runs = new Set<Run>();
  let kinds: ReadonlyMap<string, JobKind> | undefined;
  let registered = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;

  async function look(): Promise<void> {
    if (kinds === undefined || runs.size >= atOnce) return;
    try {
      if (!registered) await registerPeriodic(deps, kinds);
      registered = true;
      const due = await deps.table.due([...kinds.keys()], deps.clock.now(), atOnce - runs.size);
      for (const row of due) if (!closed) await take(row, kinds.get(row.kind));
    } catch (error) {
      if (!closed) deps.log.warn('jobs could not be looked up', { error });
    }
  }

  async function take(row: JobRow, kind: JobKind | undefined): Promise<void> {
    const run = kind === undefined ? undefined : await leaseAndRun(deps, row, kind);
    if (run === undefined) return;
    runs.add(run);
    void run.ended.then(() => {
      runs.delete(run);
      lookIn(0);
    });
  }

  function lookIn(wait: number): void {
    if (kinds === undefined || closed || looking !== undefined) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      looking = look().finally(() => {
        looking = undefined;
        lookIn(pollEvery);
      });
    }, wait);
    timer.unref();
  }

  return Object.freeze({
    lookSoon: () => lookIn(afterAdding),
    start(): void {
      kinds = known();
      lookIn(0);
    },
    async close(grace: number): Promise<void> {
      closed = true;
      clearTimeout(timer);
      await looking;
      for (const run of runs) run.stop();
      await settledWithin(
        grace,
        [...runs].map(({ ended }) => ended),
      );
    },
  });
}

/** Makes the row of each periodic kind, or lets it run no later than its period says; of many processes one makes it. */
async function registerPeriodic({ table, clock }: WorkerDeps, kinds: ReadonlyMap<string, JobKind>): Promise<void> {
  for (const { kind, every } of kinds.values()) {
    if (every === undefined) continue;
    const now = clock.now();
    const due = nextRun(every, now);
    const made = await table.insertNew(newRow({ kind, uniqueKey: periodicKey(kind) }, now, due));
    if (!made) await table.hurry(periodicKey(kind), due);
  }
}

/** Undefined: another process was first. */
async function leaseAndRun(deps: WorkerDeps, row: JobRow, kind: JobKind): Promise<Run | undefined> {
  if (!(await deps.table.lease(row, deps.owner, deps.clock.now() + deps.lease))) return undefined;
  const hopeless = row.status === 'running' && row.attempts >= kind.attempts;
  return hopeless ? giveUp(deps, row, kind) : runJob(deps, row, kind);
}

async function settledWithin(milliseconds: number, promises: readonly Promise<void>[]): Promise<void> {
  const patience = Promise.withResolvers<void>();
  const end = setTimeout(patience.resolve, milliseconds);
  await Promise.race([Promise.all(promises), patience.promise]);
  clearTimeout(end);
}
