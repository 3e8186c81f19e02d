import type { ClientAuthenticationName, GrantTypeName, LifeName, Lives, TokenFormatName } from '#api';
import type { Organization } from '#identity';
import type { JobKind } from '#jobs';
import type {
  BackchannelRequestId,
  ClientId,
  ClientSecretId,
  GrantId,
  OrganizationId,
  Principal,
  RegistrationTokenId,
  ResourceId,
  Secret,
  SigningKeyId,
  TrustedIssuerId,
  UserId,
} from '#kernel';
import type { TokenAlgorithmName } from '#oauth';
import type { Session } from '#signin';
import type { Writing } from '#store';

/** One organization as an issuer: its exact issuer string and what it offers. */
export interface Issuing {
  readonly organization: Organization;
  /** Exact, without a slash at the end; every endpoint lies below it. */
  readonly issuer: string;
  /** Whether clients may register themselves here. */
  readonly registration: RegistrationPolicy;
}

/** A request to an endpoint: its form or query as received, how the client authenticates, and which key it shows. */
export interface ProtocolRequest {
  readonly parameters: string;
  readonly authorization: string | undefined;
  readonly sender?: Sender;
}

/** What a request shows of a key that tokens can be bound to. */
export interface Sender {
  readonly method: string;
  /** Every `DPoP` header, as received. */
  readonly proofs: readonly string[];
  /** DER of the certificate whose key the connection proves (RFC 8705). */
  readonly certificate?: Uint8Array | undefined;
}

/** The key that a token is bound to, as `cnf` names it (RFC 7800 §3.1, RFC 9449 §6). */
export interface Confirmation {
  readonly jkt?: string;
  readonly 'x5t#S256'?: string;
}

/** A request for a resource of ours, with an access token. */
export interface ResourceRequest {
  readonly authorization: string | undefined;
  readonly sender: Sender;
}

/** What the token endpoint answers (RFC 6749 §5.1). */
export interface TokenAnswer {
  readonly accessToken: Secret<string>;
  /** Milliseconds. */
  readonly expiresAt: number;
  /** RFC 6749 §7.1, RFC 9449 §5. */
  readonly tokenType: 'Bearer' | 'DPoP';
  readonly scopes: readonly string[];
  readonly details?: readonly AuthorizationDetail[] | undefined;
  readonly idToken?: Secret<string>;
  /** Of an exchange (RFC 8693 §2.2.1). */
  readonly issuedTokenType?: string;
  readonly refreshToken?: Secret<string>;
}

/** What a device is told (RFC 8628 §3.2). */
export interface DeviceAuthorization {
  readonly deviceCode: Secret<string>;
  /** What its person types; good for little by itself. */
  readonly userCode: string;
  readonly verificationUri: string;
  /** Seconds. */
  readonly expiresIn: number;
  /** Seconds between polls. */
  readonly interval: number;
}

/** What a person sees of a device that waits for them. */
export interface DeviceView {
  /** Names the request in the browser in which its code was typed, and nowhere else. */
  readonly transaction: string;
  readonly client: { readonly id: ClientId; readonly name: string };
  readonly scopes: readonly { readonly name: string; readonly tells: string; readonly optional?: boolean }[];
  readonly resources: readonly string[];
  /** Where the device asked from. */
  readonly address: string;
  readonly at: number;
}

/** Devices that wait for a person (RFC 8628). */
export interface Devices {
  /** @throws {Fault} `client_unauthenticated`, `client_unauthorized`, `scope_invalid`, `target_invalid`, `rate_limited` */
  authorize(at: Issuing, request: ProtocolRequest, address: string): Promise<DeviceAuthorization>;
  /** Whether it is spelled as the code of a device, in any way a person may type it. */
  isCode(typed: string): boolean;
  /** @throws {Fault} `device_code_wrong`, `rate_limited` */
  type(at: Issuing, session: Session, typed: string, address: string): Promise<DeviceView>;
  /** What was typed in this session, once more. @throws {Fault} `link_ended` */
  view(session: Session, transaction: string): Promise<DeviceView>;
  /** Spends the code; for a yes the session must be fresh. @throws {Fault} `link_ended`, `confirmation_required` */
  answer(at: Issuing, session: Session, transaction: string, yes: boolean): Promise<void>;
}

