import type { Insertable, Selectable } from 'kysely';
import type { OrganizationId, SignInMethodId, UserId } from '#kernel';
import type { Reading, Schema, Writing } from '#store';

export type MethodRow = Selectable<Schema['sign_in_methods']>;
export type NewMethodRow = Omit<Insertable<Schema['sign_in_methods']>, 'row' | 'version'>;

/** By whose word it is and what that names. */
export function methodOf(
  tx: Reading,
  organization: OrganizationId,
  authority: string,
  subjectHash: string,
): Promise<MethodRow | undefined> {
  return tx.db
    .selectFrom('sign_in_methods')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('authority', '=', authority)
    .where('subject_hash', '=', subjectHash)
    .executeTakeFirst();
}

/** Of one person, oldest first. */
export function methodsOf(tx: Reading, organization: OrganizationId, user: UserId): Promise<readonly MethodRow[]> {
  return tx.db
    .selectFrom('sign_in_methods')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('user_id', '=', user)
    .orderBy('row')
    .execute();
}

export async function countMethods(tx: Reading, organization: OrganizationId, authority: string): Promise<number> {
  const { count } = await tx.db
    .selectFrom('sign_in_methods')
    .select(({ fn }) => fn.countAll<number | string | bigint>().as('count'))
    .where('organization_id', '=', organization)
    .where('authority', '=', authority)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** @throws {UniqueViolation} when somebody signs in with it already */
export async function insertMethod(tx: Writing, row: NewMethodRow): Promise<void> {
  await tx.db
    .insertInto('sign_in_methods')
    .values({ ...row, version: 1 })
    .execute();
}

/** Whether it stands; marks it as used, only ever forward. */
export async function useMethod(tx: Writing, row: Pick<MethodRow, 'id' | 'organization_id' | 'used_at'>, now: number): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('sign_in_methods')
    .set(({ eb }) => ({
      used_at: eb.case().when('used_at', '<', now).then(now).else(eb.ref('used_at')).end(),
      version: eb('version', '+', 1),
    }))
    .where('organization_id', '=', row.organization_id)
    .where('id', '=', row.id)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** True for the one caller that ended it. */
export async function deleteMethod(tx: Writing, organization: OrganizationId, user: UserId, id: SignInMethodId): Promise<boolean> {
  const { numDeletedRows } = await tx.db
    .deleteFrom('sign_in_methods')
    .where('organization_id', '=', organization)
    .where('user_id', '=', user)
    .where('id', '=', id)
    .executeTakeFirst();
  return numDeletedRows === 1n;
}

/** Of those that rest on this word, so many at most; whose each was. */
export async function deleteSomeMethodsOf(
  tx: Writing,
  organization: OrganizationId,
  authority: string,
  most: number,
): Promise<readonly UserId[]> {
  const rows = await tx.db
    .selectFrom('sign_in_methods')
    .select(['id', 'user_id'])
    .where('organization_id', '=', organization)
    .where('authority', '=', authority)
    .limit(most)
    .execute();
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  await tx.db.deleteFrom('sign_in_methods').where('organization_id', '=', organization).where('id', 'in', ids).execute();
  return rows.map(({ user_id }) => user_id);
}
