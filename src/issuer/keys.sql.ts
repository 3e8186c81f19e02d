import type { Selectable } from 'kysely';
import type { OrganizationId, SigningKeyId } from '#kernel';
import type { TokenAlgorithmName } from '#oauth';
import type { Reading, Records, Schema, Writing } from '#store';

export type SigningKeyRow = Selectable<Schema['signing_keys']>;

export interface NewSigningKey {
  readonly id: SigningKeyId;
  readonly organization: OrganizationId;
  readonly algorithm: TokenAlgorithmName;
  readonly sequence: number;
  readonly publicJwk: Readonly<Record<string, string>>;
  readonly envelope: Uint8Array;
  readonly createdAt: number;
  readonly signsFrom: number;
}

/** An organization's keys, oldest first. */
export function signingKeys(tx: Reading, organization: OrganizationId): Promise<readonly SigningKeyRow[]> {
  return tx.db
    .selectFrom('signing_keys')
    .selectAll()
    .where('organization_id', '=', organization)
    .orderBy('algorithm')
    .orderBy('sequence')
    .execute();
}

/** @throws {UniqueViolation} when somebody else made the key of this sequence */
export async function insertSigningKey(tx: Writing, key: NewSigningKey): Promise<void> {
  await tx.db
    .insertInto('signing_keys')
    .values({
      id: key.id,
      organization_id: key.organization,
      created_at: key.createdAt,
      algorithm: key.algorithm,
      sequence: key.sequence,
      public_jwk_json: JSON.stringify(key.publicJwk),
      key_envelope: key.envelope,
      signs_from: key.signsFrom,
      version: 1,
    })
    .execute();
}

export async function deleteSigningKeys(tx: Writing, ids: readonly SigningKeyId[]): Promise<void> {
  if (ids.length > 0) await tx.db.deleteFrom('signing_keys').where('id', 'in', ids).execute();
}

/** Who has keys. */
export async function organizationsWithKeys(tx: Reading): Promise<readonly OrganizationId[]> {
  const rows = await tx.db.selectFrom('signing_keys').select('organization_id').distinct().execute();
  return rows.map((row) => row.organization_id);
}

/** Keys of every organization, after a row id, for a rotation that seals everything again. */
export function sealedSigningKeys(records: Records, after: number, limit: number): Promise<readonly SigningKeyRow[]> {
  return records
    .platform('re-sealing signing keys')
    .read((tx) => tx.db.selectFrom('signing_keys').selectAll().where('row', '>', after).orderBy('row').limit(limit).execute());
}

/** Puts another envelope of the same key in place; false when the row changed meanwhile. */
export async function replaceSealedKey(records: Records, row: SigningKeyRow, envelope: Uint8Array): Promise<boolean> {
  const { numUpdatedRows } = await records.in(row.organization_id).write((tx) =>
    tx.db
      .updateTable('signing_keys')
      .set({ key_envelope: envelope, version: row.version + 1 })
      .where('id', '=', row.id)
      .where('version', '=', row.version)
      .executeTakeFirst(),
  );
  return numUpdatedRows === 1n;
}
