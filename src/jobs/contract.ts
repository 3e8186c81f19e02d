import type { JobId, OrganizationId } from '#kernel';
import type { Writing } from '#store';

export interface JobKind {
  readonly kind: string;
  /** Runs under a lease that is renewed meanwhile; must be idempotent. `progress` is stored and listed. */
  readonly run: (context: {
    readonly payload: unknown;
    readonly organization: OrganizationId | undefined;
    readonly progress: (progress: unknown) => Promise<void>;
    readonly signal: AbortSignal;
  }) => Promise<void>;
  /** croner pattern or milliseconds; absent: only when added. */
  readonly every?: number;
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
    readonly cursor?: string;
    readonly limit: number;
  }): Promise<{ readonly items: readonly JobView[]; readonly next?: string }>;
  start(): void;
  close(): Promise<void>;
}
