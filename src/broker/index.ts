/**
 * The use case: runs, and may this run make this call, with what.
 *
 * Owns: runs and their credentials, placeholders, interception keys and certificates, which connection a call goes
 * through, what is put on the wire, what is under way and when it is cut; the tables `runs` and `authorities`.
 * Leans on: connect (what a call is, its credential), policy (may it), identity (is the agent active), audit, vault, store.
 * Lives elsewhere: the wire and its bytes (proxy), addresses (net).
 */
export { type BrokerDeps, createBroker } from './broker.ts';
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
export { isOverridden, isOverridingParameter } from './overrides.ts';
export { endEveryRun } from './runs.sql.ts';
export { brokerSealedColumns } from './sealed.ts';
