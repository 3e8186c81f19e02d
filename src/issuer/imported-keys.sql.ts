import type { Selectable } from 'kysely';
import type { OrganizationId } from '#kernel';
import type { Reading, Schema, Writing } from '#store';

export type ImportedKeyRow = Selectable<Schema['imported_keys']>;

export function importedKeys(tx: Reading, organization: OrganizationId): Promise<readonly ImportedKeyRow[]> {
  return tx.db.selectFrom('imported_keys').selectAll().where('organization_id', '=', organization).orderBy('row').execute();
}

/** @throws {UniqueViolation} when there is a key of this name */
export async function insertImportedKey(tx: Writing, row: Omit<ImportedKeyRow, 'row'>): Promise<void> {
  await tx.db.insertInto('imported_keys').values(row).execute();
}

/** True for the one caller that removed it. */
export async function deleteImportedKey(tx: Writing, organization: OrganizationId, kid: string): Promise<boolean> {
  const { numDeletedRows } = await tx.db
    .deleteFrom('imported_keys')
    .where('organization_id', '=', organization)
    .where('kid', '=', kid)
    .executeTakeFirst();
  return numDeletedRows === 1n;
}

/** Removes keys that are published no more; of every organization. */
export async function forgetImportedKeys(tx: Writing, now: number, limit: number): Promise<number> {
  const rows = await tx.db.selectFrom('imported_keys').select('row').where('retires_at', '<=', now).limit(limit).execute();
  const ids = rows.map(({ row }) => row);
  if (ids.length > 0) await tx.db.deleteFrom('imported_keys').where('row', 'in', ids).execute();
  return ids.length;
}
