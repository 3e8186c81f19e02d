import type { KeyObject } from 'node:crypto';
import type { MatchedOperation } from '#connect';
import type { Agent } from '#identity';
import type { AgentId, ConnectionId, FaultCode, Level, OrganizationId, PermissionId, Principal, RequestId, RunId, Secret } from '#kernel';
import type { DenyReason, Policy } from '#policy';

export interface StartRun {
  readonly level: Level;
  /** Program name only, never its arguments. */
  readonly program: string;
  /** Chosen connections: provider → connection name. */
  readonly connections: Readonly<Record<string, string>>;
  /** Names of variables the person kept with `--pass`. */
  readonly passed: readonly string[];
}

/** What a run gets: nothing in it is a secret of anybody but the run itself. */
export interface StartedRun {
  readonly run: RunId;
  readonly organization: OrganizationId;
  /** Forwarder → server credential: 5 minutes, renewed (SECURITY 3). */
  readonly credential: Secret<string>;
  readonly credentialExpiresAt: number;
  /** The run CA (PEM, ≤ 24 h, permitted names). */
  readonly authorityPem: string;
  /** Variable name → placeholder or plain value, for every provider of the catalogue that exports one. */
  readonly variables: Readonly<Record<string, string>>;
  readonly connections: readonly { readonly provider: string; readonly name: string; readonly hosts: readonly string[] }[];
}

/** A live run as the proxy sees it after authentication. */
export interface LiveRun {
  readonly id: RunId;
  readonly organization: OrganizationId;
  readonly agent: AgentId;
  readonly level: Level;
  readonly principal: Principal;
}

export type Admission =
  | { readonly kind: 'intercept' }
  | { readonly kind: 'blind' }
  | { readonly kind: 'refuse'; readonly code: FaultCode; readonly hint?: string };

/** One request, before its body. Header names as received; `path` is the request target without query, undecoded. */
export interface Call {
  readonly run: LiveRun;
  readonly request: RequestId;
  readonly scheme: 'https' | 'http';
  readonly method: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly query: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly upgrade: string | undefined;
}

/** What the proxy must put on the wire. `clear` first, then `set` in order. Names are lower-case. */
export interface Alteration {
  readonly clear: { readonly headers: readonly string[]; readonly query: readonly string[]; readonly cookies: readonly string[] };
  readonly set: readonly SlotValue[];
  /** Placeholder text → value, and in which slots it may be replaced. */
  readonly replace: readonly {
    readonly placeholder: string;
    readonly value: Secret<string>;
    readonly slots: readonly ('header' | 'query' | 'path' | 'cookie')[];
  }[];
}

export type SlotValue =
  | { readonly slot: 'header'; readonly name: string; readonly value: Secret<string> }
  | { readonly slot: 'query'; readonly name: string; readonly value: Secret<string> }
  | { readonly slot: 'cookie'; readonly name: string; readonly value: Secret<string> }
  /** Replaces the whole path. */
  | { readonly slot: 'path'; readonly value: Secret<string> };

export interface Allowed {
  readonly kind: 'allow';
  readonly exchange: RequestId;
  readonly run: LiveRun;
  readonly connection: { readonly id: ConnectionId; readonly provider: string; readonly name: string } | undefined;
  readonly permission: PermissionId | undefined;
  readonly alteration: Alteration;
  /** Values that must not come back, with every plain form of them (SECURITY 10). Empty: nothing to scrub. */
  readonly scrub: readonly Secret<string>[];
  /** Monotonic milliseconds until which the proxy may act on it. */
  readonly until: number;
  /** The answer is one of a token endpoint: the tokens in it are hidden as well (SECURITY 10). */
  readonly tokens: boolean;
  /** One forced refresh and one safe retry are possible after 401. */
  readonly refreshable: boolean;
  /** The body could be such a form, and under this permission no field of it may name another method (SECURITY 9). */
  readonly form: 'urlencoded' | 'multipart' | undefined;
  /** Resolves when `call.allowed` is durable; awaited before the first byte leaves. @throws {Fault} `audit_unavailable` */
  readonly recorded: Promise<void>;
  /** Extra authorities for this host, PEM. */
  readonly ca: readonly string[];
}

export type Verdict =
  | Allowed
  | { readonly kind: 'deny'; readonly code: FaultCode; readonly detail?: string; readonly hint?: string; readonly url?: string }
  | {
      readonly kind: 'need';
      readonly what: 'connection' | 'attention';
      readonly code: FaultCode;
      readonly detail?: string;
      readonly hint: string;
      readonly url: string;
    };

