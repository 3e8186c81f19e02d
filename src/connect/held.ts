import { Fault, type OrganizationId } from '#kernel';
import { type StoredCredential, statusOf } from './connection.ts';
import { type ConnectionRow, connectionById } from './connections.sql.ts';
import type { Connection } from './contract.ts';
import type { ConnectDeps } from './deps.ts';
import { openCredential, settle } from './keeping.ts';
import type { Providers } from './providers.ts';
import { stillAgreed } from './standing.ts';

export type FreshDeps = ConnectDeps & { readonly providers: Providers };

/** A connection's row and its opened credential, as last read. */
export interface Held {
  readonly row: ConnectionRow;
  readonly credential: StoredCredential;
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
  unconfirmed: 'Its owner has not yet said yes to what was connected',
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
