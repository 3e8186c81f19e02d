import { networkInterfaces } from 'node:os';
import { Fault } from '#kernel';
import { type Bytes, canonical, judgeAddress, parseAddress, parseCidr, within } from './addresses.ts';
import { parseHost } from './hosts.ts';

/** One opening by the operator: addresses of `cidr` may be reached as `host:port` (SECURITY 11). */
export interface Opening {
  readonly host: string;
  readonly port: number;
  readonly cidr: string;
}

/** Says which addresses may be dialled. Pure but for our own listeners, told as they open. */
export interface Guard {
  /** True if this address may be dialled for this host and port. */
  passes(host: string, port: number, address: Bytes): boolean;
  /** True if the operator opened this host and port at all. */
  opened(host: string, port: number): boolean;
  own(address: string, port: number): void;
  /** The same by name, whatever it resolves to later. */
  ownName(host: string, port: number): void;
}

/** @throws {Fault} `invalid_setting` when an opening is malformed */
export function createGuard(openings: readonly Opening[]): Guard {
  const opened = new Map<string, { readonly bytes: Bytes; readonly bits: number }[]>();
  for (const opening of openings) {
    const key = openingKey(opening.host, opening.port);
    const block = parseCidr(opening.cidr);
    if (!key || !block) throw new Fault('invalid_setting', { detail: 'a private address is opened as host:port=CIDR' });
    opened.set(key, [...(opened.get(key) ?? []), block]);
  }
  const own = new Set<string>();
  const everywhere = new Set<number>();
  const names = new Set<string>();

  const isOwn = (address: Bytes, port: number) =>
    own.has(`${canonical(address)}:${port}`) || (everywhere.has(port) && isOurAddress(canonical(address)));

  return Object.freeze({
    passes(host: string, port: number, address: Bytes) {
      if (isOwn(address, port) || names.has(openingKey(host, port) ?? '')) return false;
      const judged = judgeAddress(address);
      if (judged.kind === 'public') return true;
      if (judged.kind === 'never') return false;
      return (opened.get(openingKey(host, port) ?? '') ?? []).some((block) => within(address, block));
    },
    opened: (host: string, port: number) => opened.has(openingKey(host, port) ?? ''),
    own(address: string, port: number) {
      const bytes = parseAddress(address);
      if (!bytes) throw new RangeError('give the address a listener is bound to');
      if (bytes.every((byte) => byte === 0)) everywhere.add(port);
      else own.add(`${canonical(bytes)}:${port}`);
    },
    ownName(host: string, port: number) {
      const key = openingKey(host, port);
      if (key !== undefined) names.add(key);
    },
  });
}

function openingKey(host: string, port: number): string | undefined {
  const parsed = parseHost(host);
  if (!parsed) return undefined;
  return `${parsed.kind === 'name' ? parsed.name : canonical(parsed.bytes)}:${port}`;
}

/** A listener on every address answers at each of this machine's, and at all of 127.0.0.0/8. */
function isOurAddress(key: string): boolean {
  if (key.length === 8 && key.startsWith('7f')) return true;
  for (const list of Object.values(networkInterfaces())) {
    for (const one of list ?? []) {
      const bytes = parseAddress(one.address.split('%')[0] as string);
      if (bytes && canonical(bytes) === key) return true;
    }
  }
  return false;
}
