/**
 * Append-only chained events, checkpoints, search, verification.
 *
 * Owns: the table of event names, the chains and their hashes, signed checkpoints.
 * Leans on: vault (the signing key), store.
 * Lives elsewhere: what an event means to its room; when checkpoints are due (jobs).
 */
export { type AuditDeps, createAudit } from './audit.ts';
export { auditSealedColumns } from './checkpoints.ts';
export type { Audit, Draft, EventPage, EventQuery, EventValue, RecordedEvent, Step, Verification } from './contract.ts';
export { type EventName, events } from './events.ts';
