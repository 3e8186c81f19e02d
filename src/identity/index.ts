/**
 * organizations, users, agents: who exists, what they hold, how an agent proves itself.
 *
 * Owns: that.
 * Leans on: audit, vault, store, oauth.
 * Lives elsewhere: sessions (signin), what they may do (policy).
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
  Listing,
  ListQuery,
  Organization,
  Role,
  User,
} from './contract.ts';
