/**
 * Bytes to one call and one result to bytes: the management API, health, the relay's front door, and the pages.
 *
 * Owns: who may call what and by which evidence; hosts, origins, cookies and forms; problem documents; the words of
 * confirmations and what they do.
 * Leans on: the rooms whose answers it serves, and api for the contract.
 * Lives elsewhere: every decision (policy, broker), every secret (vault), proxied calls (proxy).
 */
export type { Evidence, Http, HttpDeps, JobFacts, KeyChanges, Readiness, Where, Writing } from './contract.ts';
export { createHttp } from './http.ts';
export { clearStale as clearStaleSocket } from './listeners.ts';
export { createPausedHttp } from './paused.ts';
