import { type Selectable, sql } from 'kysely';
import type { ClientId, OrganizationId, TrustedIssuerId } from '#kernel';
import { containing, type Reading, type Schema, type Writing } from '#store';

export type TrustedIssuerRow = Selectable<Schema['trusted_issuers']>;

export async function insertTrustedIssuer(tx: Writing, row: Omit<TrustedIssuerRow, 'row' | 'version'>): Promise<void> {
  await tx.db
    .insertInto('trusted_issuers')
    .values({ ...row, version: 1 })
    .execute();
}

export function trustedIssuerBy(tx: Reading, organization: OrganizationId, id: TrustedIssuerId): Promise<TrustedIssuerRow | undefined> {
  return tx.db
    .selectFrom('trusted_issuers')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .executeTakeFirst();
}

/** Every issuer whose assertions a client may present. */
export function trustedIssuersOf(tx: Reading, organization: OrganizationId, client: ClientId): Promise<readonly TrustedIssuerRow[]> {
  return tx.db
    .selectFrom('trusted_issuers')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('client_id', '=', client)
    .orderBy('row')
    .execute();
}

/** Newest first, one row more than asked for. */
export function trustedIssuersPage(
  tx: Reading,
  organization: OrganizationId,
  page: { readonly text: string | undefined; readonly before: number | undefined; readonly limit: number },
): Promise<readonly TrustedIssuerRow[]> {
  let query = tx.db.selectFrom('trusted_issuers').selectAll().where('organization_id', '=', organization);
  if (page.before !== undefined) query = query.where('row', '<', page.before);
  if (page.text !== undefined) {
    const pattern = containing(page.text.toLowerCase());
    query = query.where(sql<boolean>`(lower(issuer) like ${pattern} escape '!' or lower(subjects_json) like ${pattern} escape '!')`);
  }
  return query
    .orderBy('row', 'desc')
    .limit(page.limit + 1)
    .execute();
}

/** True for the one caller that removed it. */
export async function deleteTrustedIssuer(tx: Writing, organization: OrganizationId, id: TrustedIssuerId): Promise<boolean> {
  const { numDeletedRows } = await tx.db
    .deleteFrom('trusted_issuers')
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .executeTakeFirst();
  return numDeletedRows === 1n;
}
