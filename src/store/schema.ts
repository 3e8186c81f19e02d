import type { Generated } from 'kysely';
import type {
  AgentId,
  BackchannelRequestId,
  ClientId,
  ClientSecretId,
  ConfirmationId,
  ConnectionId,
  ConsentId,
  DataKeyId,
  EventId,
  FlowId,
  GrantId,
  InvitationId,
  JobId,
  OrganizationId,
  PermissionId,
  RegistrationTokenId,
  ResourceId,
  RunId,
  SessionId,
  SignInMethodId,
  SigningKeyId,
  TrustedIssuerId,
  UpstreamId,
  UserId,
  VaultId,
} from '#kernel';

/**
 * Every table. Times are integer milliseconds; `*_json` columns hold JSON text, parsed by the owning room;
 * flags are 0 or 1. `row` is the integer row id; `id` the public one. Every mutable row has `version`: an update
 * wins on one affected row, or it lost. Each table is touched by one `*.sql.ts` only.
 */
export interface Schema {
  migrations: { name: string; applied_at: number };
  generations: { topic: string; value: number };
  sealed_values: { row: Generated<number>; key: string; envelope: Uint8Array; version: number };
  data_keys: DataKeyTable;
  master_key_marks: { id: string; check_value: Uint8Array; created_at: number };
  organizations: OrganizationTable;
  /** Every issuer string an organization ever had, unique: none passes to another organization. */
  organization_issuers: { issuer: string; organization_id: OrganizationId; created_at: number };
  users: UserTable;
  sessions: SessionTable;
  /** Wrong passwords in a row, by the SHA-256 of the address key, whether or not there is such a user; unique per organization. */
  login_failures: LoginFailureTable;
  upstreams: UpstreamTable;
  sign_in_methods: SignInMethodTable;
  platform_facts: { name: string; value: string; version: number };
  agents: AgentTable;
  vaults: VaultTable;
  vault_bindings: VaultBindingTable;
  provider_definitions: ProviderDefinitionTable;
  provider_clients: ProviderClientTable;
  connections: ConnectionTable;
  flows: FlowTable;
  permissions: PermissionTable;
  confirmations: ConfirmationTable;
  runs: RunTable;
  authorities: AuthorityTable;
  events: EventTable;
  audit_heads: AuditHeadTable;
  audit_checkpoints: AuditCheckpointTable;
  audit_keys: AuditKeyTable;
  jobs: JobTable;
  /** Hashes of spent single-use values (SECURITY 14): a second spend loses on the unique hash. */
  spent_values: { hash: string; kind: string; made: string; spent_at: number; expires_at: number };
  signing_keys: SigningKeyTable;
  clients: ClientTable;
  client_secrets: ClientSecretTable;
  consents: ConsentTable;
  grants: GrantTable;
  refresh_tokens: RefreshTokenTable;
  endings: EndingTable;
  resources: RegisteredResourceTable;
  imported_keys: ImportedKeyTable;
  backchannel_requests: BackchannelRequestTable;
  trusted_issuers: TrustedIssuerTable;
  registrations: ClientRegistrationTable;
  registration_tokens: RegistrationTokenTable;
  session_clients: SessionClientTable;
  invitations: InvitationTable;
  authorization_details_types: AuthorizationDetailsTypeTable;
  issuer_lives: IssuerLivesTable;
}

/** The tables of signing in through others. */
export type SignInTable = 'upstreams' | 'sign_in_methods';

/** The tables of the authorization server. */
export type IssuerTable = 'signing_keys' | 'clients' | 'client_secrets' | 'consents' | 'grants' | 'refresh_tokens' | 'endings';

/** The tables of what requests may hold, and of how long what is issued lives. */
export type RequestTable = 'authorization_details_types' | 'issuer_lives';

/** Columns that a later migration added to a table. */
export type AddedColumn = 'amr' | 'granted_json' | 'details_json';

/** The tables of what tokens are for, and of keys that others signed with. */
export type ResourceTable = 'resources' | 'imported_keys';
/** What hangs on a person's sessions, and who is invited to have one. */
export type SessionTables = 'session_clients' | 'invitations';

/** The tables of what grants are made from, beside codes. */
export type GrantSourceTable = 'backchannel_requests' | 'trusted_issuers';

