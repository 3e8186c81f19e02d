import type { Actor, AgentId, InvitationId, OrganizationId, Principal, Secret, UserId, VaultId } from '#kernel';
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
  /** Who has none signs in through others alone. */
  readonly hasPassword: boolean;
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
  /** When the owner confirmed it as one of theirs (SECURITY 22). */
  readonly confirmedAt: number | undefined;
  /** Address it was registered from. */
  readonly registeredFrom: string;
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

export interface NewUser {
  readonly organization: OrganizationId;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly passwordHash: string | undefined;
}

/** Stores, in the same transaction, what follows from the end of what a user had under this epoch. */
export type UserEnds = (tx: Writing, user: User) => Promise<void>;
/** Who may make an account, with a link that works once. */
export interface Invitation {
  readonly id: InvitationId;
  readonly email: string;
  readonly role: Role;
  readonly createdAt: number;
  readonly expiresAt: number;
}

export interface InvitationDraft {
  readonly email: string;
  readonly role: Role;
  /** SHA-256, hexadecimal, of what is in the link; whoever invites has made it. */
  readonly tokenHash: string;
}

/** Who exists, what they hold, how an agent proves itself. */
export interface Identity {
  /** The single organization of a fresh install; made once however many processes start. `issuer` is the public URL. */
  ensureDefaultOrganization(issuer: string): Promise<Organization>;
  /**
   * Makes an organization, whose issuer is below the public URL. Its slug and issuer are never another's, whatever becomes of it.
   * @throws {Fault} `conflict` when the slug is or was taken, `invalid_request`
   */
  createOrganization(organization: {
    readonly slug: string;
    readonly name: string;
    readonly owner?: InvitationDraft;
  }): Promise<Organization>;
  /** Newest first. */
  organizations(query: ListQuery): Promise<Listing<Organization>>;
  /** @throws {Fault} `invalid_request`, `conflict` */
  invite(tx: Writing, by: Principal, draft: InvitationDraft): Promise<Invitation>;
  /** The open one of this link. */
  invitation(organization: OrganizationId, token: string): Promise<Invitation | undefined>;
  invitations(organization: OrganizationId, query: ListQuery): Promise<Listing<Invitation>>;
  /** Spends the link and makes the person. @throws {Fault} `link_ended`, `conflict` */
  acceptInvitation(
    tx: Writing,
    organization: OrganizationId,
    person: { readonly token: string; readonly name: string; readonly passwordHash: string },
  ): Promise<User>;
  /** @throws {Fault} `not_found` */
  withdrawInvitation(by: Principal, id: InvitationId): Promise<void>;
  /** The default organization, once made. @throws {Fault} `not_found` */
  defaultOrganization(): Promise<Organization>;
  /** @throws {Fault} `not_found` */
  organization(id: OrganizationId): Promise<Organization>;
  /** By its slug; without one, the default organization. From a cache kept by generation. @throws {Fault} `issuer_unknown` */
  organizationBySlug(slug: string | undefined): Promise<Organization>;
  /**
   * The agent whose key signed this proof for this very request; spends its `jti`. Only agents of status `active`
   * pass unless `allow` names others: the claim routes allow `registered` (and `claimed`, to see the outcome).
   * @throws {Fault} `invalid_proof`, `proof_replayed`, `proof_unremembered`, `agent_unknown`, `agent_not_active`, `stale_revocations`
   */
  prove(proof: AgentProof, options?: { readonly allow?: readonly AgentStatus[] }): Promise<Agent>;
  /**
   * Registers an agent that proves possession of its key. Unclaimed, it ends in an hour.
   * @throws {Fault} `agent_exists`, `agent_quota`, `invalid_proof`, `proof_replayed`, `proof_unremembered`, `invalid_request`, `rate_limited`
   */
  enrol(enrolment: Enrolment): Promise<Agent>;
  agent(organization: OrganizationId, id: AgentId): Promise<Agent | undefined>;
  agentByHandle(organization: OrganizationId, handle: string): Promise<Agent | undefined>;
  agents(organization: OrganizationId, query: ListQuery): Promise<Listing<Agent>>;
  /**
   * The agent as last known, from a cache kept fresh by generation; no I/O when warm. An agent whose owner is suspended
   * reads as suspended; an ended unclaimed one is undefined. @throws {Fault} `stale_revocations`
   */
  currentAgent(organization: OrganizationId, id: AgentId): Promise<Agent | undefined>;
  /** A new code; an earlier one of the agent ends. @throws {Fault} `agent_not_active`, `rate_limited` */
  offerClaim(agent: Agent, host: string, address: string): Promise<ClaimOffer>;
  claimState(agent: Agent): Promise<ClaimState>;
  /** A person typed a code. @throws {Fault} `claim_code_wrong`, `rate_limited` */
  typeClaim(user: User, code: string): Promise<ClaimView>;
  /** The terminal said yes: the typing person becomes the owner. Status `claimed`. @throws {Fault} `claim_code_wrong` when nobody waits */
  acceptClaim(agent: Agent): Promise<Agent>;
  refuseClaim(agent: Agent): Promise<void>;
  /** The owner's separate step; status `active` from here. @throws {Fault} `forbidden`, `agent_unknown`, `conflict` */
  confirmAgent(tx: Writing, by: Principal, id: AgentId): Promise<Agent>;
  /** At once: the next request of this process is refused, and of every other within a second. @throws {Fault} `forbidden` */
  suspend(by: Principal, id: AgentId): Promise<Agent>;
  /** Only through a confirmation. Raises the epoch: nothing older revives. */
  reactivate(tx: Writing, by: Principal, id: AgentId): Promise<Agent>;
  /** For good. @throws {Fault} `forbidden`, `agent_unknown` */
  revoke(by: Principal, id: AgentId): Promise<Agent>;
  users(organization: OrganizationId, query: ListQuery): Promise<Listing<User>>;
  /** From a cache kept by generation; no I/O when warm. */
  user(organization: OrganizationId, id: UserId): Promise<User | undefined>;
  userByEmail(organization: OrganizationId, email: string): Promise<User | undefined>;
  /** The first administrator: the oldest active owner. */
  owner(organization: OrganizationId): Promise<User | undefined>;
  /** Makes the user with a vault of their own. @throws {Fault} `conflict` when the address is taken, `invalid_request` */
  createUser(tx: Writing, user: NewUser): Promise<User>;
  /** Ends the user's sessions and stops the user's agents, by epoch. The last owner stays. @throws {Fault} `forbidden` */
  suspendUser(by: Principal, id: UserId): Promise<User>;
  /** Calls `listener` in the transaction that ends what a user has, with the user as they were. Returns how to stop. */
  whenUserEnds(listener: UserEnds): () => void;
  passwordHash(organization: OrganizationId, id: UserId): Promise<string | undefined>;
  /** @throws {Fault} `not_found` */
  setPassword(tx: Writing, by: Principal, id: UserId, passwordHash: string): Promise<void>;
  /** The vault a principal's new connections go to; made with the user. */
  defaultVault(organization: OrganizationId, who: Actor): Promise<VaultId>;
  /** Every vault the principal may use. */
  vaultsOf(principal: Principal): Promise<readonly VaultId[]>;
  /** Who an agent acts for: its owner as subject, itself as the actor. */
  principalOf(agent: Agent): Principal;
  /** Ends unclaimed agents whose hour is over, in one small batch; returns how many. Never needed for correctness. */
  sweep(): Promise<number>;
  close(): Promise<void>;
}
