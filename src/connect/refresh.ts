import { randomBytes, randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fault, type Principal } from '#kernel';
import { ephemeraKey } from '#store';
import { connectedJson, sealable, statusJson, statusOf } from './connection.ts';
import { type ConnectionRow, connectionById } from './connections.sql.ts';
import type { Tokens } from './exchange.ts';
import { assertUsable, type FreshDeps, type Held, hasEnded, isDue, readHeld } from './held.ts';
import { settle } from './keeping.ts';
import { pendingLabel } from './labels.ts';
import { renewed } from './oauth-credential.ts';
import { leaseLife, upstreamDeadline } from './refresh-lease.ts';
import { changeConnection, needAttention } from './standing.ts';
import { askUpstream, type Outcome } from './upstream-refresh.ts';

/** How long somebody waits for another's refresh, a lease that a crash left included. */
const longestWait = leaseLife + 5_000;

const youngToken = 60_000;
const forcedPause = 5 * 60_000;

export interface RefreshRequest {
  /** What the caller held. */
  readonly held: Held;
  readonly force: boolean;
  /** When the token that was refused upstream was obtained. */
  readonly presented: number | undefined;
}

interface Lease {
  readonly key: string;
  readonly owner: string;
  readonly since: number;
}

/**
 * Refreshes once across processes: who holds the lease refreshes, the others wait for what comes of it. While the old
 * token is good nobody waits. @throws {Fault} `needs_attention`, `credential_unavailable`, `refresh_failed`
 */
export async function refreshUnderLease(deps: FreshDeps, by: Principal, request: RefreshRequest): Promise<Held> {
  const { row } = request.held;
  const until = deps.clock.monotonic() + longestWait;
  for (let round = 0; round < 400; round++) {
    if (await isPaused(deps, request)) return request.held;
    const lease = await claim(deps, row);
    const after =
      lease === undefined ? 'busy' : await refreshAlone(deps, by, request, lease).finally(() => deps.ephemera.drop(lease.key, lease.owner));
    if (after !== 'busy') return after;
    if (!request.force && !hasEnded(request.held, deps.clock.now())) return request.held;
    if (deps.clock.monotonic() >= until) break;
    await sleep(25 + randomInt(50));
    const other = await outcomeOfOthers(deps, request);
    if (other !== undefined) return other;
  }
  throw new Fault('refresh_failed', { detail: 'Another refresh of this credential does not end', retryAfter: 5 });
}

/**
 * A provider that asked to wait, or just failed, is left alone: true while the old token is good.
 * @throws {Fault} `credential_unavailable` when it is not
 */
async function isPaused(deps: FreshDeps, { held, force }: RefreshRequest): Promise<boolean> {
  const until = Number((await deps.ephemera.get(pauseKey(held.row))) ?? 0);
  const left = until - deps.clock.now();
  if (left <= 0) return false;
  if (!force && !hasEnded(held, deps.clock.now())) return true;
  throw new Fault('credential_unavailable', {
    detail: 'The provider did not refresh the credential just now',
    retryAfter: Math.ceil(left / 1000),
  });
}

function pauseKey(row: ConnectionRow): string {
  return ephemeraKey('rate', 'refresh', row.id);
}

async function claim(deps: FreshDeps, row: ConnectionRow): Promise<Lease | undefined> {
  const lease = {
    key: ephemeraKey('lease', 'refresh', row.id),
    owner: randomBytes(16).toString('base64url'),
    since: deps.clock.monotonic(),
  };
  return (await deps.ephemera.claim(lease.key, lease.owner, leaseLife)) ? lease : undefined;
}

/** What another refresher left, once it is there. */
async function outcomeOfOthers(deps: FreshDeps, request: RefreshRequest): Promise<Held | undefined> {
  const { row } = request.held;
  const now = await deps.records.in(row.organization_id).read((tx) => connectionById(tx, row.organization_id, row.id));
  if (now?.sealed_version === row.sealed_version && now.status_json === row.status_json && now.live === 1) return undefined;
  const current = await readHeld(deps, row.organization_id, row.id);
  if (current === undefined) throw new Fault('connection_unknown');
  await assertUsable(deps, current);
  return isSatisfied(deps, request, current) ? current : undefined;
}

/** Whether what is there now is what the caller wants. */
function isSatisfied(deps: FreshDeps, { held, force, presented }: RefreshRequest, current: Held): boolean {
  if (!force) return !isDue(current, deps.clock.now());
  return current.row.sealed_version !== held.row.sealed_version || (presented !== undefined && current.row.refreshed_at !== presented);
}

