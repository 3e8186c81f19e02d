import { sql } from 'kysely';
import type { OrganizationId } from '#kernel';
import type { Reading, Writing } from '#store';
import type { Organization } from './contract.ts';
import type { PageStart } from './page.ts';

const columns = ['id', 'slug', 'name', 'issuer', 'epoch', 'version'] as const;

export interface OrganizationRow extends Organization {
  readonly version: number;
}

export function organizationBySlug(tx: Reading, slug: string): Promise<OrganizationRow | undefined> {
  return tx.db.selectFrom('organizations').select(columns).where('slug', '=', slug).executeTakeFirst();
}

/** All but one, a page after a row id. */
export function otherOrganizations(tx: Reading, slug: string, after: number, limit: number) {
  return tx.db
    .selectFrom('organizations')
    .select([...columns, 'row'])
    .where('slug', '!=', slug)
    .where('row', '>', after)
    .orderBy('row')
    .limit(limit)
    .execute();
}

/** Newest first, one more than asked for. */
export function organizationsPage(tx: Reading, start: PageStart) {
  let query = tx.db.selectFrom('organizations').select([...columns, 'row']);
  if (start.before !== undefined) query = query.where('row', '<', start.before);
  if (start.like !== undefined) {
    const like = start.like;
    query = query.where(sql<boolean>`(slug like ${like} escape '!' or lower(name) like ${like} escape '!' or id like ${like} escape '!')`);
  }
  return query
    .orderBy('row', 'desc')
    .limit(start.limit + 1)
    .execute();
}

export function organizationById(tx: Reading, id: OrganizationId): Promise<OrganizationRow | undefined> {
  return tx.db.selectFrom('organizations').select(columns).where('id', '=', id).executeTakeFirst();
}

/** @throws {UniqueViolation} when the slug or the issuer is taken */
export async function insertOrganization(tx: Writing, organization: Organization, now: number): Promise<void> {
  await tx.db
    .insertInto('organizations')
    .values({ ...organization, created_at: now, version: 1 })
    .execute();
}

/** True if this was the version that stood. @throws {UniqueViolation} when another organization has the issuer */
export async function updateIssuer(tx: Writing, before: OrganizationRow, issuer: string): Promise<boolean> {
  const result = await tx.db
    .updateTable('organizations')
    .set({ issuer, version: before.version + 1 })
    .where('id', '=', before.id)
    .where('version', '=', before.version)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}

/** Ends everything that was made for any organization until now. */
export async function raiseOrganizations(tx: Writing): Promise<void> {
  await tx.db
    .updateTable('organizations')
    .set((row) => ({ epoch: row('epoch', '+', 1), version: row('version', '+', 1) }))
    .execute();
}

/** Whose an issuer string is or ever was. */
export async function issuerHolder(tx: Reading, issuer: string): Promise<OrganizationId | undefined> {
  const row = await tx.db.selectFrom('organization_issuers').select('organization_id').where('issuer', '=', issuer).executeTakeFirst();
  return row?.organization_id;
}

/** @throws {UniqueViolation} when the issuer was ever taken */
export async function insertIssuer(tx: Writing, id: OrganizationId, issuer: string, now: number): Promise<void> {
  await tx.db.insertInto('organization_issuers').values({ issuer, organization_id: id, created_at: now }).execute();
}