/** Under which reference a pushed request waits (RFC 9126 §2.2). */
export interface PushedAnswer {
  readonly requestUri: string;
  /** Milliseconds. */
  readonly life: number;
}

/** What a client is told that asked a person elsewhere (CIBA §7.3). */
export interface BackchannelAuthentication {
  readonly authReqId: Secret<string>;
  /** Seconds. */
  readonly expiresIn: number;
  /** Seconds between polls. */
  readonly interval: number;
}

/** A client's question, as its person sees it. */
export interface WaitingRequest extends Omit<DeviceView, 'transaction'> {
  readonly id: BackchannelRequestId;
  /** Written by the client, to be compared. */
  readonly bindingMessage: string | undefined;
  readonly expiresAt: number;
}

/** Clients that ask a person who is somewhere else (CIBA Core, poll mode). */
export interface Backchannel {
  /** @throws {Fault} `client_unauthenticated`, `client_unauthorized`, `scope_invalid`, `target_invalid`, `hinted_user_unknown`, `binding_message_invalid`, `rate_limited` */
  authenticate(at: Issuing, request: ProtocolRequest, address: string): Promise<BackchannelAuthentication>;
  /** What waits for who is signed in, newest first; at most 50. */
  waiting(session: Session): Promise<readonly WaitingRequest[]>;
  /** The first answer decides; for a yes the session must be fresh. @throws {Fault} `link_ended`, `confirmation_required` */
  answer(at: Issuing, session: Session, id: string, yes: boolean): Promise<void>;
}

/** Who is at the browser, and the value that ties a waiting request to it. */
export interface Browsing {
  readonly session: Session | undefined;
  readonly binding: string;
  /** Where the request comes from. */
  readonly address: string;
}

/** What comes of an authorization request. What may not be redirected is thrown. */
export type Authorization =
  | { readonly kind: 'redirect'; readonly to: string }
  /** The browser posts these there. */
  | { readonly kind: 'form'; readonly to: string; readonly members: Readonly<Record<string, string>> }
  /** Once more, although somebody is signed in, where `again`. */
  | { readonly kind: 'sign_in'; readonly transaction: string; readonly again: boolean; readonly create: boolean }
  /** The person says whether it is they who is meant. */
  | { readonly kind: 'account'; readonly transaction: string; readonly client: string }
  | { readonly kind: 'consent'; readonly transaction: string; readonly view: ConsentView };

/** A person's answer; a yes to some counts for those of the optional scopes, and for everything that is not optional. */
export type Said = 'no' | 'all' | { readonly scopes: readonly string[] };

/** What the consent page shows. */
export interface ConsentView {
  readonly client: { readonly id: ClientId; readonly name: string };
  readonly source: ClientSource;
  /** The host that serves the document which describes the client: the only part of it that is verified. */
  readonly host: string | undefined;
  /** The client has no other redirect than to this machine, so that any program could call itself so. */
  readonly onlyLocal: boolean;
  readonly redirectHost: string;
  /** The redirect leads to this machine, where any program may wait for it. */
  readonly local: boolean;
  readonly scopes: readonly { readonly name: string; readonly tells: string; readonly optional?: boolean }[];
  /** By the name it is registered under, where it is. */
  readonly resources: readonly { readonly identifier: string; readonly name: string | undefined }[];
  /** Where the browser goes afterwards, as `form-action` names it. */
  readonly destination: string;
  /** What is asked for beside scopes. */
  readonly details: readonly {
    readonly type: string;
    readonly tells: string;
    readonly fields: readonly (readonly [name: string, value: string])[];
  }[];
}

/** One thing that a resource lets clients do, and what a person is told of it. */
export interface ResourceScope {
  readonly name: string;
  /** The end of "it will be able to …". */
  readonly tells: string;
}

/** An API or MCP server that tokens are for. */
export interface ResourceDraft {
  /** The exact resource indicator (RFC 8707 §2). */
  readonly identifier: string;
  readonly name: string;
  readonly scopes: readonly ResourceScope[];
  readonly tokenFormat: TokenFormatName;
  /** What its JWTs are signed with. */
  readonly algorithm: TokenAlgorithmName;
  /** Every client may ask a person for it and its scopes; else only clients that name it themselves. */
  readonly open: boolean;
}

export interface Resource extends ResourceDraft {
  readonly id: ResourceId;
  readonly createdAt: number;
  readonly version: number;
}

