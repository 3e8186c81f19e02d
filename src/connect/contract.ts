import type { RiskClass } from '#api';
import type { ConnectionId, FlowId, OrganizationId, Principal, Secret, SessionId, UserId, VaultId } from '#kernel';
import type { Writing } from '#store';
import type { HostEntry, Provider } from './provider.ts';

export type ConnectionStatus =
  | { readonly kind: 'connected' }
  /** A refresh began and its outcome is unknown: tried once more, alone. */
  | { readonly kind: 'interrupted'; readonly since: number }
  | {
      readonly kind: 'needs_attention';
      readonly reason: 'invalid_grant' | 'rejected' | 'expired' | 'interrupted' | 'provider_changed' | 'unreadable' | 'unconfirmed';
      readonly since: number;
    }
  | { readonly kind: 'disconnected'; readonly since: number };

export interface Connection {
  readonly id: ConnectionId;
  readonly organization: OrganizationId;
  readonly vault: VaultId;
  readonly provider: string;
  readonly name: string;
  readonly isDefault: boolean;
  readonly shared: boolean;
  readonly owner: UserId | undefined;
  /** The kind of `provider.auth` it was made with: `api_key` or `oauth2`. */
  readonly kind: string;
  readonly status: ConnectionStatus;
  /** Who the provider says we are there: `{ id?, name?, email? }`. */
  readonly account: Readonly<Record<string, string>>;
  /** What was granted, not what was asked for. */
  readonly scopes: readonly string[];
  /** The account's own names below the provider's tenant suffixes: it is used at no other of them (`isPinned`). */
  readonly hosts: readonly string[];
  /** The flow that made its credential. */
  readonly flow: FlowId | undefined;
  readonly expiresAt: number | undefined;
  readonly createdAt: number;
  readonly refreshedAt: number | undefined;
  readonly version: number;
}

/** What `fresh` hands to the broker: named secret parts, ready for the provider's injection rules. */
export interface Credential {
  /** `api_key`, `username`, `password`, `access_token`, … as the provider's `inject` names them. */
  readonly parts: Readonly<Record<string, Secret<string>>>;
  /** As pinned when this very credential was read. */
  readonly hosts: readonly string[];
  /** When it ends; undefined: does not. */
  readonly expiresAt: number | undefined;
  readonly refreshable: boolean;
  readonly refreshed: boolean;
}

/** What a call looks like to `match`: lower-case host without port; path undecoded, without query. */
export interface CallShape {
  readonly host: string;
  readonly port: number;
  readonly method: string;
  readonly path: string;
}

export interface MatchedOperation {
  readonly id: string;
  readonly classes: readonly RiskClass[];
}

/** One provider that claims this call (most specific first: exact host beats suffix, longest path prefix wins), and its operation. */
export interface ProviderMatch {
  readonly provider: Provider;
  /** The entry of `provider.hosts` that claims the call; `injectionsFor(provider, entry, connection.kind)` says what to inject. */
  readonly entry: HostEntry;
  readonly operation: MatchedOperation | undefined;
  /** SECURITY 9: the path or method could be read in two ways, or the body carries calls of its own. */
  readonly ambiguous: boolean;
  /** It goes to the provider's own token endpoint: the tokens of its answer are not for the program. */
  readonly tokens: boolean;
}

export interface BeginConnection {
  readonly provider: string;
  readonly name: string;
  readonly flow?: 'pkce' | 'device_code' | 'dcr_pkce' | 'api_key' | 'client_credentials';
  readonly scopes?: readonly string[];
  readonly force: boolean;
  /** Permissions to propose on the page that ends the connection (`--allow`), agent handle → reach text. */
  readonly allow: readonly { readonly agent: string; readonly allow: string }[];
}

export type FlowState =
  | { readonly kind: 'waiting'; readonly url: string }
  | { readonly kind: 'device'; readonly url: string; readonly userCode: string }
  | { readonly kind: 'connected'; readonly connection: ConnectionId }
  | { readonly kind: 'failed'; readonly code: string; readonly detail: string };

export interface Flow {
  readonly id: FlowId;
  readonly organization: OrganizationId;
  readonly provider: string;
  readonly name: string;
  readonly kind: 'pkce' | 'device_code' | 'dcr_pkce' | 'api_key' | 'client_credentials';
  readonly scopes: readonly string[];
  readonly allow: BeginConnection['allow'];
  readonly state: FlowState;
  readonly expiresAt: number;
}

export interface ConnectionQuery {
  readonly provider?: string;
  readonly status?: ConnectionStatus['kind'];
  readonly text?: string;
  readonly cursor?: string;
  readonly limit: number;
}