export interface Exchange {
  readonly verdict: Allowed;
  /** Upstream's status, or 0 when there was none. */
  readonly status: number;
  readonly outcome: 'answered' | 'upstream_failed' | 'client_gone' | 'cut' | 'refused';
  readonly code?: FaultCode;
  /** Bytes of body. */
  readonly sent: number;
  readonly received: number;
  readonly scrubbed: number;
  /** When each step was passed, on the monotonic clock. */
  readonly steps: readonly { readonly step: 'dialled' | 'recorded' | 'injected' | 'answered' | 'finished'; readonly ms: number }[];
}

/** Signs leaves for intercepted hosts with the organization's interception key. */
export interface Authority {
  /** DER chain of one: a leaf for `host`, with the process's own leaf key. */
  leaf(host: string): { readonly certificatePem: string; readonly key: KeyObject };
}

/** A call that an agent might make. */
export interface Supposed {
  readonly agent: Agent;
  readonly level: Level;
  readonly call: Pick<Call, 'scheme' | 'method' | 'host' | 'port' | 'path' | 'query'>;
  /** As the header `Gatehouse-Connection` would name it. */
  readonly connection?: string | undefined;
}

/** What would become of it, as far as that can be known without opening a credential. */
export interface Foreseen {
  readonly effect: 'allow' | 'deny';
  /** Why it is denied; or `no_connection`: it would be let through as it is, and nothing put on it. */
  readonly reason: DenyReason | FaultCode | 'no_connection' | undefined;
  readonly permission: PermissionId | undefined;
  readonly provider: string | undefined;
  readonly connection: string | undefined;
  readonly operation: MatchedOperation | undefined;
  /** What would permit it; `hint` says it in a sentence. */
  readonly command: string | undefined;
  readonly hint: string | undefined;
  readonly considered: Explained['considered'];
}

type Explained = Awaited<ReturnType<Policy['explain']>>;

/** May this run make this call, with what. */
export interface Broker {
  startRun(agent: Agent, request: StartRun): Promise<StartedRun>;
  /** @throws {Fault} `run_ended`, `agent_not_active` */
  renewRun(agent: Agent, run: RunId): Promise<{ readonly credential: Secret<string>; readonly expiresAt: number }>;
  endRun(agent: Agent, run: RunId, reason: string): Promise<void>;
  runs(
    organization: OrganizationId,
    query: { readonly agent?: AgentId; readonly cursor?: string; readonly limit: number },
  ): Promise<{ readonly items: readonly RunView[]; readonly next?: string }>;
  /** The run behind a forwarder's credential, from a cache kept fresh; checked on every request. @throws {Fault} `proxy_unauthenticated`, `run_ended`, `agent_not_active`, `stale_revocations` */
  authenticateRun(credential: string): Promise<LiveRun>;
  /**
   * The run of a tunnel that its credential opened, as it stands now; checked on every request of the tunnel. It needs no
   * credential that still lives, but a run that was renewed within the life of one.
   * @throws {Fault} `proxy_unauthenticated` when it was not, `run_ended`, `agent_not_active`, `stale_revocations`
   */
  carriedRun(run: LiveRun): Promise<LiveRun>;
  /** What to do with a CONNECT. Touches no DNS. */
  admit(run: LiveRun, target: { readonly host: string; readonly port: number }): Promise<Admission>;
  decide(call: Call): Promise<Verdict>;
  /** What `admit` and `decide` would answer to such a call now; nothing is sent, opened or recorded. */
  foresee(supposed: Supposed): Promise<Foreseen>;
  /**
   * The same verdict, judged anew and good again: reaching the upstream took longer than it held.
   * @throws {Fault} why the call is not allowed any more
   */
  rejudge(verdict: Allowed): Promise<Allowed>;
  /** After 401 on a refreshable connection: one forced refresh; undefined when not possible (SECURITY 13). */
  renew(verdict: Allowed): Promise<Allowed | undefined>;
  report(exchange: Exchange): void;
  /** A tunnel without interception opened or closed. */
  tunnel(
    run: LiveRun,
    target: { readonly host: string; readonly port: number },
    end?: { readonly sent: number; readonly received: number; readonly ms: number },
  ): Promise<void>;
  /** Told when an open exchange or tunnel of a run must be cut. Returns how to stop. */
  ended(listener: (what: { readonly run: RunId } | { readonly exchange: RequestId }, code: FaultCode) => void): () => void;
  authority(organization: OrganizationId): Promise<Authority>;
  close(): Promise<void>;
}

export interface RunView {
  readonly id: RunId;
  readonly agent: AgentId;
  readonly level: Level;
  readonly program: string;
  readonly startedAt: number;
  readonly endedAt: number | undefined;
}
