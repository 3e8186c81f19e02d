import { Fault, isFault, type OrganizationId, type Principal, Secret } from '#kernel';
import { cacheByGeneration } from '#store';
import { pinnedOf, statusOf } from './connection.ts';
import { connectionById } from './connections.sql.ts';
import type { Connection, Credential } from './contract.ts';
import { assertUsable, type FreshDeps, type Held, isDue, readHeld } from './held.ts';
import { refreshUnderLease } from './refresh.ts';
import { needAttention } from './standing.ts';

/** Held connections are forgotten with every change of any connection. */
const heldLimit = 5_000;

/** The credentials of connections, kept fresh: no I/O while nothing changed and none is due. */
export function createFresh(deps: FreshDeps) {
  const cache = cacheByGeneration<Held>(deps.changes, 'connections', heldLimit);
  /** One refresh at a time per connection and process; the lease sees to the other processes. */
  const under = new Map<string, Promise<Held>>();

  function held(organization: OrganizationId, id: Connection['id']): Promise<Held | undefined> {
    return cache.get(`${organization} ${id}`, () => readHeld(deps, organization, id));
  }

  function together(key: string, refresh: () => Promise<Held>): Promise<Held> {
    const running = under.get(key);
    if (running !== undefined) return running;
    const started = refresh().finally(() => under.delete(key));
    under.set(key, started);
    return started;
  }

  async function fresh(by: Principal, connection: Connection, options: { readonly force?: boolean } = {}): Promise<Credential> {
    if (by.organization !== connection.organization) throw new Fault('forbidden');
    const force = options.force === true;
    const known = await opened(deps, by, connection, () => held(connection.organization, connection.id));
    await assertUsable(deps, known);
    if (!force && !isDue(known, deps.clock.now())) return credentialOf(known, false);
    const presented = connection.refreshedAt;
    const key = `${connection.id}${force ? ' forced' : ''}`;
    const after = await together(key, () => refreshUnderLease(deps, by, { held: known, force, presented }));
    return credentialOf(after, after.row.sealed_version !== known.row.sealed_version || after.row.refreshed_at !== (presented ?? null));
  }

  return Object.freeze({ fresh, close: cache.close });
}

/** @throws {Fault} `connection_unknown`; `needs_attention` when its sealed value cannot be opened */
async function opened(deps: FreshDeps, by: Principal, connection: Connection, read: () => Promise<Held | undefined>): Promise<Held> {
  try {
    const found = await read();
    if (found === undefined) throw new Fault('connection_unknown');
    return found;
  } catch (error) {
    if (!isFault(error, 'sealed_value_unreadable')) throw error;
    const row = await deps.records.in(connection.organization).read((tx) => connectionById(tx, connection.organization, connection.id));
    if (row !== undefined && statusOf(row).kind !== 'needs_attention') await needAttention(deps, by, row, 'unreadable');
    throw new Fault('needs_attention', { detail: 'The sealed credential does not open', cause: error });
  }
}

function credentialOf({ row, credential }: Held, refreshed: boolean): Credential {
  const parts = Object.fromEntries(Object.entries(credential.parts).map(([name, value]) => [name, new Secret(value)]));
  const { client, hosts } = pinnedOf(row);
  return Object.freeze({
    parts: client === null ? parts : { client_id: new Secret(client), ...parts },
    hosts,
    expiresAt: row.expires_at ?? undefined,
    refreshable: credential.renewal !== 'none',
    refreshed,
  });
}