/** The lease is ours: read again, mark, ask, keep. `busy`: somebody else may still be at it. */
async function refreshAlone(deps: FreshDeps, by: Principal, request: RefreshRequest, lease: Lease): Promise<Held | 'busy'> {
  const { row: before } = request.held;
  const current = await readHeld(deps, before.organization_id, before.id);
  if (current === undefined) throw new Fault('connection_unknown');
  await assertUsable(deps, current);
  if (isSatisfied(deps, request, current)) return current;
  if (current.credential.renewal === 'none') return cannotRenew(deps, by, request, current);
  if (request.force) await assertMayForce(deps, by, current.row);
  const marked = await mark(deps, by, request, current);
  if (marked === 'busy') return 'busy';
  const outcome =
    holdsLease(deps, lease) && (await deps.ephemera.get(lease.key)) === lease.owner
      ? await askUpstream(deps, marked)
      : ({ kind: 'not_sent' } as const);
  return settleOutcome(deps, by, request, marked, outcome);
}

/** Enough of the lease is left for the whole upstream deadline. */
function holdsLease(deps: FreshDeps, lease: Lease): boolean {
  return deps.clock.monotonic() - lease.since < leaseLife - upstreamDeadline - 1_000;
}

/**
 * A credential that cannot be renewed is handed out until it has ended. That an upstream refused it does not end it: an
 * agent could bring that about.
 */
async function cannotRenew(deps: FreshDeps, by: Principal, request: RefreshRequest, current: Held): Promise<Held> {
  if (hasEnded(current, deps.clock.now())) {
    await needAttention(deps, by, current.row, 'expired');
    throw new Fault('needs_attention');
  }
  if (request.force) throw new Fault('refresh_failed', { detail: 'This credential cannot be refreshed' });
  return current;
}

/** SECURITY 13. @throws {Fault} `refresh_failed` for a young token, `needs_attention` for a second time within five minutes */
async function assertMayForce(deps: FreshDeps, by: Principal, row: ConnectionRow): Promise<void> {
  const now = deps.clock.now();
  if (now - (row.refreshed_at ?? row.created_at) <= youngToken)
    throw new Fault('refresh_failed', { detail: 'The credential is new, so the provider refuses it for another reason' });
  if (row.forced_refresh_at === null || now - row.forced_refresh_at >= forcedPause) return;
  await needAttention(deps, by, row, 'rejected');
  throw new Fault('needs_attention', { detail: 'The provider refuses credentials that were just refreshed' });
}

/**
 * Says in the row that a refresh begins, before anything is sent. A mark that is there already, and older than any lease,
 * is of a refresher that died: its outcome is unknown, and this is the one more try it gets.
 */
async function mark(deps: FreshDeps, by: Principal, request: RefreshRequest, { row, credential }: Held): Promise<Held | 'busy'> {
  const now = deps.clock.now();
  const left = row.refresh_started_at;
  if (left !== null && Math.abs(now - left) < leaseLife) return 'busy';
  if (left !== null && statusOf(row).kind === 'interrupted') {
    await needAttention(deps, by, row, 'interrupted');
    throw new Fault('needs_attention', { detail: 'A refresh was interrupted twice' });
  }
  const status = left === null ? row.status_json : statusJson({ kind: 'interrupted', since: left });
  const marked = await changeConnection(deps, {
    row,
    still: (current) => current.version === row.version,
    change: () => ({ refresh_started_at: now, status_json: status, ...(request.force ? { forced_refresh_at: now } : {}) }),
    tell: false,
  });
  return marked === undefined ? 'busy' : { row: marked, credential };
}

/** What came of it goes into the row, and the caller gets the best there is. */
async function settleOutcome(
  deps: FreshDeps,
  by: Principal,
  request: RefreshRequest,
  marked: Held,
  outcome: Outcome,
): Promise<Held | 'busy'> {
  if (outcome.kind === 'ok') return keep(deps, by, request, marked, outcome.tokens, outcome.at);
  if (outcome.kind === 'not_sent') {
    await unmark(deps, marked, marked.row.status_json);
    return 'busy';
  }
  const interrupted = statusOf(marked.row).kind === 'interrupted';
  if (outcome.kind === 'invalid_grant' || (outcome.kind === 'unknown' && interrupted)) {
    await needAttention(deps, by, marked.row, interrupted ? 'interrupted' : 'invalid_grant', ours(marked));
    throw new Fault('needs_attention', {
      detail: interrupted ? 'A refresh was interrupted and its outcome is unknown' : 'The provider ended this authorization',
    });
  }
  const status = outcome.kind === 'unknown' ? statusJson({ kind: 'interrupted', since: deps.clock.now() }) : marked.row.status_json;
  await unmark(deps, marked, status, failed(by, marked.row, outcome.kind === 'unknown' ? 'interrupted' : outcome.kind));
  await pause(deps, marked.row, outcome.kind === 'rate_limited' ? outcome.retryAfter : undefined);
  if (!request.force && !hasEnded(marked, deps.clock.now())) return marked;
  throw new Fault(outcome.kind === 'rate_limited' ? 'credential_unavailable' : 'refresh_failed', { retryAfter: 5 });
}