/** We obtain: accounts at providers, their credentials kept fresh, calls matched to operations. */
export interface Connect {
  /** Catalogue and the organization's own, by id. @throws {Fault} `provider_unknown` */
  provider(organization: OrganizationId, id: string): Promise<Provider>;
  providers(
    organization: OrganizationId,
    query: { readonly text?: string; readonly cursor?: string; readonly limit: number },
  ): Promise<{ readonly items: readonly Provider[]; readonly next?: string }>;
  /** @throws {Fault} `provider_exists` (built-in ids cannot be overridden), `provider_invalid` */
  registerProvider(tx: Writing, by: Principal, definition: unknown): Promise<Provider>;
  removeProvider(tx: Writing, by: Principal, id: string): Promise<void>;
  /** Checks a definition without storing it; imports the other brokers' kind. */
  judgeProvider(definition: unknown): Promise<Provider>;
  /** Keeps the organization's own client at a provider, sealed, until a person said yes; returns the name it is held by. */
  holdClient(
    by: Principal,
    provider: string,
    client: { readonly id: string; readonly secret: Secret<string> | undefined },
  ): Promise<string>;
  /** The step that stores a held client. @throws {Fault} `confirmation_ended` when it is held no more */
  registerClient(by: Principal, provider: string, held: string): Promise<(tx: Writing) => Promise<void>>;

  /** Whether the organization has its own client there. */
  hasClient(organization: OrganizationId, provider: string): Promise<boolean>;

  /** Starts a flow. Bound to `by`: only a browser session of the same person may complete it. */
  begin(by: Principal, request: BeginConnection): Promise<Flow>;
  flow(organization: OrganizationId, id: FlowId): Promise<Flow | undefined>;
  /**
   * Where the browser goes next for an OAuth code flow; binds `state` to this session. `fields` holds the account's own
   * `host` where the provider has tenant hosts. @throws {Fault} `invalid_request`
   */
  authorizationUrl(by: Principal, session: SessionId, id: FlowId, fields?: Readonly<Record<string, Secret<string>>>): Promise<string>;
  /** Ends a code flow; over plain http it then rests (`confirm`). @throws {Fault} `upstream_sign_in_failed`, `link_ended`, `forbidden` */
  complete(by: Principal, session: SessionId, callback: URL): Promise<{ readonly flow: Flow; readonly connection: Connection }>;
  /** Ends an API-key or basic flow with what was typed; by the command line, or over plain http, it then rests (`confirm`). */
  completeWithKey(
    by: Principal,
    id: FlowId,
    fields: Readonly<Record<string, Secret<string>>>,
    where: 'browser' | 'command_line',
  ): Promise<{ readonly flow: Flow; readonly connection: Connection }>;

  connection(organization: OrganizationId, id: ConnectionId): Promise<Connection | undefined>;
  connections(
    organization: OrganizationId,
    vaults: readonly VaultId[],
    query: ConnectionQuery,
  ): Promise<{ readonly items: readonly Connection[]; readonly next?: string }>;
  /** Connections of a provider visible in these vaults, from a cache kept by generation; default first, then by name. */
  candidates(organization: OrganizationId, vaults: readonly VaultId[], provider: string): Promise<readonly Connection[]>;
  /**
   * The owner says yes to what a flow made that was not surely theirs: to that credential, not to one that took its place
   * (SECURITY 4). @throws {Fault} `connection_unknown`, `forbidden`, `conflict`
   */
  confirm(tx: Writing, by: Principal, made: { readonly connection: ConnectionId; readonly flow: FlowId }): Promise<Connection>;
  /** The step that makes it the default of its vault and provider. @throws {Fault} `connection_unknown`, `forbidden`, `conflict` */
  setDefault(by: Principal, id: ConnectionId): Promise<(tx: Writing) => Promise<Connection>>;
  share(tx: Writing, by: Principal, id: ConnectionId, shared: boolean): Promise<Connection>;
  /**
   * The owner agrees to a provider definition that changed after they connected (SECURITY 7); `digest` is that of the definition
   * the page showed. @throws {Fault} `connection_unknown`, `forbidden`, `conflict`
   */
  accept(tx: Writing, by: Principal, id: ConnectionId, digest?: string): Promise<Connection>;
  /** Ends a connection: revoked upstream where possible, destroyed here at once. */
  disconnect(by: Principal, id: ConnectionId): Promise<{ readonly revokedUpstream: 'yes' | 'no' | 'not_offered' }>;

  /** The credential, refreshed when it must be; one refresher across processes. @throws {Fault} `needs_attention`, `credential_unavailable`, `refresh_failed` */
  fresh(by: Principal, connection: Connection, options?: { readonly force?: boolean }): Promise<Credential>;
  /** Providers that claim this call, from an index; no I/O when warm. */
  match(organization: OrganizationId, call: CallShape): Promise<readonly ProviderMatch[]>;
  /** Whether any provider of the organization claims this host and port (then it may be intercepted). */
  claims(organization: OrganizationId, host: string, port: number): Promise<readonly Provider[]>;
  close(): Promise<void>;
}
