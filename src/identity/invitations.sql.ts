import { type Selectable, sql } from 'kysely';
import type { InvitationId, OrganizationId } from '#kernel';
import type { Reading, Schema, Writing } from '#store';
import type { Invitation } from './contract.ts';
import type { PageStart } from './page.ts';

export type InvitationRow = Selectable<Schema['invitations']>;

export function invitationOf(row: InvitationRow): Invitation {
  return Object.freeze({ id: row.id, email: row.email, role: row.role, createdAt: row.created_at, expiresAt: row.expires_at });
}

/** @throws {UniqueViolation} when the value of the link was used before */
export async function insertInvitation(tx: Writing, row: Omit<InvitationRow, 'row' | 'ended_at' | 'version'>): Promise<void> {
  await tx.db
    .insertInto('invitations')
    .values({ ...row, ended_at: null, version: 1 })
    .execute();
}

export function openInvitation(tx: Reading, organization: OrganizationId, tokenHash: string, now: number) {
  return tx.db
    .selectFrom('invitations')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('token_hash', '=', tokenHash)
    .where('ended_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
}

/** Newest first, one more than asked for. */
export function invitationsPage(tx: Reading, organization: OrganizationId, now: number, start: PageStart) {
  let query = tx.db
    .selectFrom('invitations')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('ended_at', 'is', null)
    .where('expires_at', '>', now);
  if (start.before !== undefined) query = query.where('row', '<', start.before);
  if (start.like !== undefined)
    query = query.where(sql<boolean>`(lower(email) like ${start.like} escape '!' or id like ${start.like} escape '!')`);
  return query
    .orderBy('row', 'desc')
    .limit(start.limit + 1)
    .execute();
}

/** True for the one caller that spent or withdrew it. */
export async function endInvitation(tx: Writing, organization: OrganizationId, id: InvitationId, now: number): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('invitations')
    .set(({ eb }) => ({ ended_at: now, version: eb('version', '+', 1) }))
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}