function failed(by: Principal, row: ConnectionRow, kind: string) {
  const fields = { provider: row.provider_id, name: row.name, class: kind };
  return { name: 'connection.refresh_failed', principal: by, connection: row.id, fields } as const;
}

/** The row still carries this refresh's own mark: nobody renewed or ended the connection meanwhile. */
function ours({ row }: Held): (current: ConnectionRow) => boolean {
  return (current) =>
    current.live === 1 && current.refresh_started_at === row.refresh_started_at && current.sealed_version === row.sealed_version;
}

async function unmark(deps: FreshDeps, marked: Held, status: string, event?: ReturnType<typeof failed>): Promise<void> {
  await changeConnection(deps, {
    row: marked.row,
    still: ours(marked),
    change: () => ({ refresh_started_at: null, status_json: status }),
    ...(event === undefined ? {} : { event }),
    tell: true,
  });
}

/** Five seconds, doubled with every failure in ten minutes, up to five minutes; or what the provider asked for, up to an hour. */
async function pause(deps: FreshDeps, row: ConnectionRow, retryAfter: number | undefined): Promise<void> {
  const failures = await deps.ephemera.bump(ephemeraKey('rate', 'refresh_failures', row.id), 600_000);
  const seconds = Math.min(Math.max(retryAfter ?? 5 * 2 ** Math.min(failures - 1, 6), 1), retryAfter === undefined ? 300 : 3600);
  await deps.ephemera.put(pauseKey(row), String(deps.clock.now() + seconds * 1000), seconds * 1000);
}

/**
 * The new credential is sealed in its row before anything uses it (SECURITY 13). A neighbour's change of the row is taken
 * in; when the connection was renewed or ended meanwhile, what it is now counts: one that rests is usable by nobody (SECURITY 4).
 */
async function keep(deps: FreshDeps, by: Principal, request: RefreshRequest, marked: Held, tokens: Tokens, at: number): Promise<Held> {
  const credential = renewed(marked.credential, tokens, at);
  const version = marked.row.sealed_version + 1;
  const envelope = await deps.vault.enclose(pendingLabel(marked.row, version), sealable(credential));
  const store = () =>
    changeConnection(deps, {
      row: marked.row,
      still: ours(marked),
      change: (current) => ({
        pending_envelope: envelope,
        sealed_version: version,
        expires_at: endOf(marked, tokens, at),
        scopes_json: tokens.scopes === undefined ? current.scopes_json : JSON.stringify(tokens.scopes),
        status_json: connectedJson,
        refresh_started_at: null,
        refreshed_at: at,
      }),
      event: {
        name: 'connection.refreshed',
        principal: by,
        connection: marked.row.id,
        fields: { provider: marked.row.provider_id, name: marked.row.name, forced: request.force },
      },
      tell: true,
    });
  const row = await insistently(store);
  if (row !== undefined) {
    await settle(deps, row);
    return { row, credential };
  }
  const current = await readHeld(deps, marked.row.organization_id, marked.row.id);
  if (current === undefined) throw new Fault('connection_unknown');
  await assertUsable(deps, current);
  return current;
}

/** When the new token ends. A provider that says so once and then no more is taken at its first word. */
function endOf({ row, credential }: Held, tokens: Tokens, at: number): number | null {
  if (tokens.expiresAt !== undefined) return tokens.expiresAt;
  return row.expires_at === null ? null : at + Math.max(row.expires_at - credential.obtained_at, 60_000);
}

/** The new refresh token exists only here: a database that is away for a moment gets a few more chances. */
async function insistently<T>(store: () => Promise<T>): Promise<T> {
  for (let pause = 100; pause < 2_000; pause *= 2) {
    try {
      return await store();
    } catch (error) {
      if (pause * 2 >= 2_000) throw error;
      await sleep(pause);
    }
  }
  return store();
}
