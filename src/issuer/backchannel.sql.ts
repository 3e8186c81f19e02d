import type { Selectable } from 'kysely';
import type { BackchannelRequestId, ClientId, GrantId, UserId } from '#kernel';
import type { Reading, Schema, Writing } from '#store';

export type BackchannelRow = Selectable<Schema['backchannel_requests']>;

type Undecided = 'row' | 'status' | 'authenticated_at' | 'user_epoch' | 'organization_epoch' | 'grant_id' | 'version';

export async function insertBackchannelRequest(tx: Writing, row: Omit<BackchannelRow, Undecided>): Promise<void> {
  const undecided = { authenticated_at: null, user_epoch: null, organization_epoch: null, grant_id: null };
  await tx.db
    .insertInto('backchannel_requests')
    .values({ ...row, ...undecided, status: 'waiting', version: 1 })
    .execute();
}

export function backchannelRequestBy(tx: Reading, hash: string): Promise<BackchannelRow | undefined> {
  return tx.db.selectFrom('backchannel_requests').selectAll().where('request_hash', '=', hash).executeTakeFirst();
}

export function reachOf({ scopes_json, resources_json }: BackchannelRow) {
  return { scopes: JSON.parse(scopes_json) as string[], resources: JSON.parse(resources_json) as string[] };
}

/** What waits for a person, newest first. */
export function waitingFor(tx: Reading, user: UserId, now: number, limit: number): Promise<readonly BackchannelRow[]> {
  return tx.db
    .selectFrom('backchannel_requests')
    .selectAll()
    .where('user_id', '=', user)
    .where('status', '=', 'waiting')
    .where('expires_at', '>', now)
    .orderBy('row', 'desc')
    .limit(limit)
    .execute();
}

export interface BackchannelAnswer {
  readonly id: BackchannelRequestId;
  readonly user: UserId;
  readonly now: number;
  readonly decided: Pick<BackchannelRow, 'status' | 'authenticated_at' | 'user_epoch' | 'organization_epoch'>;
}

/** The request, for the one answer that decided it, of the person it waited for. */
export async function decideBackchannelRequest(tx: Writing, { id, user, now, decided }: BackchannelAnswer) {
  const { numUpdatedRows } = await tx.db
    .updateTable('backchannel_requests')
    .set(({ eb }) => ({ ...decided, version: eb('version', '+', 1) }))
    .where('id', '=', id)
    .where('user_id', '=', user)
    .where('status', '=', 'waiting')
    .where('expires_at', '>', now)
    .executeTakeFirst();
  if (numUpdatedRows !== 1n) return undefined;
  return tx.db.selectFrom('backchannel_requests').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
}

/** True for the one poll that redeemed an approved request, for this grant. */
export async function redeemBackchannelRequest(tx: Writing, id: BackchannelRequestId, client: ClientId, grant: GrantId): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('backchannel_requests')
    .set(({ eb }) => ({ status: 'redeemed', grant_id: grant, version: eb('version', '+', 1) }))
    .where('id', '=', id)
    .where('client_id', '=', client)
    .where('status', '=', 'approved')
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Removes requests that ended before `before`, of every organization. */
export async function forgetBackchannelRequests(tx: Writing, before: number, limit: number): Promise<number> {
  const rows = await tx.db.selectFrom('backchannel_requests').select('row').where('expires_at', '<=', before).limit(limit).execute();
  const ids = rows.map(({ row }) => row);
  if (ids.length > 0) await tx.db.deleteFrom('backchannel_requests').where('row', 'in', ids).execute();
  return ids.length;
}
