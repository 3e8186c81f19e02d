import type { OrganizationId } from '#kernel';
import type { Reading, Writing } from '#store';

/** What an organization has set, as JSON. */
export async function livesOf(tx: Reading, organization: OrganizationId): Promise<string | undefined> {
  const row = await tx.db.selectFrom('issuer_lives').select('lives_json').where('organization_id', '=', organization).executeTakeFirst();
  return row?.lives_json;
}

/** @throws {UniqueViolation} when somebody else set the first ones meanwhile */
export async function storeLives(tx: Writing, organization: OrganizationId, json: string, now: number): Promise<void> {
  const { numUpdatedRows } = await tx.db
    .updateTable('issuer_lives')
    .set(({ eb }) => ({ lives_json: json, updated_at: now, version: eb('version', '+', 1) }))
    .where('organization_id', '=', organization)
    .executeTakeFirst();
  if (numUpdatedRows > 0n) return;
  await tx.db.insertInto('issuer_lives').values({ organization_id: organization, lives_json: json, updated_at: now, version: 1 }).execute();
}