/** Registered resources of an organization. */
export interface Resources {
  /** All, by identifier; from a cache kept by generation. */
  registered(organization: OrganizationId): Promise<ReadonlyMap<string, Resource>>;
  /** @throws {Fault} `resource_invalid` with a sentence per field */
  judge(draft: ResourceDraft): void;
  /** @throws {Fault} `resource_invalid` */
  add(tx: Writing, by: Principal, draft: ResourceDraft): Promise<ResourceId>;
  /** All but the identifier. @throws {Fault} `resource_invalid`, `conflict` where it is of another version meanwhile */
  change(tx: Writing, by: Principal, id: string, version: number, draft: ResourceDraft): Promise<ResourceId>;
  /** By id or exact identifier. @throws {Fault} `resource_unknown` */
  find(organization: OrganizationId, id: string): Promise<Resource>;
  list(
    organization: OrganizationId,
    query: { readonly text?: string; readonly cursor?: string; readonly limit: number },
  ): Promise<{ readonly items: readonly Resource[]; readonly next?: string }>;
  /** @throws {Fault} `resource_unknown` */
  remove(by: Principal, id: string): Promise<void>;
}
/** Where the browser goes afterwards: as a person reads it, and as `form-action` names it. */
export interface LogoutDestination {
  readonly host: string;
  readonly source: string;
}

/** What comes of a request to sign out. */
export type Logout =
  /** The person is asked: nothing proves that the request comes from a client of theirs. */
  | { readonly kind: 'ask'; readonly client: string | undefined; readonly destination: LogoutDestination | undefined }
  /** Nobody is signed in any more. `proved`: a client that the person was signed in to asked for it. */
  | { readonly kind: 'left'; readonly to: string | undefined; readonly frames: readonly string[]; readonly proved: boolean };

/** What is registered of a client (RFC 7591 §2, in our own spelling). */
export interface ClientMetadata {
  readonly redirectUris: readonly string[];
  readonly grantTypes: readonly GrantTypeName[];
  /** What it may ask for. */
  readonly scopes: readonly string[];
  /** Resources it may have tokens for, by their exact identifiers. */
  readonly resources: readonly string[];
  /** Resources that it is the server of: it may introspect tokens for them. */
  readonly protects: readonly string[];
  /** Public keys for `private_key_jwt`. */
  readonly jwks: readonly Readonly<Record<string, unknown>>[];
  /** Where its public keys are, instead. */
  readonly jwksUri?: string;
  /** What its ID tokens are signed with. */
  readonly signing: TokenAlgorithmName;
  /** It asks for codes by way of `/par` only (RFC 9126 §6). */
  readonly requirePushedAuthorizationRequests: boolean;
  /** It asks for codes by signed request objects only (RFC 9101 §10.5). */
  readonly requireSignedRequestObject: boolean;
  /** Types of authorization details that it may ask for (RFC 9396 §10). */
  readonly authorizationDetailsTypes: readonly string[];
  /** Its own lives, in seconds. */
  readonly lives: Lives;
  /** It is given no token that is not bound to its key by DPoP (RFC 9449 §5.2). */
  readonly dpopBound: boolean;
  /** Where the document that describes it is: its id. */
  readonly url?: string;
  /** Its tokens are bound to its certificate, and it is given no others (RFC 8705 §3.4). */
  readonly certificateBound: boolean;
  /** What it tells of itself besides, in the words of RFC 7591 §2; nothing is decided by it. */
  readonly about?: Readonly<Record<string, unknown>>;
  readonly logout?: ClientLogout | undefined;
}

/** How a client hears that a person has left, and where its own sign-out may lead (OpenID Connect RP-Initiated, Back-Channel and Front-Channel Logout). */
export interface ClientLogout {
  /** `post_logout_redirect_uris`, exact. */
  readonly redirectUris: readonly string[];
  readonly backchannelUri?: string | undefined;
  /** It needs `sid`. We always send it. */
  readonly backchannelSessionRequired?: boolean;
  readonly frontchannelUri?: string | undefined;
  /** It needs `iss` and `sid` in the address. */
  readonly frontchannelSessionRequired?: boolean;
}

export interface ClientDraft extends ClientMetadata {
  readonly name: string;
  readonly authentication: ClientAuthenticationName;
  /** SHA-256, hexadecimal, of a first secret that whoever asks has made. */
  readonly secretHash: string | undefined;
}

