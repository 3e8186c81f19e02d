import type { Selectable } from 'kysely';
import type { OrganizationId } from '#kernel';
import type { Reading, Schema, Writing } from '#store';

export type RegistrationRow = Selectable<Schema['registrations']>;

export async function insertRegistration(tx: Writing, row: Omit<RegistrationRow, 'row' | 'used_at' | 'version'>): Promise<void> {
  await tx.db
    .insertInto('registrations')
    .values({ ...row, used_at: null, version: 1 })
    .execute();
}

export function registrationBy(tx: Reading, organization: OrganizationId, tokenHash: string): Promise<RegistrationRow | undefined> {
  return tx.db
    .selectFrom('registrations')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('token_hash', '=', tokenHash)
    .executeTakeFirst();
}

/** How many there are, used or not. */
export async function countRegistrations(tx: Reading, organization: OrganizationId): Promise<number> {
  const { count } = await tx.db
    .selectFrom('registrations')
    .select(({ fn }) => fn.countAll<number | string>().as('count'))
    .where('organization_id', '=', organization)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** Times only move forward, and a row that is gone stays so. */
export async function keepRegistration(
  tx: Writing,
  place: { readonly organization: OrganizationId; readonly client: string },
  { usedAt, until }: { readonly usedAt: number | undefined; readonly until: number },
): Promise<void> {
  await tx.db
    .updateTable('registrations')
    .set(({ eb }) => ({ expires_at: until, version: eb('version', '+', 1), ...(usedAt === undefined ? {} : { used_at: usedAt }) }))
    .where('organization_id', '=', place.organization)
    .where('client_id', '=', place.client)
    .where('expires_at', '<', until)
    .execute();
}

/** What nobody used for as long as that is kept; of every organization. */
export function expiredRegistrations(tx: Reading, now: number, limit: number): Promise<readonly RegistrationRow[]> {
  return tx.db.selectFrom('registrations').selectAll().where('expires_at', '<=', now).limit(limit).execute();
}

/** True if it still was as it was read: nobody used it meanwhile. */
export async function deleteRegistration(tx: Writing, { organization_id, client_id, version }: RegistrationRow): Promise<boolean> {
  const { numDeletedRows } = await tx.db
    .deleteFrom('registrations')
    .where('organization_id', '=', organization_id)
    .where('client_id', '=', client_id)
    .where('version', '=', version)
    .executeTakeFirst();
  return numDeletedRows === 1n;
}
