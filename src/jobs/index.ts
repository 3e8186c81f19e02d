/**
 * durable background work with leases.
 *
 * Owns: that.
 * Leans on: store.
 * Lives elsewhere: what the work is (each room).
 */
export type { JobKind, Jobs, JobView } from './contract.ts';