/** Who describes a client: an administrator, the client itself (RFC 7591), or the document that its id names. */
export type ClientSource = 'static' | 'dynamic' | 'document';

export interface ClientSecret {
  readonly id: ClientSecretId;
  readonly hash: string;
  readonly createdAt: number;
  readonly expiresAt: number | undefined;
}

export interface Client extends ClientMetadata {
  readonly id: ClientId;
  readonly organization: OrganizationId;
  readonly name: string;
  readonly authentication: ClientAuthenticationName;
  readonly source: ClientSource;
  /** What it is given where it asks for no scope (RFC 6749 §3.3). */
  readonly assumedScopes: readonly string[];
  readonly createdAt: number;
  /** Live ones; one may have expired meanwhile. */
  readonly secrets: readonly ClientSecret[];
}

export interface SigningKeyFact {
  readonly id: SigningKeyId;
  readonly algorithm: TokenAlgorithmName;
  readonly state: 'next' | 'signing' | 'verifying';
  readonly createdAt: number;
  readonly signsFrom: number;
}

/** What a verifier elsewhere is told of what has ended (SECURITY 16). */
export interface EndedSince {
  readonly issuer: string;
  /** Of the organization: tokens that name another have ended. */
  readonly epoch: number;
  /** Everything that has ended, in place of what was told before; else only what came since. */
  readonly whole: boolean;
  /** There is more to tell: ask again at once. */
  readonly more: boolean;
  /** Where to go on. */
  readonly cursor: string;
  /** Names of parents, each with the second from which it may be forgotten. */
  readonly ended: readonly (readonly [name: string, until: number])[];
  /** Keys whose signatures count: another that was listed before counts no more. */
  readonly keys: readonly string[];
  /** How long the answer waited, milliseconds. */
  readonly held: number;
  /** How old at most the server's own knowledge is, milliseconds. */
  readonly age: number;
}

/** A public key of an earlier system. */
export interface ImportedKeyDraft {
  /** The `kid` that its tokens name. */
  readonly kid: string;
  readonly publicJwk: Readonly<Record<string, unknown>>;
  /** It is published until then; undefined: until it is removed. */
  readonly retiresAt: number | undefined;
}

export interface ImportedKey {
  readonly kid: string;
  readonly algorithm: string;
  readonly jwk: Readonly<Record<string, string>>;
  readonly createdAt: number;
  readonly retiresAt: number | undefined;
}

/** Keys that verify what an earlier system signed, for resource servers. */
export interface ImportedKeys {
  /** @throws {Fault} `signing_key_invalid` with a sentence per field */
  judge(draft: ImportedKeyDraft): void;
  published(organization: OrganizationId): Promise<readonly ImportedKey[]>;
  /** @throws {Fault} `signing_key_invalid` */
  add(tx: Writing, by: Principal, draft: ImportedKeyDraft): Promise<void>;
  /** @throws {Fault} `not_found` */
  remove(by: Principal, kid: string): Promise<void>;
}

/** Registered clients of an organization. */
export interface Clients {
  /** @throws {Fault} `client_invalid` with a sentence per field */
  judge(draft: ClientDraft): void;
  /** @throws {Fault} `client_invalid` */
  add(tx: Writing, by: Principal, draft: ClientDraft): Promise<ClientId>;
  /** As last known, from a cache kept by generation. */
  find(organization: OrganizationId, id: string): Promise<Client | undefined>;
  /** The same, but as the document describes it now that its id names, where it names one; also of a client that was never seen. @throws {Fault} `client_document_unusable`, `rate_limited` */
  current(organization: OrganizationId, id: string): Promise<Client | undefined>;
  list(
    organization: OrganizationId,
    query: { readonly text?: string; readonly cursor?: string; readonly limit: number },
  ): Promise<{ readonly items: readonly Client[]; readonly next?: string }>;
  /** For good, and every token of it. @throws {Fault} `client_unknown` */
  remove(by: Principal, id: string): Promise<void>;
  /** @throws {Fault} `client_unknown`, `client_invalid` */
  addSecret(
    tx: Writing,
    by: Principal,
    id: string,
    secret: { readonly hash: string; readonly expiresAt: number | undefined },
  ): Promise<ClientSecretId>;
  /** @throws {Fault} `not_found` */
  endSecret(by: Principal, id: string, secret: string): Promise<void>;
}

