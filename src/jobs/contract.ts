import type { JobId, OrganizationId } from '#kernel';
import type { Writing } from '#store';

export interface JobKind {
  readonly kind: string;
  /**
   * Runs under a lease that is renewed meanwhile; must be idempotent. `progress` is stored and listed, so it holds no
   * secret. `signal` aborts when the lease is lost, the job is cancelled or the process ends: stop, and throw.
   */
  readonly run: (context: {
    readonly payload: unknown;
    readonly organization: OrganizationId | undefined;
    readonly progress: (progress: unknown) => Promise<void>;
    readonly signal: AbortSignal;
  }) => Promise<void>;
  /** Milliseconds, or a croner pattern in UTC; absent: only when added. */
  readonly every?: number | string;
  /** How often it is tried before it counts as failed; waits between tries grow from a second to five minutes. */
  readonly attempts: number;
}

export interface JobView {
  readonly id: JobId;
  readonly kind: string;
  readonly status: 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';
  readonly progress: unknown;
  readonly attempts: number;
  readonly runAt: number;
  readonly error: string | undefined;
}

export interface Jobs {
  /**
   * Adds a job in the caller's transaction. If one with its `uniqueKey` waits already, or runs, that one is given
   * back: it runs no later than asked, and once more if it was running. A key names its organization, if it has one.
   */
  add(
    tx: Writing,
    job: {
      readonly kind: string;
      readonly organization?: OrganizationId;
      readonly payload?: unknown;
      readonly uniqueKey?: string;
      readonly runAt?: number;
    },
  ): Promise<JobId>;
  job(id: JobId): Promise<JobView | undefined>;
  list(query: {
    readonly status?: JobView['status'];
    readonly kind?: string;
    readonly organization?: OrganizationId;
    readonly cursor?: string;
    readonly limit: number;
  }): Promise<{ readonly items: readonly JobView[]; readonly next?: string }>;
  /** Cancels a job that waits, or tells one that runs to stop. False: it had ended. */
  cancel(id: JobId): Promise<boolean>;
  start(): void;
  /** Takes nothing new, tells what runs to stop, and waits a little for it; what was cut short runs again elsewhere. */
  close(): Promise<void>;
}
