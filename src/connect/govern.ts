import { type ConnectionId, Fault, type FlowId, type Principal } from '#kernel';
import type { Writing } from '#store';
import { bindingDigest, originsOf } from './binding.ts';
import { connectedJson, connectionOf, pinnedOf, rests } from './connection.ts';
import { type ConnectionRow, connectionById, connectionsInVault, updateConnection } from './connections.sql.ts';
import type { Connection } from './contract.ts';
import type { ConnectDeps } from './deps.ts';
import type { Providers } from './providers.ts';
import { assertMayManage } from './rights.ts';
import { lacksHost } from './tenants.ts';

type Deps = ConnectDeps & { readonly providers: Providers };

/** A live connection that `by` may change. @throws {Fault} `connection_unknown`, `forbidden` */
export async function managed(deps: Deps, by: Principal, id: ConnectionId): Promise<ConnectionRow> {
  const row = await deps.records.in(by.organization).read((tx) => connectionById(tx, by.organization, id));
  if (row === undefined || row.live === null) throw new Fault('connection_unknown');
  await assertMayManage(deps.identity, by, row);
  return row;
}

/**
 * Makes it the one that is meant when none is named; the others of its vault and provider are it no more. Whether `by` may
 * is asked first; the returned step runs in the transaction of the confirmation. @throws {Fault} `connection_unknown`, `forbidden`, `conflict`
 */
export async function setDefault(deps: Deps, by: Principal, id: ConnectionId): Promise<(tx: Writing) => Promise<Connection>> {
  await managed(deps, by, id);
  return async (tx) => {
    const row = await inTransaction(tx, by, id);
    for (const other of await connectionsInVault(tx, by.organization, row.vault_id, row.provider_id)) {
      const wanted = other.id === id ? 1 : 0;
      if (other.is_default !== wanted && !(await updateConnection(tx, by.organization, other, { is_default: wanted })))
        throw new Fault('conflict');
    }
    await tx.bump('connections');
    const fields = { provider: row.provider_id, name: row.name };
    await deps.audit.record(tx, { name: 'connection.default_set', principal: by, connection: id, fields });
    return reread(tx, by, id);
  };
}

async function reread(tx: Writing, by: Principal, id: ConnectionId): Promise<Connection> {
  const row = await connectionById(tx, by.organization, id);
  if (row === undefined) throw new Fault('connection_unknown');
  return connectionOf(row);
}

/** A live connection read in the caller's transaction; who may change it was asked when the change was. */
async function inTransaction(tx: Writing, by: Principal, id: ConnectionId): Promise<ConnectionRow> {
  const row = await connectionById(tx, by.organization, id);
  if (row === undefined || row.live === null) throw new Fault('connection_unknown');
  return row;
}

/**
 * Shares it with everyone in the organization, or stops. Runs in the transaction of the confirmation, whose page named it;
 * only the owner's or an administrator's answer reaches here. @throws {Fault} `connection_unknown`, `forbidden`, `conflict`
 */
export async function share(deps: Deps, tx: Writing, by: Principal, id: ConnectionId, shared: boolean): Promise<Connection> {
  const row = await inTransaction(tx, by, id);
  assertOwnerOrOperator(by, row);
  if (!(await updateConnection(tx, by.organization, row, { shared: shared ? 1 : 0 }))) throw new Fault('conflict');
  await tx.bump('connections');
  const fields = { provider: row.provider_id, name: row.name, shared };
  await deps.audit.record(tx, { name: 'connection.shared', principal: by, connection: id, fields });
  return reread(tx, by, id);
}

/** Sharing hands out somebody's account, so not even an administrator does it for them; stopping is the owner's too. */
function assertOwnerOrOperator(by: Principal, row: ConnectionRow): void {
  if (by.actors.length > 0) throw new Fault('forbidden');
  const { subject } = by;
  if (subject.kind === 'operator' || (subject.kind === 'user' && (row.owner_user_id === null || row.owner_user_id === subject.id))) return;
  throw new Fault('forbidden');
}

interface MadeByFlow {
  readonly connection: ConnectionId;
  readonly flow: FlowId;
}

/**
 * The owner says yes to what a flow made that was not surely theirs (SECURITY 4). Bound to the flow, so that a credential which
 * took its place since is not meant. @throws {Fault} `connection_unknown`, `forbidden`, `conflict`
 */
export async function confirm(deps: Deps, tx: Writing, by: Principal, { connection, flow }: MadeByFlow): Promise<Connection> {
  const row = await inTransaction(tx, by, connection);
  assertOwnerOrOperator(by, row);
  if (pinnedOf(row).flow !== flow)
    throw new Fault('conflict', {
      detail: 'Another credential took its place meanwhile',
      hint: 'say whether to use that one, on the first page',
    });
  const made = connectionOf(row);
  if (!rests(made)) return made;
  if (!(await updateConnection(tx, by.organization, row, { status_json: connectedJson }))) throw new Fault('conflict');
  await tx.bump('connections');
  const fields = { provider: row.provider_id, name: row.name };
  await deps.audit.record(tx, { name: 'connection.confirmed', principal: by, connection, fields });
  return reread(tx, by, connection);
}

/**
 * The owner agrees to the provider as it is now (SECURITY 7): its origins and digest are pinned anew.
 * @throws {Fault} `connection_unknown`, `forbidden`, `provider_unknown`, `conflict`
 */
export async function accept(deps: Deps, tx: Writing, by: Principal, id: ConnectionId, digest?: string): Promise<Connection> {
  const row = await inTransaction(tx, by, id);
  assertOwnerOrOperator(by, row);
  const provider = await deps.providers.within(tx, by.organization, row.provider_id);
  if (digest !== undefined && provider.digest !== digest)
    throw new Fault('conflict', { detail: 'The definition changed again after it was shown' });
  const before = pinnedOf(row);
  if (lacksHost(provider, row.kind, before.hosts))
    throw new Fault('conflict', {
      detail: 'The provider has a host for each customer now: connect it again, so that you are asked for yours',
    });
  const pinned = { ...before, digest: bindingDigest(provider, row.kind), origins: originsOf(provider, before.hosts) };
  if (!(await updateConnection(tx, by.organization, row, { pinned_json: JSON.stringify(pinned) }))) throw new Fault('conflict');
  await tx.bump('connections');
  const fields = { provider: row.provider_id, name: row.name, digest: provider.digest };
  await deps.audit.record(tx, { name: 'connection.provider_accepted', principal: by, connection: id, fields });
  return reread(tx, by, id);
}
