/**
 * append-only chained events, checkpoints, search, verification.
 *
 * Owns: that.
 * Leans on: vault (the signing key), store.
 * Lives elsewhere: what an event means to its room.
 */
export type { Audit, Draft, EventPage, EventQuery, EventValue, RecordedEvent, Step, Verification } from './contract.ts';
export { type EventName, events } from './events.ts';
