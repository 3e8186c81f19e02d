import { type Insertable, type Selectable, sql, type Updateable } from 'kysely';
import type { ConnectionId, OrganizationId, VaultId } from '#kernel';
import { containing, type Reading, type Records, type Schema, type Writing } from '#store';

export type ConnectionRow = Selectable<Schema['connections']>;
export type NewConnectionRow = Insertable<Schema['connections']>;
export type ConnectionChange = Omit<Updateable<Schema['connections']>, 'id' | 'row' | 'version' | 'organization_id'>;

export function connectionById(tx: Reading, organization: OrganizationId, id: ConnectionId): Promise<ConnectionRow | undefined> {
  return tx.db.selectFrom('connections').selectAll().where('organization_id', '=', organization).where('id', '=', id).executeTakeFirst();
}

export interface ConnectionName {
  readonly organization: OrganizationId;
  readonly vault: VaultId;
  readonly provider: string;
  readonly name: string;
}

/** The live connection of this name. */
export function connectionByName(tx: Reading, at: ConnectionName): Promise<ConnectionRow | undefined> {
  return tx.db
    .selectFrom('connections')
    .selectAll()
    .where('organization_id', '=', at.organization)
    .where('vault_id', '=', at.vault)
    .where('provider_id', '=', at.provider)
    .where('name', '=', at.name)
    .where('live', '=', 1)
    .executeTakeFirst();
}

/** Live connections of a provider in this vault or shared with everyone: what `candidates` chooses from. */
export function visibleConnections(
  tx: Reading,
  organization: OrganizationId,
  vaults: readonly VaultId[],
  provider: string,
): Promise<readonly ConnectionRow[]> {
  return tx.db
    .selectFrom('connections')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('provider_id', '=', provider)
    .where('live', '=', 1)
    .where(({ or, eb }) => or([eb('vault_id', 'in', [...vaults, '' as VaultId]), eb('shared', '=', 1)]))
    .execute();
}

/** Live connections of a provider in one vault. */
export function connectionsInVault(
  tx: Reading,
  organization: OrganizationId,
  vault: VaultId,
  provider: string,
): Promise<readonly ConnectionRow[]> {
  return tx.db
    .selectFrom('connections')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('vault_id', '=', vault)
    .where('provider_id', '=', provider)
    .where('live', '=', 1)
    .execute();
}

export interface ConnectionSearch {
  readonly vaults: readonly VaultId[];
  readonly provider?: string | undefined;
  readonly status?: string | undefined;
  readonly text?: string | undefined;
  readonly after?: number | undefined;
  readonly limit: number;
}

export function searchConnections(tx: Reading, organization: OrganizationId, search: ConnectionSearch): Promise<readonly ConnectionRow[]> {
  let query = tx.db
    .selectFrom('connections')
    .selectAll()
    .where('organization_id', '=', organization)
    .where(({ or, eb }) => or([eb('vault_id', 'in', [...search.vaults, '' as VaultId]), eb('shared', '=', 1)]));
  if (search.provider !== undefined) query = query.where('provider_id', '=', search.provider);
  if (search.status !== undefined) query = query.where('status_json', 'like', `{"kind":"${search.status}"%`);
  if (search.after !== undefined) query = query.where('row', '>', search.after);
  if (search.text !== undefined) {
    const like = containing(search.text.toLowerCase());
    query = query.where(
      sql<boolean>`(provider_id like ${like} escape '!' or name like ${like} escape '!' or lower(account_json) like ${like} escape '!')`,
    );
  }
  return query.orderBy('row').limit(search.limit).execute();
}

/** @throws {UniqueViolation} on `connections.name` when a live connection has this name */
export async function insertConnection(tx: Writing, row: NewConnectionRow): Promise<void> {
  await tx.db.insertInto('connections').values(row).execute();
}

/** Compare-and-swap: true if `version` was still the stored one. */
export async function updateConnection(
  tx: Writing,
  organization: OrganizationId,
  at: { readonly id: ConnectionId; readonly version: number },
  change: ConnectionChange,
): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('connections')
    .set({ ...change, version: at.version + 1 })
    .where('organization_id', '=', organization)
    .where('id', '=', at.id)
    .where('version', '=', at.version)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Rows that hold a sealed value of their own, of every organization, after a row id. */
export function pendingEnvelopes(records: Records, after: number, limit: number): Promise<readonly ConnectionRow[]> {
  return records
    .platform('re-sealing credentials that wait to be moved into their vault')
    .read((tx) =>
      tx.db
        .selectFrom('connections')
        .selectAll()
        .where('pending_envelope', 'is not', null)
        .where('row', '>', after)
        .orderBy('row')
        .limit(limit)
        .execute(),
    );
}

/** Puts another envelope of the same value in place; false when the row changed meanwhile. */
export function replacePending(records: Records, row: ConnectionRow, envelope: Uint8Array): Promise<boolean> {
  return records.in(row.organization_id).write((tx) => updateConnection(tx, row.organization_id, row, { pending_envelope: envelope }));
}
