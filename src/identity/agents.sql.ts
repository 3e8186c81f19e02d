import { sql } from 'kysely';
import type { AgentId, OrganizationId, UserId } from '#kernel';
import type { Reading, Writing } from '#store';
import type { AgentStatus } from './contract.ts';
import type { PageStart } from './page.ts';

const columns = [
  'row',
  'id',
  'organization_id',
  'handle',
  'did',
  'public_jwk_json',
  'algorithm',
  'status',
  'owner_kind',
  'owner_user_id',
  'confirmed_at',
  'registered_from',
  'expires_at',
  'epoch',
  'created_at',
  'version',
] as const;

export interface AgentRow {
  readonly row: number;
  readonly id: AgentId;
  readonly organization_id: OrganizationId;
  readonly handle: string;
  readonly did: string;
  readonly public_jwk_json: string;
  readonly algorithm: 'EdDSA' | 'ES256';
  readonly status: AgentStatus;
  readonly owner_kind: 'user' | 'organization' | null;
  readonly owner_user_id: UserId | null;
  readonly confirmed_at: number | null;
  readonly registered_from: string;
  readonly expires_at: number | null;
  readonly epoch: number;
  readonly created_at: number;
  readonly version: number;
}

/** By its id, its handle or its `did:key`; all three are unique in the organization. */
export function agentBy(
  tx: Reading,
  organization: OrganizationId,
  column: 'id' | 'handle' | 'did',
  value: string,
): Promise<AgentRow | undefined> {
  const query = tx.db.selectFrom('agents').select(columns).where('organization_id', '=', organization);
  return query.where(sql.ref<string>(column), '=', value).executeTakeFirst();
}

export function agentsPage(tx: Reading, organization: OrganizationId, start: PageStart): Promise<readonly AgentRow[]> {
  let query = tx.db.selectFrom('agents').select(columns).where('organization_id', '=', organization);
  if (start.before !== undefined) query = query.where('row', '<', start.before);
  if (start.like !== undefined) {
    const like = start.like;
    query = query.where(
      sql<boolean>`(handle like ${like} escape '!' or lower(cast(did as char(512))) like ${like} escape '!' or id like ${like} escape '!')`,
    );
  }
  return query
    .orderBy('row', 'desc')
    .limit(start.limit + 1)
    .execute();
}

/** @throws {UniqueViolation} when the handle or the key is taken */
export async function insertAgent(tx: Writing, agent: Omit<AgentRow, 'row'>): Promise<void> {
  await tx.db.insertInto('agents').values(agent).execute();
}

/** Only unclaimed agents have a time to end; the index on it keeps this from reading the others. */
export async function countUnclaimed(tx: Reading, organization: OrganizationId): Promise<number> {
  const row = await tx.db
    .selectFrom('agents')
    .select(({ fn }) => fn.countAll<number | bigint | string>().as('count'))
    .where('organization_id', '=', organization)
    .where('expires_at', '>', 0)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** Unclaimed agents whose time is over, of one organization or (on the platform) of all. */
export function expiredAgents(
  tx: Reading,
  organization: OrganizationId | undefined,
  now: number,
  limit: number,
): Promise<readonly AgentRow[]> {
  let query = tx.db.selectFrom('agents').select(columns).where('status', '=', 'registered').where('expires_at', '<=', now);
  if (organization !== undefined) query = query.where('organization_id', '=', organization);
  return query.orderBy('row').limit(limit).execute();
}

/** True if it was still this version. */
export async function deleteAgent(tx: Writing, agent: AgentRow): Promise<boolean> {
  const result = await tx.db
    .deleteFrom('agents')
    .where('organization_id', '=', agent.organization_id)
    .where('id', '=', agent.id)
    .where('version', '=', agent.version)
    .executeTakeFirst();
  return result.numDeletedRows === 1n;
}

export type AgentChange = Partial<Pick<AgentRow, 'status' | 'owner_kind' | 'owner_user_id' | 'confirmed_at' | 'expires_at' | 'epoch'>>;

/** Ends everything that was made for any agent until now. */
export async function raiseAgents(tx: Writing): Promise<void> {
  await tx.db
    .updateTable('agents')
    .set((row) => ({ epoch: row('epoch', '+', 1), version: row('version', '+', 1) }))
    .execute();
}

/** The row as it is now, or undefined when somebody else changed it first. */
export async function changeAgent(tx: Writing, before: AgentRow, change: AgentChange): Promise<AgentRow | undefined> {
  const version = before.version + 1;
  const result = await tx.db
    .updateTable('agents')
    .set({ ...change, version })
    .where('organization_id', '=', before.organization_id)
    .where('id', '=', before.id)
    .where('version', '=', before.version)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n ? { ...before, ...change, version } : undefined;
}
