/**
 * The words every room speaks: Id, Secret, Fault, Clock, Log, Principal.
 *
 * Owns: vocabulary and the one table of failures (`faults.ts`). No behaviour, no I/O, no settings.
 * Leans on: nothing.
 * Lives elsewhere: what happens with any of these words.
 */
export { type Clock, type FakeClock, fakeClock, systemClock } from './clock.ts';
export { Fault, type FaultCode, type FaultDetails, type FaultRow, faults, isFault, settingFault } from './faults.ts';
export {
  type AgentId,
  type BackchannelRequestId,
  type ClientId,
  type ClientSecretId,
  type ClientUrl,
  type ConfirmationId,
  type ConnectionId,
  type ConsentId,
  type DataKeyId,
  type EventId,
  type FlowId,
  type GrantId,
  type Id,
  type IdPrefix,
  type InvitationId,
  idPrefixes,
  isId,
  type JobId,
  newId,
  type OrganizationId,
  type PermissionId,
  parseId,
  type RegistrationTokenId,
  type RequestId,
  type ResourceId,
  type RunId,
  type SessionId,
  type SignInMethodId,
  type SigningKeyId,
  type TrustedIssuerId,
  type UpstreamId,
  type UserId,
  type VaultId,
} from './id.ts';
export { type Log, type LogFields, silentLog } from './log.ts';
export type { Actor, Level, Principal } from './principal.ts';
export { Secret } from './secret.ts';
