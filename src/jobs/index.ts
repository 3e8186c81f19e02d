/**
 * Durable background work with leases.
 *
 * Owns: the jobs table; who runs a job, until when, how often it is tried, when a periodic one is due.
 * Leans on: store.
 * Lives elsewhere: what the work is (each room gives its kinds to `bin`).
 */
export type { JobKind, Jobs, JobView } from './contract.ts';
export { createJobs, type JobsDeps, mostJobs } from './create.ts';
