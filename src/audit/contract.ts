import type { ConnectionId, EventId, OrganizationId, PermissionId, Principal, RequestId, RunId } from '#kernel';
import type { Writing } from '#store';
import type { EventName } from './events.ts';

/** What a room hands over to be recorded. `fields` are those that `events.ts` lists for the name; never a secret. */
export interface Draft {
  readonly name: EventName;
  readonly principal: Principal;
  readonly fields: Readonly<Record<string, EventValue>>;
  readonly request?: RequestId;
  readonly run?: RunId;
  readonly connection?: ConnectionId;
  readonly permission?: PermissionId;
}

export type EventValue = string | number | boolean | null | readonly string[] | readonly Step[];

/** A step an exchange passed, and when (milliseconds since it was accepted). */
export interface Step {
  readonly step: 'identified' | 'decided' | 'opened' | 'refreshed' | 'dialled' | 'recorded' | 'injected' | 'answered' | 'finished';
  readonly ms: number;
}

/** One recorded event, as it is listed. */
export interface RecordedEvent {
  readonly id: EventId;
  readonly organization: OrganizationId;
  readonly writer: string;
  readonly sequence: number;
  readonly at: number;
  readonly name: EventName;
  /** `kind:id`, the party acted for. */
  readonly subject: string;
  /** Who acted, the current one first, joined by spaces; empty when the subject acted alone. */
  readonly actors: readonly string[];
  readonly fields: Readonly<Record<string, EventValue>>;
  readonly request?: string;
  readonly run?: string;
  readonly connection?: string;
  readonly permission?: string;
}

export interface EventQuery {
  readonly name?: string;
  readonly subject?: string;
  readonly actor?: string;
  readonly run?: string;
  readonly connection?: string;
  readonly since?: number;
  readonly until?: number;
  /** Free text over the body. */
  readonly text?: string;
  readonly order?: 'newest' | 'oldest';
  readonly cursor?: string;
  readonly limit: number;
}

export interface EventPage {
  readonly events: readonly RecordedEvent[];
  readonly next?: string;
}

/** What came since a position, and the position to ask from next. */
export interface Followed {
  readonly events: readonly RecordedEvent[];
  readonly position: string;
}

/** Up to which signed checkpoint the chains are whole, and where they break. */
export interface Verification {
  readonly events: number;
  readonly writers: number;
  readonly holds: boolean;
  /** Last checkpoint per writer that verified. */
  readonly checkpoints: readonly { readonly writer: string; readonly sequence: number; readonly at: number }[];
  /** Events after the last checkpoint: chained, but not yet covered by a signature. */
  readonly tail: number;
  readonly breaks: readonly { readonly writer: string; readonly sequence: number; readonly reason: string }[];
  /** Exchanges whose `call.finished` is missing. */
  readonly unfinished: number;
}

export interface Audit {
  /** Records with the state change it tells of, in one transaction. */
  record(tx: Writing, ...events: readonly Draft[]): Promise<void>;
  /**
   * Records an exchange's event with its neighbours; resolves when it is durable. `soon`: nobody waits for it, so it is
   * written with the next event that somebody waits for, and within 50 ms. @throws {Fault} `audit_unavailable`
   */
  exchange(event: Draft, when?: 'now' | 'soon'): Promise<void>;
  search(organization: OrganizationId, query: EventQuery): Promise<EventPage>;
  /**
   * Events since `position`, which an earlier answer gave; `now`: none, only where to begin. Each comes once, also one that
   * another process commits late; those of one writer in order. @throws {Fault} `invalid_request`
   */
  follow(organization: OrganizationId, query: Omit<EventQuery, 'cursor' | 'order'>, position: string): Promise<Followed>;
  verify(organization: OrganizationId): Promise<Verification>;
  /** Signs a checkpoint for every chain that grew; the caller runs it every minute. */
  checkpoint(): Promise<number>;
  subscribe(listener: (event: RecordedEvent) => void): () => void;
  /** Writes what is queued. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
