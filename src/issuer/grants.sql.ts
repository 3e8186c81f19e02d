import { type ExpressionBuilder, type Selectable, sql } from 'kysely';
import type { ClientId, GrantId, UserId } from '#kernel';
import { containing, type Reading, type Schema, type Writing } from '#store';
import type { Grant, GrantFacts } from './contract.ts';

export type GrantRow = Selectable<Schema['grants']>;

export async function insertGrant(tx: Writing, grant: Grant, now: number): Promise<void> {
  await tx.db
    .insertInto('grants')
    .values({
      id: grant.id,
      organization_id: grant.organization,
      created_at: now,
      client_id: grant.client,
      user_id: grant.user,
      scopes_json: JSON.stringify(grant.scopes),
      resources_json: JSON.stringify(grant.resources),
      granted_json: grant.facts === undefined ? null : JSON.stringify(grant.facts),
      authenticated_at: grant.authenticatedAt,
      user_epoch: grant.epochs.user,
      organization_epoch: grant.epochs.organization,
      expires_at: grant.expiresAt,
      sid: grant.sid ?? null,
      ended_at: null,
      end_reason: null,
      version: 1,
    })
    .execute();
}

/** A grant that has not ended; whether it has expired is the caller's to judge. */
export async function standingGrant(tx: Reading, id: GrantId): Promise<Grant | undefined> {
  const row = await tx.db.selectFrom('grants').selectAll().where('id', '=', id).where('ended_at', 'is', null).executeTakeFirst();
  return row === undefined ? undefined : grantOf(row);
}

/** What a search is for: text of a grant, or one of these clients. */
export interface Found {
  /** Lower-case. */
  readonly text: string;
  readonly clients: readonly ClientId[];
}

/** A person's grants that neither ended nor expired, newest first, one more than asked for. */
export function standingGrantsPage(
  tx: Reading,
  user: UserId,
  page: { readonly now: number; readonly before: number | undefined; readonly limit: number; readonly found: Found | undefined },
): Promise<readonly GrantRow[]> {
  const { now, before, limit, found } = page;
  let query = tx.db
    .selectFrom('grants')
    .selectAll()
    .where('user_id', '=', user)
    .where('ended_at', 'is', null)
    .where('expires_at', '>', now);
  if (before !== undefined) query = query.where('row', '<', before);
  if (found !== undefined) query = query.where((where) => holds(where, found));
  return query
    .orderBy('row', 'desc')
    .limit(limit + 1)
    .execute();
}

function holds(where: ExpressionBuilder<Schema, 'grants'>, { text, clients }: Found) {
  const pattern = containing(text);
  const columns = ['id', 'scopes_json', 'resources_json'] as const;
  const written = columns.map((column) => sql<boolean>`lower(${sql.ref(column)}) like ${pattern} escape '!'`);
  return where.or([...written, ...(clients.length === 0 ? [] : [where('client_id', 'in', clients)])]);
}

/** Clients of a person's grants that stand, each once. */
export async function clientsWithGrants(tx: Reading, user: UserId, now: number): Promise<readonly ClientId[]> {
  const rows = await tx.db
    .selectFrom('grants')
    .select('client_id')
    .where('user_id', '=', user)
    .where('ended_at', 'is', null)
    .where('expires_at', '>', now)
    .distinct()
    .execute();
  return rows.map((row) => row.client_id);
}

/** The grant, with the time it was made. */
export function standingGrantOf(row: GrantRow) {
  return { ...grantOf(row), createdAt: row.created_at };
}

/** Grants of a client that stand. */
export async function standingGrantsBelow(tx: Reading, client: ClientId, now: number, limit: number): Promise<readonly GrantId[]> {
  const rows = await tx.db
    .selectFrom('grants')
    .select('id')
    .where('client_id', '=', client)
    .where('ended_at', 'is', null)
    .where('expires_at', '>', now)
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}

/** When the last grant of a client that stands ends by itself. */
export async function lastGrantEnd(tx: Reading, client: ClientId, now: number): Promise<number | undefined> {
  const row = await tx.db
    .selectFrom('grants')
    .select(({ fn }) => fn.max<number | string | null>('expires_at').as('last'))
    .where('client_id', '=', client)
    .where('ended_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return row?.last === undefined || row.last === null ? undefined : Number(row.last);
}

/** Grants that stand of a session. */
export async function standingGrantsIn(tx: Reading, sid: string): Promise<readonly Grant[]> {
  const rows = await tx.db.selectFrom('grants').selectAll().where('sid', '=', sid).where('ended_at', 'is', null).execute();
  return rows.map(grantOf);
}

/** The grant, for the one caller that ended it. */
export async function endStandingGrant(tx: Writing, id: GrantId, reason: string, now: number): Promise<Grant | undefined> {
  const { numUpdatedRows } = await tx.db
    .updateTable('grants')
    .set(({ eb }) => ({ ended_at: now, end_reason: reason, version: eb('version', '+', 1) }))
    .where('id', '=', id)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  if (numUpdatedRows !== 1n) return undefined;
  return grantOf(await tx.db.selectFrom('grants').selectAll().where('id', '=', id).executeTakeFirstOrThrow());
}

/** Removes grants that are dead by themselves by `now`; of every organization. */
export async function forgetGrants(tx: Writing, now: number, limit: number): Promise<readonly GrantId[]> {
  const rows = await tx.db.selectFrom('grants').select('id').where('expires_at', '<=', now).limit(limit).execute();
  const ids = rows.map(({ id }) => id);
  if (ids.length > 0) await tx.db.deleteFrom('grants').where('id', 'in', ids).execute();
  return ids;
}

function grantOf(row: GrantRow): Grant {
  return Object.freeze({
    id: row.id,
    organization: row.organization_id,
    client: row.client_id,
    user: row.user_id,
    scopes: JSON.parse(row.scopes_json) as string[],
    resources: JSON.parse(row.resources_json) as string[],
    authenticatedAt: row.authenticated_at,
    facts: row.granted_json === null ? undefined : (JSON.parse(row.granted_json) as GrantFacts),
    epochs: { user: row.user_epoch, organization: row.organization_epoch },
    expiresAt: row.expires_at,
    ...(row.sid === null ? {} : { sid: row.sid }),
  });
}
