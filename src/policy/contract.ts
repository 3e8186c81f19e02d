import type { Reach, RiskClass } from '#api';
import type {
  Actor,
  AgentId,
  ConfirmationId,
  ConnectionId,
  Level,
  OrganizationId,
  PermissionId,
  Principal,
  SessionId,
  UserId,
} from '#kernel';
import type { Writing } from '#store';

export interface Permission {
  readonly id: PermissionId;
  readonly organization: OrganizationId;
  readonly effect: 'allow' | 'deny';
  /** One agent, or every agent of `owner` that the owner confirmed. */
  readonly agent: AgentId | undefined;
  readonly owner: UserId | undefined;
  readonly target: { readonly kind: 'connection'; readonly id: ConnectionId } | { readonly kind: 'provider'; readonly id: string };
  readonly reach: Reach;
  readonly level: 'separated' | undefined;
  readonly passCredential: boolean;
  readonly expiresAt: number | undefined;
  readonly createdAt: number;
  readonly endedAt: number | undefined;
}

/** What `decide` is asked. Everything it needs is in here or in the facts of the agent. */
export interface Question {
  readonly principal: Principal;
  /** `handle` is only for the command that a refusal names. */
  readonly agent: { readonly id: AgentId; readonly handle: string; readonly owner: UserId | undefined; readonly confirmed: boolean };
  readonly level: Level;
  readonly connection: { readonly id: ConnectionId; readonly provider: string; readonly name: string };
  readonly call: { readonly method: string; readonly host: string; readonly path: string };
  /** The catalogue's operation that matched, if any. */
  readonly operation: { readonly id: string; readonly classes: readonly RiskClass[] } | undefined;
  /** The call could be read in two ways, or carries others in its body: only `everything` may pass it. */
  readonly ambiguous: boolean;
  readonly at: number;
}

export type Decision =
  | {
      readonly effect: 'allow';
      readonly permission: PermissionId;
      readonly passCredential: boolean;
      readonly expiresAt: number | undefined;
    }
  | {
      readonly effect: 'deny';
      readonly reason: DenyReason;
      /** The rule that denied, or that would have allowed but for `reason`. */
      readonly permission: PermissionId | undefined;
      /** The exact command that would permit it. */
      readonly command: string;
    };

/**
 * `no_permission` nothing reaches the call; `denied_by_rule` a deny does; `ended` only permissions that have expired;
 * `level` only permissions that ask for a separated run; `ambiguous` the call could be read in two ways, and a rule that
 * is narrower than the host decides; `mint_credential` the class that is implied by nothing.
 */
export type DenyReason = 'no_permission' | 'denied_by_rule' | 'ended' | 'level' | 'ambiguous' | 'mint_credential';

/** Facts of one agent, loaded once per generation; `decide` over them is synchronous and pure. */
export interface Facts {
  readonly generation: number;
  readonly allow: readonly Permission[];
  readonly deny: readonly Permission[];
}

/** A change that a person must confirm in the browser (SECURITY 4). `change` is shown whole on the page. */
export interface Confirmation {
  readonly id: ConfirmationId;
  readonly organization: OrganizationId;
  readonly kind: ChangeKind;
  readonly change: Readonly<Record<string, unknown>>;
  readonly digest: string;
  readonly requestedBy: Actor;
  readonly status: 'open' | 'confirmed' | 'refused' | 'expired';
  readonly expiresAt: number;
  readonly createdAt: number;
  /** What came of it, as `apply` told (`{ permission }`, `{ job }`); undefined while it is not confirmed. */
  readonly result: Readonly<Record<string, string>> | undefined;
}

export type ChangeKind =
  | 'permission.give'
  /** Ending a deny widens. */
  | 'permission.end'
  | 'agent.confirm'
  | 'agent.reactivate'
  | 'connection.confirm'
  | 'connection.default'
  | 'connection.share'
  | 'connection.reveal'
  | 'provider.register'
  | 'provider.remove'
  | 'provider.accept'
  | 'provider.client'
  | 'upstream.add'
  | 'key.add'
  | 'key.rotate'
  | 'client.add'
  | 'invitation.add'
  | 'client.secret'
  | 'details_type.add'
  | 'lives.change'
  | 'resource.add'
  | 'resource.change'
  | 'registration_token.add'
  | 'trust.add'
  | 'signing_key.import'
  | 'signing_key.rotate';

export interface PermissionQuery {
  readonly agent?: AgentId;
  readonly connection?: ConnectionId;
  readonly text?: string;
  readonly includeEnded?: boolean;
  readonly cursor?: string;
  readonly limit: number;
}

export type PermissionDraft = Omit<Permission, 'id' | 'createdAt' | 'endedAt' | 'organization'>;

export interface Policy {
  /** Facts for an agent, from a cache kept by generation; no I/O when warm. */
  facts(organization: OrganizationId, agent: Question['agent']): Promise<Facts>;
  /**
   * Pure, over these facts. Default deny; a deny wins over every allow; what one permission lacks another may give, so
   * that a call of several classes is allowed when every class is.
   */
  decide(facts: Facts, question: Question): Decision;
  /** The decision, and each permission that was considered with why it did or did not apply. */
  explain(question: Question): Promise<{
    readonly decision: Decision;
    readonly considered: readonly { readonly permission: Permission; readonly applies: boolean; readonly why: string }[];
  }>;
  permission(organization: OrganizationId, id: PermissionId): Promise<Permission | undefined>;
  /** Newest first. */
  list(organization: OrganizationId, query: PermissionQuery): Promise<{ readonly items: readonly Permission[]; readonly next?: string }>;
  /** Writes a confirmed permission (or a `deny`, which needs no confirmation). */
  give(tx: Writing, by: Principal, draft: PermissionDraft): Promise<Permission>;
  /** Ends a permission; narrowing acts at once, but ending a `deny` widens and needs a confirmation. */
  end(tx: Writing, by: Principal, id: PermissionId): Promise<Permission>;
  /** Parks a change for a person. */
  ask(by: Principal, kind: ChangeKind, change: Readonly<Record<string, unknown>>): Promise<Confirmation>;
  confirmation(organization: OrganizationId, id: ConfirmationId): Promise<Confirmation | undefined>;
  confirmations(
    organization: OrganizationId,
    query: { readonly status?: Confirmation['status']; readonly cursor?: string; readonly limit: number },
  ): Promise<{ readonly items: readonly Confirmation[]; readonly next?: string }>;
  /**
   * A person answers, from a fresh browser session. On yes, `apply` runs in the same transaction, so that a
   * confirmation is spent exactly once and what it confirms happens with it; what it returns is kept as the result. @throws {Fault} `confirmation_ended`
   */
  answer(
    by: Principal,
    session: SessionId,
    id: ConfirmationId,
    answer: 'yes' | 'no',
    apply: (tx: Writing, confirmation: Confirmation) => Promise<Readonly<Record<string, string>>>,
  ): Promise<Confirmation>;
  close(): Promise<void>;
}