interface Row<I extends string> {
  row: Generated<number>;
  id: I;
  organization_id: OrganizationId;
  created_at: number;
}

interface DataKeyTable {
  row: Generated<number>;
  id: DataKeyId;
  /** `vault:<organization>:<id>`, `organization:<id>` or `platform`; unique. A retired key's scope has `#` and its id after it. */
  scope: string;
  status: 'active' | 'retired';
  master_key_id: string;
  /** The master key it was first wrapped with: what a thief of that key could have unwrapped. Never changes. */
  made_under: string;
  wrapped: Uint8Array;
  /** Counted in blocks, ahead of use, so that a crash only over-counts. */
  seals: number;
  created_at: number;
  version: number;
}

interface OrganizationTable {
  row: Generated<number>;
  id: OrganizationId;
  slug: string;
  name: string;
  /** The issuer string; never reused. */
  issuer: string;
  epoch: number;
  created_at: number;
  version: number;
}

interface UserTable extends Row<UserId> {
  /** As typed; `email_key` is its lower-case NFC form, unique in the organization. */
  email: string;
  email_key: string;
  name: string;
  role: 'owner' | 'administrator' | 'member';
  status: 'active' | 'suspended';
  /** Argon2id in PHC form, or null. */
  password_hash: string | null;
  epoch: number;
  version: number;
}

interface SessionTable extends Row<SessionId> {
  user_id: UserId;
  kind: 'browser' | 'command_line';
  /** SHA-256 of the bearer value, hexadecimal. */
  token_hash: string;
  /** What it was made from, hashed (SECURITY 14); unique. */
  made_from: string | null;
  authenticated_at: number;
  last_seen_at: number;
  expires_at: number;
  /** User's epoch when it was made. */
  user_epoch: number;
  /** How the person proved who they are, as RFC 8176 names it, with spaces between. */
  amr: string | null;
  label: string;
  ended_at: number | null;
  /** What clients know it by; the same for what takes its place in the same browser. Null in rows of before: the id. */
  sid: string | null;
  version: number;
}

/** A client that had tokens of a person in a session, and is told when it ends. */
interface SessionClientTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  sid: string;
  client_id: ClientId;
  user_id: UserId;
  created_at: number;
}

interface InvitationTable extends Row<InvitationId> {
  email: string;
  role: 'owner' | 'administrator' | 'member';
  /** SHA-256 of what is in the link, hexadecimal; unique. */
  token_hash: string;
  expires_at: number;
  /** Accepted or withdrawn. */
  ended_at: number | null;
  version: number;
}

interface LoginFailureTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  account_hash: string;
  failures: number;
  /** Of the last one. */
  failed_at: number;
  /** Sign-in is refused until then; 0: not locked. */
  locked_until: number;
  version: number;
}

/** An identity provider that an organization's people may sign in through. Its name is unique in the organization. */
interface UpstreamTable extends Row<UpstreamId> {
  name: string;
  kind: string;
  /** What its button says. */
  label: string;
  /** Whose word its subjects are; never changes, because what is linked hangs on it. */
  issuer: string;
  /** The organization's own client there, or the platform's, which settings name. */
  source: 'own' | 'platform';
  client_id: string;
  /** The client's secret, sealed under the organization's key; null: the platform's, or none. */
  client_envelope: Uint8Array | null;
  scopes_json: string;
  /** Mail domains whose addresses it is believed about; `*`: of everybody who is new. */
  domains_json: string;
  /** 1: a first sign-in with an address it is believed about makes a user. */
  sign_up: number;
  version: number;
}

/**
 * Every way in which a person can sign in, beside the password: one row for each. `authority` is whose word it is (an
 * upstream's id; the relying-party id of passkeys), `subject_hash` the SHA-256 of what names the person or their
 * authenticator there. The three of organization, authority and subject are unique: of any number of first sign-ins at once, one makes it.
 */
interface SignInMethodTable extends Row<SignInMethodId> {
  user_id: UserId;
  kind: 'upstream';
  authority: string;
  subject_hash: string;
  /** What its person knows it by. */
  label: string;
  /** What its kind keeps, as JSON. */
  details_json: string;
  /** Only ever forward. */
  used_at: number;
  version: number;
}