/** A request to the registration endpoint, or to one client's own. */
export interface RegistrationRequest {
  /** The JSON body, parsed. */
  readonly body: unknown;
  /** An initial access token, or the client's registration access token. */
  readonly bearer: Secret<string> | undefined;
  /** Where it comes from. */
  readonly address: string;
}

/** Whether clients may register themselves: without more, with an initial access token, or not at all. */
export type RegistrationPolicy = 'open' | 'token' | 'off';

/** What lets a client register itself (RFC 7591 §3: an initial access token). */
export interface RegistrationToken {
  readonly id: RegistrationTokenId;
  readonly name: string;
  readonly createdAt: number;
  readonly usedAt: number | undefined;
  /** Undefined: as many as it likes. */
  readonly usesLeft: number | undefined;
  readonly expiresAt: number | undefined;
}

export interface RegistrationTokenDraft {
  readonly name: string;
  /** SHA-256, hexadecimal, of the token that whoever asks has made. */
  readonly hash: string;
  readonly uses: number | undefined;
  readonly expiresAt: number | undefined;
}

export interface RegistrationTokens {
  /** @throws {Fault} `invalid_request` with a sentence per field */
  judge(draft: RegistrationTokenDraft): void;
  add(tx: Writing, by: Principal, draft: RegistrationTokenDraft): Promise<RegistrationTokenId>;
  list(
    organization: OrganizationId,
    query: { readonly text?: string; readonly cursor?: string; readonly limit: number },
  ): Promise<{ readonly items: readonly RegistrationToken[]; readonly next?: string }>;
  find(organization: OrganizationId, id: string): Promise<RegistrationToken | undefined>;
  /** Nobody registers with it any more; who did goes on. @throws {Fault} `not_found` */
  end(by: Principal, id: string): Promise<void>;
}

/** An issuer whose assertions a client may present for tokens (RFC 7523 §3), as an administrator trusts it. */
export interface TrustedIssuerDraft {
  /** Exact, as its assertions name it. */
  readonly issuer: string;
  /** Its keys, or where it publishes them: there, or where its discovery document says. */
  readonly keys:
    | { readonly kind: 'jwks'; readonly keys: ClientMetadata['jwks'] }
    | { readonly kind: 'jwks_uri'; readonly uri: string }
    | { readonly kind: 'discovery' };
  /** Who may present them. */
  readonly client: ClientId;
  /** In whose name the tokens are; undefined: in the client's own. */
  readonly user: UserId | undefined;
  /** Whole subjects, or their beginning and `*`. */
  readonly subjects: readonly string[];
  /** Claims that must have exactly this value. */
  readonly claims: Readonly<Record<string, string>>;
}

export interface TrustedIssuer extends TrustedIssuerDraft {
  readonly id: TrustedIssuerId;
  readonly organization: OrganizationId;
  readonly createdAt: number;
}

/** Issuers whose assertions an organization takes. */
export interface TrustedIssuers {
  /** @throws {Fault} `invalid_request` with a sentence per field */
  judge(draft: TrustedIssuerDraft): void;
  /** @throws {Fault} `invalid_request` */
  add(tx: Writing, by: Principal, draft: TrustedIssuerDraft): Promise<TrustedIssuerId>;
  list(
    organization: OrganizationId,
    query: { readonly text?: string; readonly cursor?: string; readonly limit: number },
  ): Promise<{ readonly items: readonly TrustedIssuer[]; readonly next?: string }>;
  /** @throws {Fault} `not_found` */
  find(organization: OrganizationId, id: string): Promise<TrustedIssuer>;
  /** Its next assertion is refused. @throws {Fault} `not_found` */
  remove(by: Principal, id: string): Promise<void>;
  /** Those whose assertions this client may present. */
  of(organization: OrganizationId, client: ClientId): Promise<readonly TrustedIssuer[]>;
}

