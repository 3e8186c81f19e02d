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

/** Only ever forward. */
export async function touchSession(tx: Writing, organization: OrganizationId, id: SessionId, now: number): Promise<void> {
  await tx.db
    .updateTable('sessions')
    .set({ last_seen_at: now })
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .where('last_seen_at', '<', now)
    .execute();
}

/** True if the session still stood. */
export async function authenticateSession(tx: Writing, organization: OrganizationId, id: SessionId, now: number): Promise<boolean> {
  const result = await tx.db
    .updateTable('sessions')
    .set(({ eb }) => ({ authenticated_at: now, last_seen_at: now, amr: authenticationMethods.password, version: eb('version', '+', 1) }))
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
