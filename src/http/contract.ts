import type { Duplex } from 'node:stream';
import type { Audit } from '#audit';
import type { Broker } from '#broker';
import type { Connect } from '#connect';
import type { Agent, AgentProof, AgentStatus, Identity, Organization } from '#identity';
import type { Issuer } from '#issuer';
import type { Clock, JobId, Log, OrganizationId, Principal } from '#kernel';
import type { Policy } from '#policy';
import type { Session, Signin } from '#signin';
import type { Vault } from '#vault';

/** A transaction's handle, as the rooms below take it. */
export type Writing = Parameters<Policy['give']>[0];

/** One verifier per kind of evidence, of one organization. A run's proxy credential is none of them (SECURITY 3). */
export interface Evidence {
  /** `Authorization: PoP …`, of an agent that stands so. @throws {Fault} `invalid_proof`, `proof_replayed`, `agent_unknown`, `agent_not_active` */
  agent(proof: Omit<AgentProof, 'organization'>, standing: readonly AgentStatus[]): Promise<Agent>;
  /** The session cookie. @throws {Fault} `unauthenticated` */
  browser(bearer: string): Promise<Session>;
  /** `Authorization: Bearer …`. @throws {Fault} `unauthenticated` */
  command_line(bearer: string): Promise<Session>;
  /** Whoever owns the local socket (SECURITY 25). */
  local(): Promise<Session>;
}

export interface Readiness {
  readonly ready: boolean;
  readonly database: 'connected' | 'unreachable';
  /** What lives briefly, wherever it is kept. */
  readonly ephemera: 'connected' | 'unreachable';
  readonly sealedStore: 'connected' | 'unreachable';
  /** `newer`: the next release has migrated, and serves beside this one. */
  readonly migrations: 'current' | 'pending' | 'newer' | 'unknown';
  /** A reason code, never a cause. */
  readonly reason?: string;
}

/** A job, as much of it as is shown. */
export interface JobFacts {
  readonly id: JobId;
  readonly kind: string;
  readonly status: 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';
  readonly progress: unknown;
  readonly attempts: number;
  readonly runAt: number;
  readonly error: string | undefined;
}

/** Starts the work that a confirmed key change asks for, in the confirming transaction; returns what the asker is told. */
export interface KeyChanges {
  add(tx: Writing, by: Principal): Promise<Readonly<Record<string, string>>>;
  rotate(tx: Writing, by: Principal, options: { readonly compromised: boolean }): Promise<Readonly<Record<string, string>>>;
}

export interface HttpDeps {
  readonly broker: Broker;
  readonly issuer: Issuer;
  readonly signin: Signin;
  readonly connect: Connect;
  readonly policy: Policy;
  readonly identity: Identity;
  readonly audit: Audit;
  readonly vault: Pick<Vault, 'mac' | 'keys'>;
  readonly jobs: { view(id: JobId): Promise<JobFacts | undefined> };
  readonly applyKeys: KeyChanges;
  /** One write transaction of an organization. */
  readonly transactIn: <T>(organization: OrganizationId, fn: (tx: Writing) => Promise<T>) => Promise<T>;
  /** What is looked up within one organization alone (SECURITY 17). */
  readonly authenticateIn: (organization: OrganizationId) => Evidence;
  /** The default organization, at the public URL. */
  readonly organization: Organization;
  /** The machine and the user that keys and injection are with. */
  readonly place: { readonly machine: string; readonly user?: number | undefined };
  /** Issuer and links; without a slash at the end. */
  readonly publicUrl: string;
  /** More names (with or without a port) this server answers to, beside the public URL and loopback. */
  readonly hosts: readonly string[];
  /** Addresses or networks whose forwarded headers are believed; empty: nobody's. */
  readonly trustedProxies?: readonly string[];
  /** In small letters: in which they hand on the certificate of a client. */
  readonly certificateHeader?: string | undefined;
  readonly readiness: () => Promise<Readiness>;
  /** Takes one proxy connection that came through `/v1/relay`; absent: the relay is not offered. */
  readonly relay?: (connection: Duplex, remoteAddress: string) => void;
  /** Unix socket of the proxy, told to runs that start over the local socket. */
  readonly proxySocketPath?: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
}

/** What the handlers and pages of one organization work with: nothing of another is at hand. */
export interface Rooms extends Omit<HttpDeps, 'transactIn' | 'authenticateIn'> {
  /** One write transaction of the organization. */
  readonly transact: <T>(fn: (tx: Writing) => Promise<T>) => Promise<T>;
  readonly authenticate: Evidence;
  readonly organization: Organization;
  /** Where people and command lines of the organization find it: links begin with it. */
  readonly publicUrl: string;
  /** The organization's name in addresses; undefined for the default one, which is at the base URL. */
  readonly slug: string | undefined;
}

/** What a listener shows, and whether it asks who connects for a certificate: any, from nobody in particular, and none if there is none. */
export interface ListenerTls {
  readonly cert: string;
  readonly key: string;
  readonly asksCertificate?: boolean;
}

export type Where =
  | { readonly host: string; readonly port: number; readonly tls?: ListenerTls }
  /** A listening socket that was open before this process. */
  | { readonly fd: number; readonly tls?: ListenerTls }
  /** The local owner's socket: whoever reaches it is the owner's command line (SECURITY 25). */
  | {
      readonly path: string /** Other processes of this server listen there too; who started them has cleared the place. */;
      readonly shared?: boolean;
    };

/** The management API and the pages, on a TCP address and on the local socket. */
export interface Http {
  listen(where: Where): Promise<{ readonly address: string; readonly port: number }>;
  /** Where it listens, in the order it was asked to. */
  address(): readonly { readonly address: string; readonly port: number }[];
  /** Gives this certificate to whoever connects from now on, where it encrypts. */
  secure(tls: { readonly cert: string; readonly key: string }): void;
  /** Stops accepting, lets requests end until `deadline` milliseconds passed or `hurry` is aborted, then cuts. */
  close(deadline: number, hurry?: AbortSignal): Promise<void>;
}