interface AgentTable extends Row<AgentId> {
  handle: string;
  did: string;
  public_jwk_json: string;
  algorithm: 'EdDSA' | 'ES256';
  status: 'registered' | 'claimed' | 'active' | 'suspended' | 'revoked';
  owner_kind: 'user' | 'organization' | null;
  owner_user_id: UserId | null;
  /** The owner confirmed it as "one of mine" (SECURITY 22). */
  confirmed_at: number | null;
  registered_from: string;
  /** Unclaimed agents end then. */
  expires_at: number | null;
  epoch: number;
  version: number;
}

interface VaultTable extends Row<VaultId> {
  name: string;
  owner_kind: 'user' | 'organization';
  owner_user_id: UserId | null;
  version: number;
}

interface VaultBindingTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  vault_id: VaultId;
  principal_kind: 'user' | 'agent' | 'everyone';
  principal_id: string;
  is_default: number;
  created_at: number;
}

interface ProviderDefinitionTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  provider_id: string;
  definition_json: string;
  digest: string;
  created_at: number;
  updated_at: number;
  version: number;
}

interface ProviderClientTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  provider_id: string;
  client_id: string;
  /** Sealed under the organization's key; null for a public client. */
  secret_envelope: Uint8Array | null;
  source: 'registered' | 'dynamic' | 'operator';
  created_at: number;
  version: number;
}

interface ConnectionTable extends Row<ConnectionId> {
  vault_id: VaultId;
  provider_id: string;
  name: string;
  /** 1 while the connection is live, null once it is disconnected: (vault, provider, name, live) is unique, and nulls are distinct. */
  live: 1 | null;
  is_default: number;
  shared: number;
  owner_user_id: UserId | null;
  /** The kind of credential: `api_key`, `basic`, `oauth2`, … */
  kind: string;
  /** Status as a union: `{"kind":"connected"}`, `{"kind":"needs_attention","reason":…}`, `{"kind":"disconnected",…}`. */
  status_json: string;
  account_json: string;
  scopes_json: string;
  /** Origins, endpoints and client the owner agreed to (SECURITY 7), with the definition's digest. */
  pinned_json: string;
  /** When the access credential ends; null: does not. */
  expires_at: number | null;
  /** Version of the sealed value this row goes with. */
  sealed_version: number;
  /** A rotated refresh token, sealed here before anything else (SECURITY 13). */
  pending_envelope: Uint8Array | null;
  refresh_started_at: number | null;
  refreshed_at: number | null;
  forced_refresh_at: number | null;
  used_at: number | null;
  version: number;
}

interface FlowTable extends Row<FlowId> {
  provider_id: string;
  connection_name: string;
  kind: string;
  /** Who started it; only that session may complete it. */
  started_by_json: string;
  status_json: string;
  /** What the flow needs later (verifier, state hash, requested permissions), sealed under the organization's key. */
  sealed_envelope: Uint8Array | null;
  expires_at: number;
  version: number;
}

interface PermissionTable extends Row<PermissionId> {
  effect: 'allow' | 'deny';
  /** One agent, or null: every agent of the owner that the owner has confirmed. */
  agent_id: AgentId | null;
  owner_user_id: UserId | null;
  /** One connection, or null with `provider_id`: any connection of that provider. */
  connection_id: ConnectionId | null;
  provider_id: string | null;
  /** `{"classes":[],"operations":[],"patterns":[{"methods":[],"path":""}],"everything":false}` */
  reach_json: string;
  level: 'separated' | null;
  pass_credential: number;
  expires_at: number | null;
  created_by_json: string;
  ended_at: number | null;
  version: number;
}

interface ConfirmationTable extends Row<ConfirmationId> {
  kind: string;
  /** The change, whole, as it will be applied and as the page names it. */
  change_json: string;
  digest: string;
  requested_by_json: string;
  status: 'open' | 'confirmed' | 'refused' | 'expired';
  decided_by: UserId | null;
  decided_at: number | null;
  /** What came of it, as the asker is told (the id of the permission, of the job); null while it is not confirmed. */
  result_json: string | null;
  expires_at: number;
  version: number;
}

