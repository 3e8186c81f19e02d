import { Fault, isFault, type OrganizationId, type Principal, Secret } from '#kernel';
import { cacheByGeneration } from '#store';
import { pinnedOf, type StoredCredential, statusOf } from './connection.ts';
import { type ConnectionRow, connectionById } from './connections.sql.ts';
import type { Connection, Credential } from './contract.ts';
import type { ConnectDeps } from './deps.ts';
import { openCredential, settle } from './keeping.ts';
import type { Providers } from './providers.ts';
import { refreshUnderLease } from './refresh.ts';
import { needAttention, stillAgreed } from './standing.ts';

export type FreshDeps = ConnectDeps & { readonly providers: Providers };

/** A connection's row and its opened credential, as last read. */
export interface Held {
  readonly row: ConnectionRow;
  readonly credential: StoredCredential;
}

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

/** Reads row and credential; what a crash left in the row is moved on its way. */
export async function readHeld(deps: FreshDeps, organization: OrganizationId, id: Connection['id']): Promise<Held | undefined> {
  const row = await deps.records.in(organization).read((tx) => connectionById(tx, organization, id));
  if (row === undefined || row.live === null) return undefined;
  const credential = await openCredential(deps, row);
  if (credential === undefined) throw new Fault('sealed_value_unreadable');
  if (row.pending_envelope !== null) await settle(deps, row);
  return { row, credential };
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

/** @throws {Fault} `needs_attention`, `connection_unknown` */
export async function assertUsable(deps: FreshDeps, { row }: Held): Promise<void> {
  const status = statusOf(row);
  if (status.kind === 'disconnected') throw new Fault('connection_unknown');
  if (status.kind === 'needs_attention') throw new Fault('needs_attention', { detail: sentences[status.reason] });
  const provider = (await deps.providers.of(row.organization_id)).byId.get(row.provider_id);
  if (!stillAgreed(row, provider)) throw new Fault('needs_attention', { detail: sentences.provider_changed });
}

const sentences = {
  invalid_grant: 'The provider ended this authorization',
  rejected: 'The provider keeps refusing the credential',
  expired: 'The credential has expired and cannot be refreshed',
  interrupted: 'A refresh was interrupted and its outcome is unknown',
  provider_changed: 'The provider definition changed after the owner agreed to it',
  unreadable: 'The sealed credential does not open',
} as const;

/** A refresh is due a little before the end: a minute, or a fifth of a short life. */
export function isDue({ row, credential }: Held, now: number): boolean {
  if (row.expires_at === null) return false;
  const life = row.expires_at - credential.obtained_at;
  return now >= row.expires_at - Math.min(60_000, Math.max(0, life / 5));
}

/** Whether the access credential has ended. */
export function hasEnded({ row }: Held, now: number): boolean {
  return row.expires_at !== null && now >= row.expires_at;
}

function credentialOf({ row, credential }: Held, refreshed: boolean): Credential {
  const parts = Object.fromEntries(Object.entries(credential.parts).map(([name, value]) => [name, new Secret(value)]));
  const { client } = pinnedOf(row);
  return Object.freeze({
    parts: client === null ? parts : { client_id: new Secret(client), ...parts },
    expiresAt: row.expires_at ?? undefined,
    refreshable: credential.renewal !== 'none',
    refreshed,
  });
}
