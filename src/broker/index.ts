/**
 * the use case: runs, and may this run make this call, with what.
 *
 * Owns: that.
 * Leans on: connect, policy, identity, audit, vault, store, api.
 * Lives elsewhere: the wire (proxy).
 */
export type {
  Admission,
  Allowed,
  Alteration,
  Authority,
  Broker,
  Call,
  Exchange,
  LiveRun,
  RunView,
  SlotValue,
  StartedRun,
  StartRun,
  Verdict,
} from './contract.ts';
