import { absent, compare, type Row } from '../row.ts';
import { startMitmproxy } from './mitmproxy.ts';
import { type Running, type Site, startRelay } from './site.ts';
import { startSquid } from './squid.ts';

/** What is run beside ours: how to start it, undefined when it is not on this machine. */
export interface Rival {
  readonly name: string;
  readonly start: (site: Site) => Promise<Running | undefined>;
}

export const relay: Rival = { name: 'plain relay', start: startRelay };
export const squidPeeking: Rival = { name: 'squid, peek and bump', start: (site) => startSquid(site, 'peek and bump') };
export const squidBumping: Rival = { name: 'squid, bump all', start: (site) => startSquid(site, 'bump all') };
export const mitmproxy: Rival = { name: 'mitmproxy, one addon', start: startMitmproxy };

/** The row of one rival, with what it took or that it is not here. */
export function row(
  name: string,
  unit: string,
  ours: readonly number[],
  rival: Rival,
  other: readonly number[] | undefined,
  budget: string,
): Row {
  if (other === undefined) return absent(name, unit, ours, rival.name, budget, 'not on this machine');
  return compare({ name, unit, ours, against: rival.name, other, budget });
}
