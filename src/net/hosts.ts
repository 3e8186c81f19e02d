import { type Bytes, parseIpv4, parseIpv6 } from './addresses.ts';

/** What the text of a host means: a name to resolve, or an address. */
export type Host =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'address'; readonly bytes: Bytes; readonly text: string; readonly family: 4 | 6 };

const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * Reads a host strictly: an ASCII name in lower or upper case (an international one in its `xn--` form), a dotted quad,
 * or an IPv6 address with or without brackets. Decimal, octal and hexadecimal spellings of IPv4, zones, a trailing
 * dot and empty labels are undefined: resolvers read them in different ways.
 */
export function parseHost(text: string): Host | undefined {
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  if (bare.includes(':')) {
    const bytes = parseIpv6(bare);
    return bytes && { kind: 'address', bytes, text: bare.toLowerCase(), family: 6 };
  }
  if (bare !== text) return undefined;
  const bytes = parseIpv4(bare);
  if (bytes) return { kind: 'address', bytes, text: bare, family: 4 };
  const name = bare.toLowerCase();
  if (name.length === 0 || name.length > 253) return undefined;
  const labels = name.split('.');
  if (!labels.every((one) => label.test(one))) return undefined;
  // What ends in a number is read as an address by inet_aton (WHATWG URL §3.5 "ends in a number").
  return /^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1) as string) ? undefined : { kind: 'name', name };
}
