import type { Insertable, Selectable } from 'kysely';
import type { OrganizationId } from '#kernel';
import type { Reading, Records, Schema, Writing } from '#store';

export type ClientRow = Selectable<Schema['provider_clients']>;
export type NewClientRow = Omit<Insertable<Schema['provider_clients']>, 'row' | 'version'>;

export function clientOf(tx: Reading, organization: OrganizationId, provider: string): Promise<ClientRow | undefined> {
  return tx.db
    .selectFrom('provider_clients')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('provider_id', '=', provider)
    .executeTakeFirst();
}

/** @throws {UniqueViolation} when the organization has a client at this provider */
export async function insertClient(tx: Writing, row: NewClientRow): Promise<void> {
  await tx.db
    .insertInto('provider_clients')
    .values({ ...row, version: 1 })
    .execute();
}

/** Compare-and-swap: true if `version` was still the stored one. */
export async function updateClient(tx: Writing, row: NewClientRow, version: number): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('provider_clients')
    .set({ client_id: row.client_id, secret_envelope: row.secret_envelope, source: row.source, version: version + 1 })
    .where('organization_id', '=', row.organization_id)
    .where('provider_id', '=', row.provider_id)
    .where('version', '=', version)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Clients that hold a sealed value, of every organization, after a row id. */
export function sealedClients(records: Records, after: number, limit: number): Promise<readonly ClientRow[]> {
  return records
    .platform('re-sealing clients at providers')
    .read((tx) =>
      tx.db
        .selectFrom('provider_clients')
        .selectAll()
        .where('secret_envelope', 'is not', null)
        .where('row', '>', after)
        .orderBy('row')
        .limit(limit)
        .execute(),
    );
}

/** Puts another envelope of the same value in place; false when the row changed meanwhile. */
export function replaceSealedClient(records: Records, row: ClientRow, envelope: Uint8Array): Promise<boolean> {
  return records.in(row.organization_id).write((tx) => updateClient(tx, { ...withoutKeys(row), secret_envelope: envelope }, row.version));
}

function withoutKeys(row: ClientRow): NewClientRow {
  const { row: _row, version: _version, ...rest } = row;
  return rest;
}
