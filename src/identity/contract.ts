import type { Actor, AgentId, OrganizationId, Principal, Secret, UserId } from '#kernel';
import type { Writing } from '#store';

export interface Organization {
  readonly id: OrganizationId;
  readonly slug: string;
  readonly name: string;
  readonly issuer: string;
  readonly epoch: number;
}

export type Role = 'owner' | 'administrator' | 'member';

export interface User {
  readonly id: UserId;
  readonly organization: OrganizationId;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly status: 'active' | 'suspended';
  readonly epoch: number;
  readonly createdAt: number;
}

export type AgentStatus = 'registered' | 'claimed' | 'active' | 'suspended' | 'revoked';

export interface Agent {
  readonly id: AgentId;
  readonly organization: OrganizationId;
  readonly handle: string;
  /** `did:key:…` of its public key. */
  readonly did: string;
  readonly algorithm: 'EdDSA' | 'ES256';
  /** RFC 7638 thumbprint, base64url. */
  readonly thumbprint: string;
  readonly status: AgentStatus;
  readonly owner: { readonly kind: 'user'; readonly id: UserId } | { readonly kind: 'organization' } | undefined;
  /** When the owner confirmed it as one of theirs (RULES 22). */
  readonly confirmedAt: number | undefined;
  readonly epoch: number;
  readonly createdAt: number;
  readonly expiresAt: number | undefined;
}

/** An agent's proof and the request it is for. `target` is the full URL; `body` its bytes. */
export interface AgentProof {
  readonly organization: OrganizationId;
  readonly proof: string;
  readonly method: string;
  readonly target: string;
  readonly body: Uint8Array;
}

export interface Enrolment {
  readonly organization: OrganizationId;
  readonly handle: string;
  readonly publicJwk: Readonly<Record<string, unknown>>;
  /** A proof over the registering request, made with the key being registered. */
  readonly proof: Omit<AgentProof, 'organization'>;
  readonly address: string;
}

export interface ClaimOffer {
  /** What the terminal shows; at least 40 bits, 5 minutes. */
  readonly code: Secret<string>;
  readonly expiresAt: number;
}

export type ClaimState =
  | { readonly kind: 'none' }
  | { readonly kind: 'offered'; readonly expiresAt: number }
  /** A person typed the code; the terminal shows who and must accept. */
  | { readonly kind: 'typed'; readonly by: { readonly id: UserId; readonly email: string }; readonly at: number }
  | { readonly kind: 'accepted' };

/** What the page shows to the person who typed a right code. */
export interface ClaimView {
  readonly agent: Agent;
  readonly host: string;
  readonly address: string;
  readonly at: number;
}

export interface Listing<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

export interface ListQuery {
  readonly text?: string;
  readonly cursor?: string;
  readonly limit: number;
}

/** Who exists, what they hold, how an agent proves itself. */
export interface Identity {
  /** The single organization of a fresh install; made once however many processes start. `issuer` is the public URL. */
  ensureDefaultOrganization(issuer: string): Promise<Organization>;
  organization(id: OrganizationId): Promise<Organization>;
  /** @throws {Fault} `invalid_proof`, `proof_replayed`, `agent_unknown`, `agent_not_active` */
  prove(proof: AgentProof): Promise<Agent>;
  /** Registers an agent that proves possession of its key. @throws {Fault} `agent_exists`, `agent_quota`, `invalid_proof` */
  enrol(enrolment: Enrolment): Promise<Agent>;
  agent(organization: OrganizationId, id: AgentId): Promise<Agent | undefined>;
  agentByHandle(organization: OrganizationId, handle: string): Promise<Agent | undefined>;
  agents(organization: OrganizationId, query: ListQuery): Promise<Listing<Agent>>;
  /** The agent as last known, from a cache kept fresh by generation; no I/O when warm. */
  currentAgent(organization: OrganizationId, id: AgentId): Promise<Agent | undefined>;
  offerClaim(agent: Agent, host: string, address: string): Promise<ClaimOffer>;
  claimState(agent: Agent): Promise<ClaimState>;
  /** A person typed a code. @throws {Fault} `claim_code_wrong`, `rate_limited` */
  typeClaim(user: User, code: string): Promise<ClaimView>;
  /** The terminal said yes: the typing person becomes the owner. Status `claimed`. */
  acceptClaim(agent: Agent): Promise<Agent>;
  refuseClaim(agent: Agent): Promise<void>;
  /** The owner's separate step; status `active` from here. */
  confirmAgent(tx: Writing, by: Principal, id: AgentId): Promise<Agent>;
  suspend(by: Principal, id: AgentId): Promise<Agent>;
  /** Only through a confirmation. Raises the epoch: nothing older revives. */
  reactivate(tx: Writing, by: Principal, id: AgentId): Promise<Agent>;
  revoke(by: Principal, id: AgentId): Promise<Agent>;
  users(organization: OrganizationId, query: ListQuery): Promise<Listing<User>>;
  user(organization: OrganizationId, id: UserId): Promise<User | undefined>;
  userByEmail(organization: OrganizationId, email: string): Promise<User | undefined>;
  /** @throws {Fault} `conflict` when the address is taken */
  createUser(
    tx: Writing,
    user: { organization: OrganizationId; email: string; name: string; role: Role; passwordHash: string | undefined },
  ): Promise<User>;
  passwordHash(organization: OrganizationId, id: UserId): Promise<string | undefined>;
  /** The vault a principal's new connections go to; made with the user. */
  defaultVault(organization: OrganizationId, who: Actor): Promise<import('#kernel').VaultId>;
  /** Every vault the principal may use. */
  vaultsOf(principal: Principal): Promise<readonly import('#kernel').VaultId[]>;
  /** Who an agent acts for: its owner as subject, itself as the actor. */
  principalOf(agent: Agent): Principal;
  close(): Promise<void>;
}
