import { type Insertable, type Selectable, sql } from 'kysely';
import type { OrganizationId, UpstreamId } from '#kernel';
import type { Reading, Records, Schema, Writing } from '#store';

export type UpstreamRow = Selectable<Schema['upstreams']>;
export type NewUpstreamRow = Omit<Insertable<Schema['upstreams']>, 'row' | 'version'>;

export function upstreamBy(
  tx: Reading,
  organization: OrganizationId,
  column: 'id' | 'name',
  value: string,
): Promise<UpstreamRow | undefined> {
  return tx.db
    .selectFrom('upstreams')
    .selectAll()
    .where('organization_id', '=', organization)
    .where(sql.ref<string>(column), '=', value)
    .executeTakeFirst();
}

/** Every one of an organization, oldest first: as its buttons stand. */
export function upstreamsOf(tx: Reading, organization: OrganizationId, most: number): Promise<readonly UpstreamRow[]> {
  return tx.db.selectFrom('upstreams').selectAll().where('organization_id', '=', organization).orderBy('row').limit(most).execute();
}

/** Newest first, one row more than asked for; `like` is a pattern for `like … escape '!'`, lower case. */
export function upstreamsPage(
  tx: Reading,
  organization: OrganizationId,
  page: { readonly before: number | undefined; readonly limit: number; readonly like: string | undefined },
): Promise<readonly UpstreamRow[]> {
  let query = tx.db.selectFrom('upstreams').selectAll().where('organization_id', '=', organization);
  if (page.before !== undefined) query = query.where('row', '<', page.before);
  if (page.like !== undefined) {
    const { like } = page;
    query = query.where(
      sql<boolean>`(name like ${like} escape '!' or lower(label) like ${like} escape '!' or lower(issuer) like ${like} escape '!')`,
    );
  }
  return query
    .orderBy('row', 'desc')
    .limit(page.limit + 1)
    .execute();
}

/** @throws {UniqueViolation} when there is one of that name */
export async function insertUpstream(tx: Writing, row: NewUpstreamRow): Promise<void> {
  await tx.db
    .insertInto('upstreams')
    .values({ ...row, version: 1 })
    .execute();
}

/** Compare-and-swap: true if `version` was still the stored one. */
export async function updateUpstream(tx: Writing, row: NewUpstreamRow, version: number): Promise<boolean> {
  const { id, organization_id: organization, created_at: _, ...rest } = row;
  const { numUpdatedRows } = await tx.db
    .updateTable('upstreams')
    .set({ ...rest, version: version + 1 })
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .where('version', '=', version)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Whether it stands; nobody removes it before this transaction has ended. */
export async function holdUpstream(tx: Writing, organization: OrganizationId, id: UpstreamId): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('upstreams')
    .set(({ ref }) => ({ version: ref('version') }))
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** True for the one caller that removed it. */
export async function deleteUpstream(tx: Writing, organization: OrganizationId, id: UpstreamId): Promise<boolean> {
  const { numDeletedRows } = await tx.db
    .deleteFrom('upstreams')
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .executeTakeFirst();
  return numDeletedRows === 1n;
}

/** Those that hold a sealed value, of every organization, after a row id. */
export function sealedUpstreams(records: Records, after: number, limit: number): Promise<readonly UpstreamRow[]> {
  return records
    .platform('re-sealing clients at upstream identity providers')
    .read((tx) =>
      tx.db
        .selectFrom('upstreams')
        .selectAll()
        .where('client_envelope', 'is not', null)
        .where('row', '>', after)
        .orderBy('row')
        .limit(limit)
        .execute(),
    );
}

/** Puts another envelope of the same value in place; false when the row changed meanwhile. */
export function replaceSealedUpstream(records: Records, row: UpstreamRow, envelope: Uint8Array): Promise<boolean> {
  return records.in(row.organization_id).write(async (tx) => {
    const { numUpdatedRows } = await tx.db
      .updateTable('upstreams')
      .set({ client_envelope: envelope })
      .where('organization_id', '=', row.organization_id)
      .where('id', '=', row.id)
      .where('version', '=', row.version)
      .where('client_envelope', '=', row.client_envelope)
      .executeTakeFirst();
    return numUpdatedRows === 1n;
  });
}
