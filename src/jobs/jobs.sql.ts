import type { Insertable, Selectable } from 'kysely';
import type { JobId, OrganizationId } from '#kernel';
import { forgetSpent, isUniqueViolation, type Reading, type Records, type Schema, type Writing } from '#store';
import type { JobView } from './contract.ts';

export type JobRow = Selectable<Schema['jobs']>;
type NewJob = Insertable<Schema['jobs']>;

const why = 'jobs of every organization share one queue';

export interface JobQuery {
  readonly status?: JobView['status'];
  readonly kind?: string;
  readonly organization?: OrganizationId;
  /** Rows older than this one. */
  readonly before?: number;
  readonly limit: number;
}

/** What ends or interrupts one run of a job. */
export type Ending = Partial<Pick<JobRow, 'status' | 'run_at' | 'attempts' | 'error' | 'finished_at' | 'unique_key'>>;

/** The jobs table. Whoever holds a lease writes with `lease_owner` in the condition: one affected row, or it was lost. */
export function createJobTable(records: Records) {
  const scope = records.platform(why);
  return Object.freeze({
    insert: (tx: Writing, job: NewJob) => tx.db.insertInto('jobs').values(job).execute(),
    join,

    /** Inserts a job of its own transaction; false if its key is taken. */
    async insertNew(job: NewJob): Promise<boolean> {
      try {
        await scope.write((tx) => tx.db.insertInto('jobs').values(job).execute());
        return true;
      } catch (error) {
        if (isUniqueViolation(error, 'jobs.unique_key')) return false;
        throw error;
      }
    },

    find: (id: JobId) => scope.read((tx) => tx.db.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirst()),
    page: (query: JobQuery) => scope.read((tx) => selectPage(tx, query)),

    /** Jobs that are due, and running ones whose lease is over, oldest first. */
    due: (kinds: readonly string[], now: number, limit: number) => scope.read((tx) => selectDue(tx, kinds, now, limit)),

    /** Takes a job as it was read; false: somebody else was first. */
    lease: (row: JobRow, owner: string, until: number) => scope.write((tx) => takeLease(tx, row, owner, until)),

    /** False: the lease is no longer ours. */
    renew: (id: JobId, owner: string, until: number) => scope.write((tx) => updateOwn(tx, id, owner, { lease_until: until })),
    progress: (id: JobId, owner: string, progress: string) => scope.write((tx) => updateOwn(tx, id, owner, { progress_json: progress })),

    /**
     * Ends a run; with `unlessAddedSince`, only if nobody asked for another run since it was leased at that `run_at`.
     * False: it was, or the lease is no longer ours.
     */
    end: (id: JobId, owner: string, ending: Ending, unlessAddedSince?: number) =>
      scope.write((tx) => updateOwn(tx, id, owner, { ...ending, lease_owner: null, lease_until: null }, unlessAddedSince)),

    cancel: (id: JobId, now: number) => scope.write((tx) => cancel(tx, id, now)),

    /** A periodic job runs no later than `runAt`. */
    async hurry(uniqueKey: string, runAt: number): Promise<void> {
      await scope.write((tx) =>
        tx.db
          .updateTable('jobs')
          .set({ run_at: runAt })
          .where('unique_key', '=', uniqueKey)
          .where('status', '=', 'waiting')
          .where('run_at', '>', runAt)
          .execute(),
      );
    },

    /** Forgets values that were spent and are dead by themselves. */
    forgetSpent: (now: number, limit: number) => scope.write((tx) => forgetSpent(tx, now, limit)),

    /** Deletes ended jobs that ended before `time`, at most `limit`; returns how many. */
    prune: (time: number, limit: number) => scope.write((tx) => prune(tx, time, limit)),
  });
}

export type JobTable = ReturnType<typeof createJobTable>;

/** The job that has the key, made to run no later than `runAt`; again, if it is running. Undefined: none has it. */
async function join(tx: Writing, uniqueKey: string, runAt: number): Promise<JobId | undefined> {
  const row = await tx.db.selectFrom('jobs').select(['id', 'status', 'run_at']).where('unique_key', '=', uniqueKey).executeTakeFirst();
  if (row === undefined) return undefined;
  const wanted = row.status === 'running' ? Math.max(runAt, row.run_at + 1) : Math.min(runAt, row.run_at);
  const { numUpdatedRows } = await tx.db
    .updateTable('jobs')
    .set((column) => ({ run_at: wanted, version: column('version', '+', 1) }))
    .where('unique_key', '=', uniqueKey)
    .where('run_at', '=', row.run_at)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n ? row.id : undefined;
}

async function selectPage(tx: Reading, { status, kind, organization, before, limit }: JobQuery): Promise<JobRow[]> {
  let query = tx.db.selectFrom('jobs').selectAll().orderBy('row', 'desc').limit(limit);
  if (status !== undefined) query = query.where('status', '=', status);
  if (kind !== undefined) query = query.where('kind', '=', kind);
  if (organization !== undefined) query = query.where('organization_id', '=', organization);
  if (before !== undefined) query = query.where('row', '<', before);
  return await query.execute();
}

async function selectDue(tx: Reading, kinds: readonly string[], now: number, limit: number): Promise<JobRow[]> {
  const jobs = tx.db.selectFrom('jobs').selectAll().where('kind', 'in', kinds).orderBy('run_at').limit(limit);
  const waiting = await jobs.where('status', '=', 'waiting').where('run_at', '<=', now).execute();
  const abandoned = await jobs.where('status', '=', 'running').where('lease_until', '<=', now).execute();
  return [...abandoned, ...waiting].slice(0, limit);
}

async function takeLease(tx: Writing, row: JobRow, owner: string, until: number): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('jobs')
    .set({ status: 'running', lease_owner: owner, lease_until: until, attempts: row.attempts + 1, version: row.version + 1 })
    .where('id', '=', row.id)
    .where('version', '=', row.version)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

async function updateOwn(tx: Writing, id: JobId, owner: string, change: Partial<JobRow>, runAt?: number): Promise<boolean> {
  let query = tx.db
    .updateTable('jobs')
    .set((column) => ({ ...change, version: column('version', '+', 1) }))
    .where('id', '=', id)
    .where('lease_owner', '=', owner)
    .where('status', '=', 'running');
  if (runAt !== undefined) query = query.where('run_at', '=', runAt);
  return (await query.executeTakeFirstOrThrow()).numUpdatedRows === 1n;
}

async function cancel(tx: Writing, id: JobId, now: number): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('jobs')
    .set((column) => ({
      status: 'cancelled',
      finished_at: now,
      unique_key: null,
      lease_owner: null,
      lease_until: null,
      version: column('version', '+', 1),
    }))
    .where('id', '=', id)
    .where('status', 'in', ['waiting', 'running'])
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

async function prune(tx: Writing, time: number, limit: number): Promise<number> {
  const rows = await tx.db
    .selectFrom('jobs')
    .select('row')
    .where('status', 'in', ['done', 'failed', 'cancelled'])
    .where('finished_at', '<', time)
    .limit(limit)
    .execute();
  if (rows.length === 0) return 0;
  const numbers = rows.map(({ row }) => row);
  await tx.db.deleteFrom('jobs').where('row', 'in', numbers).execute();
  return rows.length;
}
