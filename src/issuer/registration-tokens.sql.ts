import { type Selectable, sql } from 'kysely';
import type { OrganizationId, RegistrationTokenId } from '#kernel';
import { containing, type Reading, type Schema, type Writing } from '#store';

export type RegistrationTokenRow = Selectable<Schema['registration_tokens']>;

/** @throws {UniqueViolation} when there is this very token */
export async function insertRegistrationToken(
  tx: Writing,
  row: Omit<RegistrationTokenRow, 'row' | 'used_at' | 'ended_at' | 'version'>,
): Promise<void> {
  await tx.db
    .insertInto('registration_tokens')
    .values({ ...row, used_at: null, ended_at: null, version: 1 })
    .execute();
}

function standing(tx: Reading, organization: OrganizationId) {
  return tx.db.selectFrom('registration_tokens').selectAll().where('organization_id', '=', organization).where('ended_at', 'is', null);
}

export function registrationTokenBy(
  tx: Reading,
  organization: OrganizationId,
  column: 'id' | 'token_hash',
  value: string,
): Promise<RegistrationTokenRow | undefined> {
  return standing(tx, organization)
    .where(column, '=', value as RegistrationTokenId)
    .executeTakeFirst();
}

/** Newest first, one row more than asked for. */
export function registrationTokensPage(
  tx: Reading,
  organization: OrganizationId,
  page: { readonly text: string | undefined; readonly before: number | undefined; readonly limit: number },
): Promise<readonly RegistrationTokenRow[]> {
  let query = standing(tx, organization);
  if (page.before !== undefined) query = query.where('row', '<', page.before);
  if (page.text !== undefined) query = query.where(sql<boolean>`lower(name) like ${containing(page.text.toLowerCase())} escape '!'`);
  return query
    .orderBy('row', 'desc')
    .limit(page.limit + 1)
    .execute();
}

/** Takes one use of it; false when there is none left, or it has expired or ended. */
export async function useRegistrationToken(
  tx: Writing,
  organization: OrganizationId,
  id: RegistrationTokenId,
  now: number,
): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('registration_tokens')
    .set(({ eb }) => ({ uses_left: eb('uses_left', '-', 1), used_at: now, version: eb('version', '+', 1) }))
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .where(({ or, eb }) => or([eb('uses_left', 'is', null), eb('uses_left', '>', 0)]))
    .where(({ or, eb }) => or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** True for the one caller that ended it. */
export async function endRegistrationToken(
  tx: Writing,
  organization: OrganizationId,
  id: RegistrationTokenId,
  now: number,
): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('registration_tokens')
    .set(({ eb }) => ({ ended_at: now, version: eb('version', '+', 1) }))
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}
