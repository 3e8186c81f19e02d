import type { Audit } from '#audit';
import type { Identity } from '#identity';
import type { Clock, Log } from '#kernel';
import type { Net } from '#net';
import type { Changes, Ephemera, Records } from '#store';
import type { Vault } from '#vault';
import type { Catalogue } from './catalogue.ts';

/** What the room is built from. */
export interface ConnectDeps {
  readonly records: Records;
  readonly ephemera: Ephemera;
  readonly changes: Changes;
  readonly identity: Identity;
  readonly vault: Vault;
  readonly audit: Audit;
  readonly net: Net;
  readonly clock: Clock;
  readonly log: Log;
  /** Where browsers reach us, without a slash at the end: `https://gatehouse.example`. */
  readonly publicUrl: string;
  readonly catalogue: Catalogue;
  /** Host names of our own; no definition may claim one. */
  readonly own?: readonly string[];
}

/** The callback of every code flow. */
export function callbackUrl(deps: Pick<ConnectDeps, 'publicUrl'>): string {
  return `${deps.publicUrl}/connect/callback`;
}
