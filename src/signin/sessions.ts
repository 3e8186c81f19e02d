import type { Audit } from '#audit';
import type { Identity, Listing, User } from '#identity';
import { type Clock, Fault, type Log, newId, type OrganizationId, type Principal, type SessionId, type UserId } from '#kernel';
import { bearerValue } from '#oauth';
import {
  type Changes,
  cacheByGeneration,
  containing,
  pageLimit,
  pageOf,
  type Reading,
  type Records,
  rowOfCursor,
  sha256,
  stalest,
  type Writing,
} from '#store';
import { authenticationMethods, methodsOf } from './authentication-methods.ts';
import type { EndedSession, Session, SessionQuery, SessionView, Started, WhenEnded } from './contract.ts';
import {
  deleteSessionsBefore,
  endSession,
  insertSession,
  type SessionRow,
  sessionById,
  sessionByToken,
  sessionsOf,
  standingPage,
  standingSession,
  touchSession,
} from './sessions.sql.ts';

export interface SessionDeps {
  readonly records: Records;
  readonly changes: Changes;
  readonly identity: Identity;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of every ending, in its transaction. */
  readonly endings: { readonly heard: WhenEnded[] };
  readonly sessionLives: SessionLives;
}

const minute = 60_000;
const hour = 60 * minute;
/** How long a session lives unused, and at most; milliseconds. */
export interface SessionLives {
  readonly idle: number;
  readonly whole: number;
}

export const usualSessionLives: SessionLives = Object.freeze({ idle: 12 * hour, whole: 14 * 24 * hour });
/** How long the row of one that has ended is kept. */
const keptFor = 14 * 24 * hour;
/** `last_seen_at` is written at most this often. */
const touchEvery = minute;
const bearerShape = /^[A-Za-z0-9_-]{43}$/;
const everybody = 'sessions of every organization';

/** How long after a sign-in a person may confirm changes without proving the password again. */
export const freshFor = 5 * minute;

/** Whether the person proved who they are just now, in a browser: what a confirmation asks for. */
export function isFresh(session: Session, now: number): boolean {
  return session.kind === 'browser' && now - session.authenticatedAt < freshFor && session.authenticatedAt <= now;
}

/** @throws {Fault} `stale_revocations` */
export function refuseWhenStale(changes: Changes): void {
  if (changes.age() > stalest) throw new Fault('stale_revocations');
}

/** How a session comes to be. */
export interface Beginning {
  readonly user: User;
  readonly kind: Session['kind'];
  readonly method: 'setup' | 'password' | 'device' | 'invitation' | 'upstream';
  readonly address: string;
  readonly label: string;
  readonly authenticatedAt: number;
  /** The single-use value it was made from; a second session from it loses on the unique hash. */
  readonly madeFrom: string | undefined;
  /** The name by which clients know the one that it takes the place of. */
  readonly sid?: string | undefined;
}

/** Writes the session, with its event, in the caller's transaction. The bearer value exists only in what is returned. */
export async function startSession(deps: SessionDeps, tx: Writing, beginning: Beginning): Promise<Started> {
  const { user } = beginning;
  const now = deps.clock.now();
  const bearer = bearerValue();
  const id = newId('ses', now);
  const row: SessionRow = {
    id,
    sid: beginning.sid ?? id,
    organization_id: user.organization,
    user_id: user.id,
    kind: beginning.kind,
    authenticated_at: beginning.authenticatedAt,
    last_seen_at: now,
    expires_at: now + deps.sessionLives.whole,
    user_epoch: user.epoch,
    amr: authenticationMethods[beginning.method],
    label: beginning.label.slice(0, 255),
    created_at: now,
    version: 1,
  };
  const madeFrom = beginning.madeFrom === undefined ? undefined : sha256(`${beginning.method} ${beginning.madeFrom}`);
  await insertSession(tx, row, { tokenHash: sha256(bearer.reveal()), madeFrom });
  await deps.audit.record(tx, {
    name: 'session.started',
    principal: principalOf(user),
    fields: { session: row.id, kind: row.kind, method: beginning.method, address: beginning.address },
  });
  return { session: sessionOf(row, user), bearer };
}

/** Ends a session in the caller's transaction; true if it stood. */
export async function endIn(
  deps: SessionDeps,
  tx: Writing,
  organization: OrganizationId,
  id: SessionId,
  reason: string,
  by?: Principal,
): Promise<boolean> {
  const row = await sessionById(tx, organization, id);
  if (row === undefined || !(await endSession(tx, organization, id, deps.clock.now()))) return false;
  const ended: EndedSession = { organization, user: row.user_id, sid: row.sid ?? row.id };
  // Who signs in again in the same browser goes on with what they had.
  if (reason !== 'renewed') for (const hear of deps.endings.heard) await hear(tx, ended);
  await deps.audit.record(tx, {
    name: 'session.ended',
    principal: by ?? { organization, subject: { kind: 'user', id: row.user_id }, actors: [] },
    fields: { session: id, reason },
  });
  await tx.bump('revocations');
  return true;
}

/**
 * Ends the session that a new one takes the place of. Where it is the same person's, what hangs on it goes on, under the name that
 * is returned.
 */
export async function takePlace(deps: SessionDeps, tx: Writing, user: User, previous: SessionId | undefined): Promise<string | undefined> {
  const before = previous === undefined ? undefined : await sessionById(tx, user.organization, previous);
  if (before === undefined) return undefined;
  const same = before.user_id === user.id && before.user_epoch === user.epoch;
  await endIn(deps, tx, user.organization, before.id, same ? 'renewed' : 'replaced');
  return same ? (before.sid ?? before.id) : undefined;
}