/** OAuth 2.1 and OpenID Connect, one issuer per organization. Every method throws faults; endpoints speak their OAuth error. */
export interface Issuer {
  /** The issuer at the base URL, or at `/o/{slug}`. @throws {Fault} `issuer_unknown` */
  at(slug: string | undefined): Promise<Issuing>;
  /** RFC 8414 §2 and OpenID Connect Discovery §3, one document for both. */
  metadata(at: Issuing): Promise<Readonly<Record<string, unknown>>>;
  /** RFC 7517. */
  keySet(at: Issuing): Promise<{ readonly keys: readonly Readonly<Record<string, string>>[] }>;
  /** @throws {Fault} `rate_limited`, and of what may not be redirected */
  authorize(at: Issuing, query: string, browsing: Browsing): Promise<Authorization>;
  /** A request that another site posted; gives the query with which its browser comes back by GET. @throws {Fault} `rate_limited` */
  carry(at: Issuing, form: string, address: string): Promise<string>;
  /** Goes on with a request that waited for its person. @throws {Fault} `link_ended` */
  resume(at: Issuing, transaction: string, browsing: Browsing): Promise<Authorization>;
  /** The person of this session is the one who is meant. @throws {Fault} `link_ended` */
  choose(at: Issuing, transaction: string, browsing: Browsing & { readonly session: Session }): Promise<void>;
  /** The person's answer; spends the waiting request. @throws {Fault} `link_ended` */
  answer(at: Issuing, transaction: string, browsing: Browsing, said: Said): Promise<Authorization>;
  /** For whom a sign-in is, and where the browser goes afterwards; undefined when nothing waits under this name. */
  waiting(
    at: Issuing,
    transaction: string,
    binding: string,
  ): Promise<{ readonly client: string; readonly destination: string; readonly loginHint: string | undefined } | undefined>;
  /** RFC 9126. @throws {Fault} `rate_limited` of a client that cannot prove who it is */
  push(at: Issuing, request: ProtocolRequest, address: string): Promise<PushedAnswer>;
  /**
   * What comes of a request of RP-Initiated Logout §2; `said`: the person was asked and said yes. Ends the session where that is so.
   * @throws {Fault} `invalid_request`, `post_logout_redirect_unregistered`, for a page
   */
  logout(at: Issuing, query: string, session: Session | undefined, said: boolean): Promise<Logout>;
  /** What would end with a session: grants, and the names of the clients that would be told. */
  hangingOn(organization: OrganizationId, sid: string): Promise<{ readonly grants: number; readonly clients: readonly string[] }>;
  /** Ends a session as its person; where the browser must look afterwards so that clients hear of it (Front-Channel Logout §3). */
  leave(at: Issuing, session: Session): Promise<readonly string[]>;
  token(at: Issuing, request: ProtocolRequest): Promise<TokenAnswer>;
  readonly devices: Devices;
  readonly backchannel: Backchannel;
  readonly trustedIssuers: TrustedIssuers;
  /** RFC 7662 §2.2. */
  introspect(at: Issuing, request: ProtocolRequest): Promise<Readonly<Record<string, unknown>>>;
  /** RFC 9701: the same, signed for who asks. */
  introspectSigned(at: Issuing, request: ProtocolRequest): Promise<string>;
  /** RFC 7009. */
  revoke(at: Issuing, request: ProtocolRequest): Promise<void>;
  /** The nonce that proofs must hold now (RFC 9449 §8); undefined: none is asked for. */
  nonce(at: Issuing): string | undefined;
  /** OpenID Connect Core §5.3. */
  userinfo(at: Issuing, request: ResourceRequest): Promise<Readonly<Record<string, unknown>>>;
  /** For verifiers elsewhere. @throws {Fault} `stale_revocations`, `invalid_request` */
  endedSince(at: Issuing, asked: { readonly after: string | undefined; readonly wait: number }): Promise<EndedSince>;
  /** What stands for a person, newest first; at most 200. */
  grants(organization: OrganizationId, user: UserId): Promise<readonly StandingGrant[]>;
  /** The same by page; `text` is in the client's id or name, a scope, a resource, or the grant's id. */
  grantsPage(
    organization: OrganizationId,
    user: UserId,
    query: { readonly text?: string; readonly cursor?: string; readonly limit: number },
  ): Promise<{ readonly items: readonly StandingGrant[]; readonly next?: string }>;
  /** Ends a person's own grant with every token below it, and has them asked anew the next time; true if it stood. */
  endGrant(by: Principal, id: GrantId): Promise<boolean>;
  /** A client registers itself; answers what was stored (RFC 7591 §3.2.1). @throws {Fault} `client_registration_closed`, `registration_token_invalid`, `client_invalid`, `redirect_invalid`, `rate_limited` */
  register(at: Issuing, request: RegistrationRequest): Promise<Readonly<Record<string, unknown>>>;
  /** A client's own registration, read, replaced whole, or ended (RFC 7592 §2). @throws {Fault} `registration_token_invalid` */
  readonly registration: {
    read(at: Issuing, client: string, request: RegistrationRequest): Promise<Readonly<Record<string, unknown>>>;
    replace(at: Issuing, client: string, request: RegistrationRequest): Promise<Readonly<Record<string, unknown>>>;
    end(at: Issuing, client: string, request: RegistrationRequest): Promise<void>;
  };
  readonly registrationTokens: RegistrationTokens;
  readonly clients: Clients;
  readonly detailsTypes: DetailsTypes;
  readonly lifetimes: Lifetimes;
  readonly resources: Resources;
  readonly importedKeys: ImportedKeys;
  signingKeys(organization: OrganizationId): Promise<readonly SigningKeyFact[]>;
  /**
   * Makes the next key, which is published now and signs later; what is returned stores it in the caller's transaction.
   * @throws {Fault} `conflict` where somebody else made it meanwhile
   */
  nextSigningKey(by: Principal, algorithm: TokenAlgorithmName): Promise<(tx: Writing) => Promise<SigningKeyId>>;
  /** What it does in the background. */
  readonly jobKinds: readonly JobKind[];
  /** Removes what nobody can use any more, and makes keys that are due; returns how much. Never needed for correctness. */
  sweep(): Promise<number>;
  close(): Promise<void>;
}