interface RunTable extends Row<RunId> {
  agent_id: AgentId;
  subject_json: string;
  level: 'separated' | 'cooperative';
  /** What `run` told: program name, limits, chosen connections. Never arguments. */
  about_json: string;
  /** Placeholders of this run: sealed under the organization's key. */
  placeholders_envelope: Uint8Array;
  renewed_at: number;
  expires_at: number;
  ended_at: number | null;
  version: number;
}

interface AuthorityTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  /** PKCS#8 of the interception key, sealed under the organization's key. */
  key_envelope: Uint8Array;
  public_key: Uint8Array;
  created_at: number;
  version: number;
}

interface EventTable {
  row: Generated<number>;
  id: EventId;
  organization_id: OrganizationId;
  writer: string;
  sequence: number;
  at: number;
  name: string;
  subject: string;
  actor: string;
  /** Canonical JSON of the whole event; what is hashed. */
  body_json: string;
  previous_hash: Uint8Array;
  hash: Uint8Array;
}

interface AuditHeadTable {
  organization_id: OrganizationId;
  writer: string;
  sequence: number;
  hash: Uint8Array;
}

interface AuditCheckpointTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  writer: string;
  sequence: number;
  hash: Uint8Array;
  at: number;
  signature: Uint8Array;
}

interface AuditKeyTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  key_envelope: Uint8Array;
  public_key: Uint8Array;
  created_at: number;
  version: number;
}

interface JobTable {
  row: Generated<number>;
  id: JobId;
  /** Null: a job of the platform. */
  organization_id: OrganizationId | null;
  kind: string;
  /** Two jobs with one key do not both wait; null: no such rule. */
  unique_key: string | null;
  payload_json: string;
  progress_json: string;
  status: 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';
  run_at: number;
  attempts: number;
  lease_owner: string | null;
  lease_until: number | null;
  error: string | null;
  created_at: number;
  finished_at: number | null;
  version: number;
}

/** A key that an organization signs its tokens with. Nothing in a row changes but its envelope. */
interface SigningKeyTable extends Row<SigningKeyId> {
  algorithm: string;
  /** 1, 2, …: unique per organization and algorithm, so that of any number who make the next one, one wins. */
  sequence: number;
  public_jwk_json: string;
  /** PKCS#8 of the private key, sealed under the organization's key. */
  key_envelope: Uint8Array;
  /** It is published from the start, and signs from here on. */
  signs_from: number;
  version: number;
}

/** Of clients that no administrator registered. */
export type RegistrationTable = 'registrations' | 'registration_tokens';

/** The id of a client that is named by a URL is made of the organization and the URL here: an organization has its own copy. */
interface ClientTable extends Row<string> {
  name: string;
  /** An administrator, the client itself, or the document that its id names. */
  source: 'static' | 'dynamic' | 'document';
  authentication: string;
  /** Redirect URIs, grant types, scopes, resources, keys. */
  metadata_json: string;
  ended_at: number | null;
  version: number;
}

interface ClientSecretTable extends Row<ClientSecretId> {
  client_id: string;
  /** SHA-256 of the secret, hexadecimal; unique. */
  secret_hash: string;
  expires_at: number | null;
  ended_at: number | null;
}

/** How long a client that no administrator registered is kept, and what lets it change itself. */
interface ClientRegistrationTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  /** The id of its row; unique. */
  client_id: string;
  created_at: number;
  /** SHA-256 of its registration access token, hexadecimal; null where it is described by a document. */
  token_hash: string | null;
  /** The token it registered with, if one was needed. */
  registration_token_id: RegistrationTokenId | null;
  used_at: number | null;
  /** When it is forgotten, unless it is used before, or a grant of it still stands. */
  expires_at: number;
  version: number;
}

/** Initial access tokens (RFC 7591 §3). */
interface RegistrationTokenTable extends Row<RegistrationTokenId> {
  name: string;
  /** SHA-256, hexadecimal; unique. */
  token_hash: string;
  /** Null: as many as it likes. */
  uses_left: number | null;
  used_at: number | null;
  expires_at: number | null;
  ended_at: number | null;
  version: number;
}

