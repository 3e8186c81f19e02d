import type { Insertable, Selectable, Updateable } from 'kysely';
import type { FlowId, OrganizationId } from '#kernel';
import type { Reading, Records, Schema, Writing } from '#store';

export type FlowRow = Selectable<Schema['flows']>;
export type FlowChange = Pick<Updateable<Schema['flows']>, 'status_json' | 'sealed_envelope'>;

export function flowById(tx: Reading, organization: OrganizationId, id: FlowId): Promise<FlowRow | undefined> {
  return tx.db.selectFrom('flows').selectAll().where('organization_id', '=', organization).where('id', '=', id).executeTakeFirst();
}

export async function insertFlow(tx: Writing, row: Insertable<Schema['flows']>): Promise<void> {
  await tx.db.insertInto('flows').values(row).execute();
}

/** Compare-and-swap: true if `version` was still the stored one. */
export async function updateFlow(
  tx: Writing,
  organization: OrganizationId,
  at: { readonly id: FlowId; readonly version: number },
  change: FlowChange,
): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('flows')
    .set({ ...change, version: at.version + 1 })
    .where('organization_id', '=', organization)
    .where('id', '=', at.id)
    .where('version', '=', at.version)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Flows that ended before `before` go, a few at a time. */
export async function removeOldFlows(tx: Writing, organization: OrganizationId, before: number): Promise<void> {
  const old = await tx.db
    .selectFrom('flows')
    .select('row')
    .where('organization_id', '=', organization)
    .where('expires_at', '<', before)
    .limit(20)
    .execute();
  if (old.length === 0) return;
  await tx.db
    .deleteFrom('flows')
    .where('organization_id', '=', organization)
    .where(
      'row',
      'in',
      old.map((flow) => flow.row),
    )
    .execute();
}

/** Flows that hold a sealed value, of every organization, after a row id. */
export function sealedFlows(records: Records, after: number, limit: number): Promise<readonly FlowRow[]> {
  return records
    .platform('re-sealing open connection flows')
    .read((tx) =>
      tx.db
        .selectFrom('flows')
        .selectAll()
        .where('sealed_envelope', 'is not', null)
        .where('row', '>', after)
        .orderBy('row')
        .limit(limit)
        .execute(),
    );
}

/** Puts another envelope of the same value in place; false when the row changed meanwhile. */
export function replaceSealedFlow(records: Records, row: FlowRow, envelope: Uint8Array): Promise<boolean> {
  return records.in(row.organization_id).write((tx) => updateFlow(tx, row.organization_id, row, { sealed_envelope: envelope }));
}
