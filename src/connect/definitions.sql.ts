import type { OrganizationId } from '#kernel';
import type { Reading, Writing } from '#store';

export interface DefinitionRow {
  readonly provider_id: string;
  readonly definition_json: string;
  readonly digest: string;
  readonly version: number;
}

export function definitionsOf(tx: Reading, organization: OrganizationId): Promise<readonly DefinitionRow[]> {
  return tx.db
    .selectFrom('provider_definitions')
    .select(['provider_id', 'definition_json', 'digest', 'version'])
    .where('organization_id', '=', organization)
    .orderBy('provider_id')
    .execute();
}

export interface NewDefinition {
  readonly provider_id: string;
  readonly definition_json: string;
  readonly digest: string;
  readonly at: number;
}

/** @throws {UniqueViolation} when the organization has a definition of this id */
export async function insertDefinition(tx: Writing, organization: OrganizationId, { at, ...row }: NewDefinition): Promise<void> {
  await tx.db
    .insertInto('provider_definitions')
    .values({ ...row, organization_id: organization, created_at: at, updated_at: at, version: 1 })
    .execute();
}

/** Compare-and-swap: true if `version` was still the stored one. */
export async function updateDefinition(
  tx: Writing,
  organization: OrganizationId,
  { at, ...row }: NewDefinition,
  version: number,
): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('provider_definitions')
    .set({ definition_json: row.definition_json, digest: row.digest, updated_at: at, version: version + 1 })
    .where('organization_id', '=', organization)
    .where('provider_id', '=', row.provider_id)
    .where('version', '=', version)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** True if there was one. */
export async function deleteDefinition(tx: Writing, organization: OrganizationId, provider: string): Promise<boolean> {
  const { numDeletedRows } = await tx.db
    .deleteFrom('provider_definitions')
    .where('organization_id', '=', organization)
    .where('provider_id', '=', provider)
    .executeTakeFirst();
  return numDeletedRows === 1n;
}