/** A person's standing grant, as tokens name it. */
export interface Grant {
  readonly id: GrantId;
  readonly organization: OrganizationId;
  readonly client: ClientId;
  readonly user: UserId;
  readonly scopes: readonly string[];
  readonly resources: readonly string[];
  readonly authenticatedAt: number;
  readonly facts?: GrantFacts | undefined;
  readonly epochs: Epochs;
  readonly expiresAt: number;
  /** The session it was made in, as clients know it (`sid`); none where there is no browser of ours. */
  readonly sid?: string | undefined;
}

/** What a detail of this type may hold, and what people are told of it (RFC 9396 §2). */
export interface DetailsType {
  readonly type: string;
  /** The end of "it will be able to ...". */
  readonly tells: string;
  readonly fields: Readonly<Record<string, DetailsField>>;
}

export interface DetailsField {
  readonly kind: 'text' | 'texts' | 'number' | 'boolean';
  readonly required: boolean;
  /** The only ones of a text. */
  readonly values?: readonly string[] | undefined;
  readonly tells: string;
}

/** One thing a client may do, in the fields of its type. */
export interface AuthorizationDetail {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** How long what is issued lives. */
export interface Lifetimes {
  /** Milliseconds, for this client. */
  of(client: Pick<Client, 'organization' | 'lives'>, name: LifeName): Promise<number>;
  /** What the organization has set, in seconds. */
  set(organization: OrganizationId): Promise<Lives>;
  /** All of it. @throws {Fault} `conflict` */
  change(tx: Writing, by: Principal, lives: Lives): Promise<void>;
}

/** Types of authorization details of an organization. */
export interface DetailsTypes {
  /** @throws {Fault} `invalid_request` with a sentence per field */
  judge(type: DetailsType): void;
  /** By name, from a cache kept by generation. */
  registered(organization: OrganizationId): Promise<ReadonlyMap<string, DetailsType>>;
  /** @throws {Fault} `invalid_request`, `conflict` */
  add(tx: Writing, by: Principal, type: DetailsType): Promise<string>;
  /** @throws {Fault} `not_found` */
  remove(by: Principal, type: string): Promise<void>;
}

/** What else is known of a grant. */
export interface GrantFacts {
  /** How its person had signed in, as RFC 8176 names it. */
  readonly methods?: readonly string[];
  /** Told in ID tokens too, where their scope is granted. */
  readonly idTokenClaims?: readonly string[];
  readonly details?: readonly AuthorizationDetail[];
}

/** A grant, and what its person calls its client. */
export interface StandingGrant extends Grant {
  readonly clientName: string;
  readonly createdAt: number;
}

/** What ended parents are recognised by (SECURITY 16). */
export interface Epochs {
  readonly user: number;
  readonly organization: number;
}
