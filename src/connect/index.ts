/**
 * accounts at providers: the catalogue, upstream flows, refresh, matching a call to an operation.
 *
 * Owns: that.
 * Leans on: identity, audit, vault, jobs, store, oauth, net, api.
 * Lives elsewhere: whether a call may be made (policy), putting it on the wire (proxy).
 */
export { isAmbiguous } from './ambiguous-path.ts';
export { type Catalogue, catalogueFolder, catalogueOf, loadCatalogue } from './catalogue.ts';
export { clientFields } from './client-credentials-flow.ts';
export { createConnect } from './connect.ts';
export type {
  BeginConnection,
  CallShape,
  Connect,
  Connection,
  ConnectionQuery,
  ConnectionStatus,
  Credential,
  Flow,
  FlowState,
  MatchedOperation,
  ProviderMatch,
} from './contract.ts';
export type { ConnectDeps } from './deps.ts';
export { injectionsFor } from './match.ts';
export {
  type Auth,
  authSchema,
  type HostEntry,
  type Injection,
  injectionSchema,
  type Operation,
  operationSchema,
  type Provider,
  type ProviderDefinition,
  providerSchema,
} from './provider.ts';
export { connectSealedColumns } from './sealed-columns.ts';
