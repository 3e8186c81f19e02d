import { sql } from 'kysely';
import type { OrganizationId, SessionId, UserId } from '#kernel';
import type { Reading, Writing } from '#store';
import { authenticationMethods } from './authentication-methods.ts';

const columns = [
  'id',
  'organization_id',
  'user_id',
  'kind',
  'authenticated_at',
  'last_seen_at',
  'expires_at',
  'user_epoch',
  'amr',
  'label',
  'sid',
  'created_at',
  'version',
] as const;

export interface SessionRow {
  readonly id: SessionId;
  readonly organization_id: OrganizationId;
  readonly user_id: UserId;
  readonly kind: 'browser' | 'command_line';
  readonly authenticated_at: number;
  readonly last_seen_at: number;
  readonly expires_at: number;
  readonly user_epoch: number;
  readonly amr: string | null;
  readonly label: string;
  readonly sid: string | null;
  readonly created_at: number;
  readonly version: number;
}

/** A session that has not been ended; its times are the caller's to judge. */
export function sessionByToken(tx: Reading, tokenHash: string): Promise<SessionRow | undefined> {
  return tx.db.selectFrom('sessions').select(columns).where('token_hash', '=', tokenHash).where('ended_at', 'is', null).executeTakeFirst();
}

export function sessionById(tx: Reading, organization: OrganizationId, id: SessionId): Promise<SessionRow | undefined> {
  return tx.db
    .selectFrom('sessions')
    .select(columns)
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
}

/** A session by the name that clients know it by, while it stands. */
export function standingSession(tx: Reading, organization: OrganizationId, sid: string): Promise<SessionRow | undefined> {
  return tx.db
    .selectFrom('sessions')
    .select(columns)
    .where('organization_id', '=', organization)
    .where((row) => row.or([row('sid', '=', sid), row.and([row('id', '=', sid as SessionId), row('sid', 'is', null)])]))
    .where('ended_at', 'is', null)
    .orderBy('row', 'desc')
    .executeTakeFirst();
}

export function sessionsOf(tx: Reading, organization: OrganizationId, user: UserId): Promise<readonly SessionRow[]> {
  return tx.db
    .selectFrom('sessions')
    .select(columns)
    .where('organization_id', '=', organization)
    .where('user_id', '=', user)
    .where('ended_at', 'is', null)
    .orderBy('row', 'desc')
    .execute();
}

export interface StandingPage {
  readonly user: UserId | undefined;
  readonly id: SessionId | undefined;
  readonly before: number | undefined;
  /** A pattern for `like … escape '!'`, lower-case. */
  readonly like: string | undefined;
  readonly limit: number;
  readonly now: number;
  readonly seenAfter: number;
}

/** Sessions that stand, of active people, newest first; one more than asked for. */
export function standingPage(tx: Reading, organization: OrganizationId, { user, id, before, like, limit, now, seenAfter }: StandingPage) {
  let query = tx.db
    .selectFrom('sessions')
    .innerJoin('users', 'users.id', 'sessions.user_id')
    .select([...columns.map((name) => `sessions.${name}` as const), 'sessions.row', 'users.email'])
    .where('sessions.organization_id', '=', organization)
    .where('sessions.ended_at', 'is', null)
    .where('sessions.expires_at', '>', now)
    .where('sessions.last_seen_at', '>', seenAfter)
    .where('users.status', '=', 'active')
    .whereRef('users.epoch', '=', 'sessions.user_epoch');
  if (user !== undefined) query = query.where('sessions.user_id', '=', user);
  if (id !== undefined) query = query.where('sessions.id', '=', id);
  if (before !== undefined) query = query.where('sessions.row', '<', before);
  if (like !== undefined)
    query = query.where(
      sql<boolean>`(users.email_key like ${like} escape '!' or lower(sessions.label) like ${like} escape '!' or sessions.id like ${like} escape '!')`,
    );
  return query
    .orderBy('sessions.row', 'desc')
    .limit(limit + 1)
    .execute();
}

export interface SessionSecrets {
  readonly tokenHash: string;
  readonly madeFrom: string | undefined;
}

/** @throws {UniqueViolation} when a session was made from the same single-use value */
export async function insertSession(tx: Writing, session: SessionRow, secrets: SessionSecrets): Promise<void> {
  await tx.db
    .insertInto('sessions')
    .values({ ...session, token_hash: secrets.tokenHash, made_from: secrets.madeFrom ?? null, ended_at: null })
    .execute();
}

/** True for the one caller that ended it. */
export async function endSession(tx: Writing, organization: OrganizationId, id: SessionId, now: number): Promise<boolean> {
  const result = await tx.db
    .updateTable('sessions')
    .set({ ended_at: now })
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

/** Ends every session of everybody, in the caller's transaction on the platform; how many. */
export async function endEverySession(tx: Writing, now: number): Promise<number> {
  await tx.bump('revocations');
  const { numUpdatedRows } = await tx.db
    .updateTable('sessions')
    .set({ ended_at: now })
    .where('ended_at', 'is', null)
    .executeTakeFirstOrThrow();
  return Number(numUpdatedRows);
}

/** Only ever forward, and only where nobody wrote it since `unless`: of many processes that see it, one writes. */
export async function touchSession(tx: Writing, organization: OrganizationId, id: SessionId, now: number, unless: number): Promise<void> {
  await tx.db
    .updateTable('sessions')
    .set({ last_seen_at: now })
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .where('last_seen_at', '<=', unless)
    .execute();
}

/** True if the session still stood. */
export async function authenticateSession(tx: Writing, organization: OrganizationId, id: SessionId, now: number): Promise<boolean> {
  const result = await tx.db
    .updateTable('sessions')
    .set(({ eb }) => ({
      authenticated_at: now,
      last_seen_at: sql<number>`case when last_seen_at > ${now} then last_seen_at else ${now} end`,
      amr: authenticationMethods.password,
      version: eb('version', '+', 1),
    }))
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

/** Removes sessions that nobody can use any more. */
export async function deleteSessionsBefore(tx: Writing, time: number): Promise<number> {
  const result = await tx.db.deleteFrom('sessions').where('expires_at', '<', time).executeTakeFirst();
  return Number(result.numDeletedRows);
}
