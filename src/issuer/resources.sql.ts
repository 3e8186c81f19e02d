import { type ExpressionBuilder, type Selectable, sql } from 'kysely';
import type { OrganizationId, ResourceId } from '#kernel';
import { containing, type Reading, type Schema, type Writing } from '#store';

export type ResourceRow = Selectable<Schema['resources']>;

/** Every resource of an organization, oldest first. */
export function resourcesOf(tx: Reading, organization: OrganizationId): Promise<readonly ResourceRow[]> {
  return tx.db.selectFrom('resources').selectAll().where('organization_id', '=', organization).orderBy('row').execute();
}

/** Newest first, one row more than asked for. */
export function resourcesPage(
  tx: Reading,
  organization: OrganizationId,
  page: { readonly text: string | undefined; readonly before: number | undefined; readonly limit: number },
): Promise<readonly ResourceRow[]> {
  const { text, before } = page;
  let query = tx.db.selectFrom('resources').selectAll().where('organization_id', '=', organization);
  if (before !== undefined) query = query.where('row', '<', before);
  if (text !== undefined) query = query.where((where) => holds(where, text));
  return query
    .orderBy('row', 'desc')
    .limit(page.limit + 1)
    .execute();
}

function holds(where: ExpressionBuilder<Schema, 'resources'>, text: string) {
  const pattern = containing(text.toLowerCase());
  return where.or([
    sql<boolean>`lower(identifier) like ${pattern} escape '!'`,
    sql<boolean>`lower(name) like ${pattern} escape '!'`,
    sql<boolean>`lower(scopes_json) like ${pattern} escape '!'`,
  ]);
}

/** @throws {UniqueViolation} when the identifier is registered */
export async function insertResource(tx: Writing, row: Omit<ResourceRow, 'row' | 'version'>): Promise<void> {
  await tx.db
    .insertInto('resources')
    .values({ ...row, version: 1 })
    .execute();
}

type Changeable = Pick<ResourceRow, 'name' | 'scopes_json' | 'token_format' | 'algorithm' | 'is_open'>;

/** True for the one caller that changed this version of it. */
export async function changeResource(
  tx: Writing,
  place: { readonly organization: OrganizationId; readonly id: ResourceId; readonly version: number },
  changed: Changeable,
): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('resources')
    .set({ ...changed, version: place.version + 1 })
    .where('organization_id', '=', place.organization)
    .where('id', '=', place.id)
    .where('version', '=', place.version)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** True for the one caller that removed it. */
export async function deleteResource(tx: Writing, organization: OrganizationId, id: ResourceId): Promise<boolean> {
  const { numDeletedRows } = await tx.db
    .deleteFrom('resources')
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .executeTakeFirst();
  return numDeletedRows === 1n;
}
