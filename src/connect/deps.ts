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

/**
 * Whether a flow was surely ended by its owner. A session of a command line is in reach of programs; so is a browser's over
 * plain http, because its cookie goes to every port of the host (RFC 6265 §8.5).
 */
export function endedByOwner(deps: Pick<ConnectDeps, 'publicUrl'>, where: 'browser' | 'command_line'): boolean {
  return where === 'browser' && deps.publicUrl.startsWith('https:');
}

/** The callback of every code flow. */
export function callbackUrl(deps: Pick<ConnectDeps, 'publicUrl'>): string {
  return `${deps.publicUrl}/connect/callback`;
}