export async function endAllIn(deps: SessionDeps, tx: Writing, user: User, reason: string, except?: SessionId): Promise<number> {
  let count = 0;
  for (const { id } of await sessionsOf(tx, user.organization, user.id))
    if (id !== except && (await endIn(deps, tx, user.organization, id, reason))) count += 1;
  return count;
}

/** Ends every session of a person's that no password of ours stands for; at a command line none does. */
export async function endUnprovenIn(deps: SessionDeps, tx: Writing, by: Principal, user: UserId, reason: string): Promise<void> {
  for (const { id, amr } of await sessionsOf(tx, by.organization, user))
    if (amr === null) await endIn(deps, tx, by.organization, id, reason, by);
}

/** A session in memory; `seen` runs ahead of its row. */
interface Live {
  readonly row: SessionRow;
  seen: number;
}

/** Sessions by their bearer value, cached until anything is revoked anywhere. */
export function createSessions(deps: SessionDeps) {
  const { records, identity, clock } = deps;
  const { idle } = deps.sessionLives;
  const ended = (row: SessionRow, seen: number, now: number) => now >= row.expires_at || now - seen >= idle;
  const viewOf = (row: SessionRow, email: string) => sessionView(row, email, idle);
  const stopHearing = identity.whenUserEnds(async (tx, user) => void (await endAllIn(deps, tx, user, 'suspended')));
  const cache = cacheByGeneration<Live>(deps.changes, 'revocations', 20_000);

  const load = async (organization: OrganizationId, tokenHash: string): Promise<Live | undefined> => {
    const row = await records.in(organization).read((tx) => sessionByToken(tx, tokenHash));
    return row === undefined ? undefined : { row, seen: row.last_seen_at };
  };

  /** Cached, unless this process has seen nothing of the session for so long that only its row can tell. */
  async function find(organization: OrganizationId, tokenHash: string): Promise<Live | undefined> {
    const live = await cache.get(`${organization} ${tokenHash}`, () => load(organization, tokenHash));
    if (live === undefined || clock.now() - live.seen < idle) return live;
    const now = await load(organization, tokenHash);
    if (now !== undefined) live.seen = Math.max(live.seen, now.seen);
    return now;
  }

  async function touch(live: Live): Promise<void> {
    const now = clock.now();
    if (now - live.seen < touchEvery) return;
    live.seen = now;
    const { organization_id: organization, id } = live.row;
    try {
      await records.in(organization).write((tx) => touchSession(tx, organization, id, now, now - touchEvery));
    } catch (error) {
      deps.log.warn('a session could not be marked as seen', { session: id, error });
    }
  }

  return Object.freeze({
    async session(organization: OrganizationId, bearer: string, kind: Session['kind']): Promise<Session> {
      refuseWhenStale(deps.changes);
      const live = bearerShape.test(bearer) ? await find(organization, sha256(bearer)) : undefined;
      if (live === undefined || live.row.kind !== kind || ended(live.row, live.seen, clock.now())) throw new Fault('unauthenticated');
      const user = await identity.user(live.row.organization_id, live.row.user_id);
      if (user?.status !== 'active' || user.epoch !== live.row.user_epoch) throw new Fault('unauthenticated');
      await touch(live);
      return sessionOf(live.row, user);
    },

    async list(user: User): Promise<readonly SessionView[]> {
      const rows = await records.in(user.organization).read((tx) => sessionsOf(tx, user.organization, user.id));
      const now = clock.now();
      return rows
        .filter((row) => row.user_epoch === user.epoch && !ended(row, row.last_seen_at, now))
        .map((row) => viewOf(row, user.email));
    },

    async every(organization: OrganizationId, { user, id, ...query }: SessionQuery): Promise<Listing<SessionView>> {
      const limit = pageLimit(query.limit);
      const text = query.text?.trim().toLowerCase().slice(0, 200);
      const now = clock.now();
      const rows = await records.in(organization).read((tx) =>
        standingPage(tx, organization, {
          user,
          id,
          before: query.cursor === undefined ? undefined : rowOfCursor(query.cursor),
          like: text ? containing(text) : undefined,
          limit,
          now,
          seenAfter: now - idle,
        }),
      );
      return pageOf(rows, limit, (row) => viewOf(row, row.email));
    },

    async end(organization: OrganizationId, id: SessionId, reason: string, by?: Principal): Promise<void> {
      await records.in(organization).write((tx) => endIn(deps, tx, organization, id, reason, by));
    },

    endAll: (user: User, reason: string, except?: SessionId) =>
      records.in(user.organization).write((tx) => endAllIn(deps, tx, user, reason, except)),

    async stands(tx: Reading, organization: OrganizationId, sid: string): Promise<boolean> {
      return (await standingSession(tx, organization, sid)) !== undefined;
    },

    sweep: () => records.platform(everybody).write((tx) => deleteSessionsBefore(tx, clock.now() - keptFor)),
    close() {
      stopHearing();
      cache.close();
    },
  });
}

export function principalOf(user: User): Session['principal'] {
  return { organization: user.organization, subject: { kind: 'user', id: user.id }, actors: [] };
}

function sessionOf(row: SessionRow, user: User): Session {
  return Object.freeze({
    id: row.id,
    organization: row.organization_id,
    user,
    kind: row.kind,
    authenticatedAt: row.authenticated_at,
    expiresAt: row.expires_at,
    principal: principalOf(user),
    sid: row.sid ?? row.id,
    methods: methodsOf(row.amr),
  });
}

function sessionView(row: SessionRow, email: string, idle: number): SessionView {
  return Object.freeze({
    id: row.id,
    sid: row.sid ?? row.id,
    email,
    kind: row.kind,
    label: row.label,
    authenticatedAt: row.authenticated_at,
    lastSeenAt: row.last_seen_at,
    expiresAt: Math.min(row.expires_at, row.last_seen_at + idle),
  });
}
