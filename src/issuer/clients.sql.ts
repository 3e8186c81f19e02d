import { type ExpressionBuilder, type Selectable, sql } from 'kysely';
import type { ClientSecretId, OrganizationId } from '#kernel';
import { containing, type Reading, type Schema, type Writing } from '#store';

export type ClientRow = Selectable<Schema['clients']>;
export type SecretRow = Selectable<Schema['client_secrets']>;

export async function insertClient(tx: Writing, row: Omit<ClientRow, 'row' | 'ended_at' | 'version'>): Promise<void> {
  await tx.db
    .insertInto('clients')
    .values({ ...row, ended_at: null, version: 1 })
    .execute();
}

export function livingClient(tx: Reading, organization: OrganizationId, id: string): Promise<ClientRow | undefined> {
  return tx.db
    .selectFrom('clients')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
}

/** Also when it has ended. */
export function clientRow(tx: Reading, organization: OrganizationId, id: string): Promise<ClientRow | undefined> {
  return tx.db.selectFrom('clients').selectAll().where('organization_id', '=', organization).where('id', '=', id).executeTakeFirst();
}

/** Newest first, one row more than asked for. */
export function clientsPage(
  tx: Reading,
  organization: OrganizationId,
  page: { readonly text: string | undefined; readonly before: number | undefined; readonly limit: number },
): Promise<readonly ClientRow[]> {
  let query = tx.db.selectFrom('clients').selectAll().where('organization_id', '=', organization).where('ended_at', 'is', null);
  const { text, before } = page;
  if (text !== undefined) query = query.where((where) => holds(where, text));
  if (before !== undefined) query = query.where('row', '<', before);
  return query
    .orderBy('row', 'desc')
    .limit(page.limit + 1)
    .execute();
}

function holds(where: ExpressionBuilder<Schema, 'clients'>, text: string) {
  const pattern = containing(text.toLowerCase());
  const columns = ['name', 'id', 'metadata_json'] as const;
  return where.or(columns.map((column) => sql<boolean>`lower(${sql.ref(column)}) like ${pattern} escape '!'`));
}

/** True if it still was as it was read. */
export async function changeClient(
  tx: Writing,
  { organization_id, id, version }: ClientRow,
  changed: Pick<ClientRow, 'name' | 'authentication' | 'metadata_json'>,
): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('clients')
    .set({ ...changed, version: version + 1 })
    .where('organization_id', '=', organization_id)
    .where('id', '=', id)
    .where('version', '=', version)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Removes it with its secrets, without a trace. */
export async function deleteClient(tx: Writing, organization: OrganizationId, id: string): Promise<void> {
  await tx.db.deleteFrom('client_secrets').where('organization_id', '=', organization).where('client_id', '=', id).execute();
  await tx.db.deleteFrom('clients').where('organization_id', '=', organization).where('id', '=', id).execute();
}

/** True for the one caller that ended it. */
export async function endClient(tx: Writing, organization: OrganizationId, id: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('clients')
    .set(({ eb }) => ({ ended_at: now, version: eb('version', '+', 1) }))
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export function secretsOf(tx: Reading, organization: OrganizationId, clients: readonly string[]): Promise<readonly SecretRow[]> {
  if (clients.length === 0) return Promise.resolve([]);
  return tx.db
    .selectFrom('client_secrets')
    .selectAll()
    .where('organization_id', '=', organization)
    .where('client_id', 'in', clients)
    .where('ended_at', 'is', null)
    .orderBy('row')
    .execute();
}

/** @throws {UniqueViolation} when a client has this very secret */
export async function insertSecret(tx: Writing, row: Omit<SecretRow, 'row' | 'ended_at'>): Promise<void> {
  await tx.db
    .insertInto('client_secrets')
    .values({ ...row, ended_at: null })
    .execute();
}

/** True for the one caller that ended it. */
export async function endSecret(
  tx: Writing,
  client: { readonly organization: OrganizationId; readonly id: string },
  id: ClientSecretId,
  now: number,
): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('client_secrets')
    .set({ ended_at: now })
    .where('organization_id', '=', client.organization)
    .where('client_id', '=', client.id)
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export async function endSecretsOf(tx: Writing, organization: OrganizationId, client: string, now: number): Promise<void> {
  await tx.db
    .updateTable('client_secrets')
    .set({ ended_at: now })
    .where('organization_id', '=', organization)
    .where('client_id', '=', client)
    .where('ended_at', 'is', null)
    .execute();
}
