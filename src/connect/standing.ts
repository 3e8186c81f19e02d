import type { Principal } from '#kernel';
import { bindingDigest } from './binding.ts';
import { connectionOf, pinnedOf, statusJson } from './connection.ts';
import { type ConnectionChange, type ConnectionRow, connectionById, updateConnection } from './connections.sql.ts';
import type { Connection, ConnectionStatus } from './contract.ts';
import type { ConnectDeps } from './deps.ts';
import type { Provider } from './provider.ts';

type Draft = Parameters<ConnectDeps['audit']['record']>[1];
type Deps = Pick<ConnectDeps, 'records' | 'audit' | 'clock'>;

/**
 * Whether the provider is still the one the owner agreed to (SECURITY 7): its hosts, its endpoints, the way its credential
 * goes on the wire. A definition that was removed is not.
 */
export function stillAgreed(row: ConnectionRow, provider: Provider | undefined): boolean {
  return provider !== undefined && bindingDigest(provider, row.kind) === pinnedOf(row).digest;
}

const views = new WeakMap<ConnectionRow, { readonly provider: Provider | undefined; readonly connection: Connection }>();

/** The connection as others see it, with what the provider's definition makes of it. */
export function seen(row: ConnectionRow, provider: Provider | undefined): Connection {
  const known = views.get(row);
  if (known !== undefined && known.provider === provider) return known.connection;
  const connection = viewOf(row, provider);
  views.set(row, { provider, connection });
  return connection;
}

function viewOf(row: ConnectionRow, provider: Provider | undefined): Connection {
  const connection = connectionOf(row);
  const usable = connection.status.kind === 'connected' || connection.status.kind === 'interrupted';
  if (!usable || stillAgreed(row, provider)) return connection;
  const status: ConnectionStatus = { kind: 'needs_attention', reason: 'provider_changed', since: row.refreshed_at ?? row.created_at };
  return Object.freeze({ ...connection, status });
}

export interface Change {
  readonly row: ConnectionRow;
  /** Holds for the row as it is now, or the change is not made. */
  readonly still: (row: ConnectionRow) => boolean;
  readonly change: (row: ConnectionRow) => ConnectionChange;
  readonly event?: Draft;
  /** Whether others' caches must learn of it. */
  readonly tell: boolean;
}

/**
 * Compare-and-swap until it holds: a neighbour's change of the same row (its name, its default) is taken in, a change
 * that makes this one wrong ends it. The row as it then is, or undefined when the change was not made.
 */
export async function changeConnection(deps: Deps, { row, still, change, event, tell }: Change): Promise<ConnectionRow | undefined> {
  const scope = deps.records.in(row.organization_id);
  let current: ConnectionRow | undefined = row;
  for (let round = 0; round < 20 && current !== undefined && still(current); round++) {
    const before: ConnectionRow = current;
    const set = change(before);
    const done = await scope.write(async (tx) => {
      if (!(await updateConnection(tx, before.organization_id, before, set))) return false;
      if (event !== undefined) await deps.audit.record(tx, event);
      if (tell) await tx.bump('connections');
      return true;
    });
    if (done) return { ...before, ...set, version: before.version + 1 } as ConnectionRow;
    current = await scope.read((tx) => connectionById(tx, row.organization_id, row.id));
  }
  return undefined;
}

export type AttentionReason = Extract<ConnectionStatus, { kind: 'needs_attention' }>['reason'];

/** From here on only its owner can bring the connection back. */
export async function needAttention(
  deps: Deps,
  by: Principal,
  row: ConnectionRow,
  reason: AttentionReason,
  still: (row: ConnectionRow) => boolean = (now) => now.live === 1 && now.sealed_version === row.sealed_version,
): Promise<void> {
  await changeConnection(deps, {
    row,
    still,
    change: () => ({ status_json: statusJson({ kind: 'needs_attention', reason, since: deps.clock.now() }), refresh_started_at: null }),
    event: {
      name: 'connection.needs_attention',
      principal: by,
      connection: row.id,
      fields: { provider: row.provider_id, name: row.name, reason },
    },
    tell: true,
  });
}
