import type { Selectable } from 'kysely';
import type { OrganizationId } from '#kernel';
import type { Reading, Schema, Writing } from '#store';

export type DetailsTypeRow = Selectable<Schema['authorization_details_types']>;

/** Every type of an organization, oldest first. */
export function detailsTypesOf(tx: Reading, organization: OrganizationId): Promise<readonly DetailsTypeRow[]> {
  return tx.db.selectFrom('authorization_details_types').selectAll().where('organization_id', '=', organization).orderBy('row').execute();
}

/** @throws {UniqueViolation} when the type is registered */
export async function insertDetailsType(tx: Writing, row: Omit<DetailsTypeRow, 'row' | 'version'>): Promise<void> {
  await tx.db
    .insertInto('authorization_details_types')
    .values({ ...row, version: 1 })
    .execute();
}

/** True for the one caller that removed it. */
export async function deleteDetailsType(tx: Writing, organization: OrganizationId, hash: string): Promise<boolean> {
  const { numDeletedRows } = await tx.db
    .deleteFrom('authorization_details_types')
    .where('organization_id', '=', organization)
    .where('type_hash', '=', hash)
    .executeTakeFirst();
  return numDeletedRows === 1n;
}
