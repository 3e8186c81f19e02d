import type { ClientId, OrganizationId, UserId } from '#kernel';
import type { Reading, Writing } from '#store';

export interface SessionClient {
  readonly organization: OrganizationId;
  readonly sid: string;
  readonly client: ClientId;
  readonly user: UserId;
}

/** Remembers that a client had tokens of a session. Twice is as good as once: nobody fails because of it. */
export async function rememberClient(tx: Writing, { organization, sid, client, user }: SessionClient, now: number): Promise<void> {
  if ((await clientsIn(tx, sid)).includes(client)) return;
  await tx.db
    .insertInto('session_clients')
    .values({ organization_id: organization, sid, client_id: client, user_id: user, created_at: now })
    .execute();
}

/** Who had tokens of a session, each once. */
export async function clientsIn(tx: Reading, sid: string): Promise<readonly ClientId[]> {
  const rows = await tx.db.selectFrom('session_clients').select('client_id').where('sid', '=', sid).distinct().execute();
  return rows.map((row) => row.client_id);
}

export async function forgetClientsIn(tx: Writing, sid: string): Promise<void> {
  await tx.db.deleteFrom('session_clients').where('sid', '=', sid).execute();
}

/** Removes those of sessions that can stand no more; of every organization. */
export async function forgetSessionClients(tx: Writing, before: number, limit: number): Promise<number> {
  const rows = await tx.db.selectFrom('session_clients').select('row').where('created_at', '<', before).limit(limit).execute();
  const ids = rows.map(({ row }) => row);
  if (ids.length > 0) await tx.db.deleteFrom('session_clients').where('row', 'in', ids).execute();
  return ids.length;
}
