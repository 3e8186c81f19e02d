/**
 * Accounts at providers: the catalogue, upstream flows, refresh, matching a call to an operation.
 *
 * Owns: what a provider definition is and which hosts it claims; connections, flows, clients and definitions of
 * organizations; the exchange at a token endpoint; one refresh at a time across processes.
 * Leans on: identity (whose vaults), vault (sealing), audit, store, oauth (PKCE), net (every byte that goes out), api (patterns).
 * Lives elsewhere: whether a call may be made (policy), putting a credential on the wire (proxy), the pages (http).
 */

export { accountLabel } from './account.ts';
export { isAmbiguous } from './ambiguous-path.ts';
export { type Catalogue, catalogueFolder, catalogueOf, loadCatalogue } from './catalogue.ts';
export { clientFields } from './client-credentials-flow.ts';
export { createConnect } from './connect.ts';
export { rests } from './connection.ts';
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
  type Field,
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
export { hostFieldOf, hostsAt, isPinned, isTenant } from './tenants.ts';
