/**
 * Organizations, users, agents: who exists, what they hold, how an agent proves itself.
 *
 * Owns: the directory, an agent's enrolment, claim and standing, who may use which vault.
 * Leans on: audit, vault (data keys of new vaults, HMAC of codes), store, oauth (keys and proofs).
 * Lives elsewhere: sessions and passwords (signin), what anybody may do (policy), runs (broker).
 */
export type {
  Agent,
  AgentProof,
  AgentStatus,
  ClaimOffer,
  ClaimState,
  ClaimView,
  Enrolment,
  Identity,
  Invitation,
  InvitationDraft,
  Listing,
  ListQuery,
  NewUser,
  Organization,
  Role,
  User,
} from './contract.ts';
export { emailKeyOf, parseEmail } from './email.ts';
export { createIdentity, type IdentityDeps } from './identity.ts';
export { outdateEverything } from './outdate.ts';
