import type { Listing, User } from '#identity';
import type { OrganizationId, Principal, Secret, SessionId, UserId } from '#kernel';
import type { Reading, Writing } from '#store';
import type { Joining } from './join.ts';
import type { Upstreams } from './upstreams/contract.ts';

export interface Session {
  readonly id: SessionId;
  readonly organization: OrganizationId;
  readonly user: User;
  readonly kind: 'browser' | 'command_line';
  readonly authenticatedAt: number;
  /** How the person proved who they are, as RFC 8176 names it. */
  readonly methods: readonly string[];
  readonly expiresAt: number;
  readonly principal: Principal;
  /** What OAuth clients know it by; whoever signs in again in the same browser keeps it. */
  readonly sid: string;
}

/** A session that has ended, to whoever has to end what hangs on it. */
export interface EndedSession {
  readonly organization: OrganizationId;
  readonly user: UserId;
  readonly sid: string;
}

/** Runs in the transaction that ends the session. */
export type WhenEnded = (tx: Writing, ended: EndedSession) => Promise<void>;

export interface SessionQuery {
  readonly user?: UserId;
  readonly id?: SessionId;
  readonly text?: string;
  readonly cursor?: string;
  readonly limit: number;
}

export interface SessionView {
  readonly id: SessionId;
  readonly sid: string;
  /** The person's address. */
  readonly email: string;
  readonly kind: 'browser' | 'command_line';
  readonly label: string;
  readonly authenticatedAt: number;
  readonly lastSeenAt: number;
  readonly expiresAt: number;
}

/** A new session and its bearer value, shown once. */
export interface Started {
  readonly session: Session;
  readonly bearer: Secret<string>;
}

/** A command line on another machine, waiting for a person (the shape of RFC 8628). */
export interface CommandLineOffer {
  readonly deviceCode: Secret<string>;
  readonly userCode: string;
  readonly expiresAt: number;
  /** Seconds between polls. */
  readonly interval: number;
}

export interface Signin {
  /** Identity providers of others, and what people have linked there. */
  readonly upstreams: Upstreams;
  /** Prints a set-up link's secret; replaces an earlier one. @throws {Fault} `setup_closed` */
  setupLink(): Promise<{ readonly token: Secret<string>; readonly expiresAt: number }>;
  /** The link of a server that starts: undefined when there is one already, or an administrator. */
  firstSetupLink(): Promise<Secret<string> | undefined>;
  /** Ends that link, if it is still the one: the server that gave it stops. */
  withdrawSetupLink(token: Secret<string>): Promise<void>;
  /** Whether the first administrator exists: a stored row. */
  setupState(): Promise<'open' | 'closed'>;
  /** Whether this token could be spent now; spends nothing (GET shows a button). */
  setupLinkLives(token: string): Promise<boolean>;
  /** Spends the link, makes the first administrator and their session. @throws {Fault} `setup_closed`, `link_ended`, `invalid_request` */
  completeSetup(
    token: string,
    person: { readonly email: string; readonly name: string; readonly password: Secret<string> },
    address: string,
  ): Promise<Started>;
  /** Password sign-in; the same answer and time for known and unknown addresses. @throws {Fault} `invalid_credentials`, `rate_limited`, `busy` */
  signIn(
    organization: OrganizationId,
    email: string,
    password: Secret<string>,
    address: string,
    previous: SessionId | undefined,
    label?: string,
  ): Promise<Started>;
  /** Somebody who was invited makes their account. @throws {Fault} `link_ended`, `invalid_request`, `conflict`, `busy` */
  join(organization: OrganizationId, joining: Joining): Promise<Started>;
  /** Proves the password again for a fresh confirmation. @throws {Fault} `invalid_credentials`, `confirmation_required` (a command line), `rate_limited`, `busy` */
  reauthenticate(session: Session, password: Secret<string>, address: string): Promise<Session>;
  /** Another password; the person's other sessions end. @throws {Fault} `invalid_credentials`, `invalid_request`, `rate_limited`, `busy` */
  changePassword(
    session: Session,
    change: { readonly current: Secret<string>; readonly wanted: Secret<string>; readonly address: string },
  ): Promise<void>;
  /** A session of this organization; of another it is nothing (SECURITY 17). @throws {Fault} `unauthenticated`, `stale_revocations` */
  session(organization: OrganizationId, bearer: string, kind: 'browser' | 'command_line'): Promise<Session>;
  /** Whether a session that clients know by this name stands, as the caller's transaction sees it. */
  stands(tx: Reading, organization: OrganizationId, sid: string): Promise<boolean>;
  /** Whoever wants to hear of every ending. */
  whenEnded(hear: WhenEnded): void;
  sessions(user: User): Promise<readonly SessionView[]>;
  /** Of everybody in an organization, newest first; or of one person. */
  everySession(organization: OrganizationId, query: SessionQuery): Promise<Listing<SessionView>>;
  /** `by`: who ends it, where that is not whose it is. */
  end(organization: OrganizationId, id: SessionId, reason: string, by?: Principal): Promise<void>;
  /** Every session of a person, but for one where `except` names it; how many. */
  endAll(user: User, reason: string, except?: SessionId): Promise<number>;
  /** The command-line session of whoever owns the local socket: may look and start, never widen (SECURITY 4). */
  localSession(organization: OrganizationId): Promise<Session>;
  offerCommandLine(organization: OrganizationId, label: string, address: string): Promise<CommandLineOffer>;
  /** A person typed the code on the page. @throws {Fault} `claim_code_wrong`, `rate_limited` */
  viewCommandLine(user: User, userCode: string): Promise<{ readonly label: string; readonly address: string; readonly at: number }>;
  /** Spends the code; the session must be fresh (`isFresh`). @throws {Fault} `claim_code_wrong`, `confirmation_required`, `rate_limited` */
  approveCommandLine(session: Session, userCode: string): Promise<void>;
  /** The command line polls; undefined: not yet. The session is handed out once. @throws {Fault} `link_ended`, `rate_limited` */
  collectCommandLine(deviceCode: string): Promise<Started | undefined>;
  /** Argon2id in PHC form. @throws {Fault} `busy` */
  hashPassword(password: Secret<string>): Promise<string>;
  /** Removes what nobody can use any more; returns how much. Never needed for correctness. */
  sweep(): Promise<number>;
  close(): Promise<void>;
}
