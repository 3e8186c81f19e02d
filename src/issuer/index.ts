/**
 * We issue: the OAuth 2.1 and OpenID Connect authorization server, one issuer per organization.
 *
 * Owns: the order of checks of every endpoint (`matrix.ts`), clients and how they register themselves, consents, grants and refresh families, codes, the keys
 * that sign tokens, and what has ended and is refused at once (`endings.ts`).
 * Leans on: sessions (signin), people and organizations (identity), sealing (vault), JOSE and PKCE (oauth).
 * Lives elsewhere: bytes and pages (http), signing in (signin), getting tokens from others (connect).
 */
export { dpopAlgorithms } from '#oauth';
export type {
  Authorization,
  BackchannelAuthentication,
  Browsing,
  Client,
  ClientDraft,
  Clients,
  ConsentView,
  DetailsType,
  DetailsTypes,
  DeviceAuthorization,
  DeviceView,
  ImportedKey,
  ImportedKeyDraft,
  Issuer,
  Issuing,
  Lifetimes,
  Logout,
  ProtocolRequest,
  RegistrationPolicy,
  RegistrationRequest,
  RegistrationToken,
  RegistrationTokenDraft,
  Resource,
  ResourceDraft,
  ResourceRequest,
  Resources,
  Said,
  Sender,
  SigningKeyFact,
  StandingGrant,
  TokenAnswer,
  TrustedIssuer,
  TrustedIssuerDraft,
  WaitingRequest,
} from './contract.ts';
export type { IssuerGround } from './deps.ts';
export { endpointPaths } from './endpoints.ts';
export { createIssuer } from './issuer.ts';
export { lives } from './lives.ts';
export { issuerSealedColumns } from './sealed-columns.ts';