/** What a person agreed to, so that they are not asked again (SECURITY 26). */
interface ConsentTable extends Row<ConsentId> {
  user_id: UserId;
  client_id: ClientId;
  redirect_host: string;
  /** Of organization, user, client, redirect host, and the client's name and keys as the person saw them; unique. */
  about_hash: string;
  scopes_json: string;
  resources_json: string;
  /** Scopes that the person was asked for and left out; null in rows of before: none. */
  declined_json: string | null;
  /** Authorization details agreed to, each as its hash. */
  details_json: string | null;
  version: number;
}

interface GrantTable extends Row<GrantId> {
  client_id: ClientId;
  user_id: UserId;
  scopes_json: string;
  resources_json: string;
  /** What else was granted, and how the person had signed in. */
  granted_json: string | null;
  authenticated_at: number;
  user_epoch: number;
  organization_epoch: number;
  /** Nothing below it lives longer. */
  /** The session it was made in, as clients know it; null: in none. */
  sid: string | null;
  expires_at: number;
  ended_at: number | null;
  end_reason: string | null;
  version: number;
}

interface RefreshTokenTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  grant_id: GrantId;
  /** SHA-256, hexadecimal; unique. */
  token_hash: string;
  /** Hash of the token it came from; unique, so that a token has one successor. Null: the first of its grant. */
  predecessor_hash: string | null;
  created_at: number;
  /** It dies of idleness then. */
  expires_at: number;
  spent_at: number | null;
  /** The answer it was spent for, encrypted under a key derived from the token itself (SECURITY 18). */
  grace_answer: Uint8Array | null;
  /** JSON of the key that alone may use it. Null: whoever its client proves to be may. */
  confirmation_json: string | null;
  version: number;
}

/** What has ended and could still be presented: a grant, or one access token by its `jti`. */
interface EndingTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  subject: string;
  /** After this nothing below it is alive anyway. */
  expires_at: number;
  created_at: number;
}

/** An API or MCP server that tokens may be for. */
interface AuthorizationDetailsTypeTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  created_at: number;
  type: string;
  /** SHA-256; unique per organization. */
  type_hash: string;
  definition_json: string;
  version: number;
}

interface IssuerLivesTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  lives_json: string;
  updated_at: number;
  version: number;
}

interface RegisteredResourceTable extends Row<ResourceId> {
  /** The exact resource indicator (RFC 8707), and its SHA-256, unique per organization. */
  identifier: string;
  identifier_hash: string;
  name: string;
  /** Names and plain words of its scopes. */
  scopes_json: string;
  token_format: string;
  /** What its JWTs are signed with. */
  algorithm: string;
  /** 1: every client may ask a person for it. */
  is_open: number;
  version: number;
}

/** A public key of an earlier system, published so that its tokens keep verifying. It signs nothing. */
interface ImportedKeyTable {
  row: Generated<number>;
  organization_id: OrganizationId;
  created_at: number;
  /** Unique per organization. */
  kid: string;
  algorithm: string;
  public_jwk_json: string;
  /** Null: until it is removed. */
  retires_at: number | null;
}

/** A client's question to a person who is not at its browser (CIBA). */
interface BackchannelRequestTable extends Row<BackchannelRequestId> {
  client_id: ClientId;
  user_id: UserId;
  /** SHA-256 of the `auth_req_id`. */
  request_hash: string;
  scopes_json: string;
  resources_json: string;
  binding_message: string | null;
  /** Where the client asked from. */
  address: string;
  expires_at: number;
  /** waiting, then approved or refused; redeemed. */
  status: string;
  authenticated_at: number | null;
  /** Of the person and the organization when it was approved. */
  user_epoch: number | null;
  organization_epoch: number | null;
  /** What it was redeemed for. */
  grant_id: GrantId | null;
  version: number;
}

/** Whose assertions are taken for tokens, and for whom (RFC 7523). */
interface TrustedIssuerTable extends Row<TrustedIssuerId> {
  /** Exact, as its assertions name it. */
  issuer: string;
  /** Its keys, or where they are. */
  keys_json: string;
  /** Who may present them. */
  client_id: ClientId;
  /** In whose name the tokens are; null: in the client's own. */
  user_id: UserId | null;
  subjects_json: string;
  claims_json: string;
  version: number;
}
