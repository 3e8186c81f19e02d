import { newId } from '#kernel';
import type { Jobs } from './contract.ts';

/** The row of a job that was never tried. */
export function newRow(job: Parameters<Jobs['add']>[1], now: number, runAt: number) {
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

/** The key of the one row that a periodic kind has. */
export function periodicKey(kind: string): string {
  return `every:${kind}`;
}
