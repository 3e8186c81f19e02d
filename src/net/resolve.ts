import { lookup } from 'node:dns/promises';
import { Fault } from '#kernel';
import { parseAddress } from './addresses.ts';
import type { DialOptions, Judged } from './contract.ts';
import { within as inTime } from './deadline.ts';
import type { Guard } from './guard.ts';
import { type Host, parseHost } from './hosts.ts';

export type Address = Judged['addresses'][number];

/** Name → addresses, as the system resolves them. */
export type Resolver = (name: string) => Promise<readonly Address[]>;

export const systemResolver: Resolver = async (name) => {
  const found = await lookup(name, { all: true, order: 'verbatim' });
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
};

/** Names whose addresses the operator gave; the rest goes to `otherwise`. Given addresses are judged like any other. */
export function withGiven(given: readonly { readonly host: string; readonly address: string }[], otherwise: Resolver): Resolver {
  const known = new Map<string, Address[]>();
  for (const { host, address } of given) known.set(host, [...(known.get(host) ?? []), { address, family: address.includes(':') ? 6 : 4 }]);
  return async (name) => known.get(name) ?? otherwise(name);
}

/** Lookups under way are shared, because the resolver has few threads; nothing is remembered after the answer. */
export function sharing(resolver: Resolver): Resolver {
  const underWay = new Map<string, Promise<readonly Address[]>>();
  return (name) => {
    const known = underWay.get(name);
    if (known) return known;
    const asked = resolver(name).finally(() => underWay.delete(name));
    underWay.set(name, asked);
    return asked;
  };
}

/** Resolves once and refuses the host if any of its addresses is refused: a name with one bad address is a trap. */
export async function judgeHost(guard: Guard, resolver: Resolver, host: string, port: number, options: DialOptions): Promise<Judged> {
  const parsed = parseHost(host);
  if (!parsed || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new Fault('address_refused', { detail: 'The host is not a plain name or address', hint: 'write the host in its plain form' });
  }
  const addresses = await addressesOf(resolver, parsed, options);
  for (const { address } of addresses) {
    const bytes = parseAddress(address);
    if (!bytes || !guard.passes(host, port, bytes)) throw new Fault('address_refused');
  }
  return Object.freeze({ host: parsed.kind === 'name' ? parsed.name : parsed.text, port, addresses });
}

async function addressesOf(resolver: Resolver, host: Host, options: DialOptions): Promise<readonly Address[]> {
  if (host.kind === 'address') return [{ address: host.text, family: host.family }];
  const found = await inTime(options, () => resolver(host.name)).catch((error: unknown) => {
    if (error instanceof Fault) throw error;
    throw new Fault('upstream_unreachable', { detail: 'The host name does not resolve', cause: error });
  });
  if (found.length === 0) throw new Fault('upstream_unreachable', { detail: 'The host name does not resolve' });
  return found;
}
