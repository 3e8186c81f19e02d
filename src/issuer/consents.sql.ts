import type { Selectable } from 'kysely';
import type { ClientId, UserId } from '#kernel';
import type { Reading, Schema, Writing } from '#store';

export type ConsentRow = Selectable<Schema['consents']>;

export function consentAbout(tx: Reading, hash: string): Promise<ConsentRow | undefined> {
  return tx.db.selectFrom('consents').selectAll().where('about_hash', '=', hash).executeTakeFirst();
}

/** @throws {UniqueViolation} when somebody else stored it meanwhile */
export async function insertConsent(tx: Writing, row: Omit<ConsentRow, 'row' | 'version'>): Promise<void> {
  await tx.db
    .insertInto('consents')
    .values({ ...row, version: 1 })
    .execute();
}

/** What a person agreed to for a client, at any redirect host. */
export async function forgetConsents(tx: Writing, user: UserId, client: ClientId): Promise<void> {
  await tx.db.deleteFrom('consents').where('user_id', '=', user).where('client_id', '=', client).execute();
}

/** What anybody agreed to for a client. */
export async function forgetConsentsOf(tx: Writing, client: string): Promise<void> {
  await tx.db
    .deleteFrom('consents')
    .where('client_id', '=', client as ClientId)
    .execute();
}

/** True if `before` was still the stored version. */
export async function widenConsent(
  tx: Writing,
  before: ConsentRow,
  change: Pick<ConsentRow, 'scopes_json' | 'resources_json' | 'details_json' | 'declined_json'>,
): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('consents')
    .set({ ...change, version: before.version + 1 })
    .where('id', '=', before.id)
    .where('version', '=', before.version)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}
