/** An address as bytes: 4 or 16 of them. */
export type Bytes = Uint8Array;

/**
 * How an address is judged. `public` may be dialled. `private` only where the operator opened it. `never` not even
 * then: metadata services, multicast, unspecified and broadcast addresses.
 */
export type Judgement = { readonly kind: 'public' } | { readonly kind: 'private' | 'never'; readonly why: string };

interface Range {
  readonly bytes: Bytes;
  readonly bits: number;
  readonly kind: 'private' | 'never' | 'public';
  readonly why: string;
}

const publicAddress: Judgement = Object.freeze({ kind: 'public' });

/** Dotted quad only: four decimal numbers without leading zeros. Every other spelling is undefined. */
export function parseIpv4(text: string): Bytes | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i] as string;
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

/** RFC 4291 §2.2 text, without brackets and without a zone. */
export function parseIpv6(text: string): Bytes | undefined {
  if (!/^[0-9a-fA-F:.]+$/.test(text) || !text.includes(':')) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groups(halves[0] as string, halves.length === 1);
  const tail = halves.length === 2 ? groups(halves[1] as string, true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const words = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 255]));
}

/** The 16-bit groups of one side of `::`; the last may be a dotted quad. */
function groups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const words: number[] = [];
  const parts = text.split(':');
  for (const [at, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) words.push(Number.parseInt(part, 16));
    else {
      const quad = last && at === parts.length - 1 ? parseIpv4(part) : undefined;
      if (!quad) return undefined;
      words.push(((quad[0] as number) << 8) | (quad[1] as number), ((quad[2] as number) << 8) | (quad[3] as number));
    }
  }
  return words;
}

/** Either family, strictly. */
export function parseAddress(text: string): Bytes | undefined {
  return parseIpv4(text) ?? parseIpv6(text);
}

/** Whom requests from an address are counted against: of IPv6 the whole /64, which is one customer's at least (RFC 6177). */
export function countedAs(address: string): string {
  const bytes = parseIpv6(address);
  if (bytes === undefined) return address.slice(0, 64);
  if (within(bytes, mapped)) return bytes.subarray(12).join('.');
  return `${Buffer.from(bytes.subarray(0, 8)).toString('hex')}/64`;
}

/** One spelling per address, so that two can be compared. v4-mapped becomes v4. */
export function canonical(bytes: Bytes): string {
  const v4 = bytes.length === 16 && within(bytes, mapped) ? bytes.subarray(12) : bytes;
  return Buffer.from(v4).toString('hex');
}

/** An address block; undefined when the text is not one or has bits set beyond its length. */
export function parseCidr(text: string): { readonly bytes: Bytes; readonly bits: number } | undefined {
  const [address, length, more] = text.split('/');
  const bytes = parseAddress(address ?? '');
  if (!bytes || more !== undefined || !/^\d{1,3}$/.test(length ?? '')) return undefined;
  const bits = Number(length);
  return bits <= bytes.length * 8 ? { bytes, bits } : undefined;
}

/** True if the address lies in the block. v4 and v6 never meet here. */
export function within(address: Bytes, block: { readonly bytes: Bytes; readonly bits: number }): boolean {
  if (address.length !== block.bytes.length) return false;
  const whole = block.bits >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== block.bytes[i]) return false;
  const rest = block.bits & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return ((address[whole] as number) & mask) === ((block.bytes[whole] as number) & mask);
}

function range(cidr: string, kind: Range['kind'], why: string): Range {
  const block = parseCidr(cidr);
  if (!block) throw new RangeError(`not an address block: ${cidr}`);
  return { ...block, kind, why };
}

const metadata = 'the metadata service of a cloud';

/** First match decides. IANA special-purpose registry (RFC 6890 and successors), and what clouds put beside it. */
const special4: readonly Range[] = [
  range('169.254.169.254/32', 'never', metadata),
  range('169.254.169.253/32', 'never', metadata),
  range('169.254.169.123/32', 'never', metadata),
  range('169.254.170.0/24', 'never', metadata),
  range('169.254.42.42/32', 'never', metadata),
  range('169.254.0.23/32', 'never', metadata),
  range('100.100.100.200/32', 'never', metadata),
  range('192.0.0.192/32', 'never', metadata),
  range('168.63.129.16/32', 'never', metadata),
  range('0.0.0.0/8', 'never', 'this network'),
  range('10.0.0.0/8', 'private', 'private use'),
  range('100.64.0.0/10', 'private', 'shared address space'),
  range('127.0.0.0/8', 'private', 'loopback'),
  range('169.254.0.0/16', 'private', 'link-local'),
  range('172.16.0.0/12', 'private', 'private use'),
  range('192.0.0.0/24', 'private', 'protocol assignments'),
  range('192.0.2.0/24', 'private', 'documentation'),
  range('192.31.196.0/24', 'private', 'AS112'),
  range('192.52.193.0/24', 'private', 'multicast tunnelling'),
  range('192.88.99.0/24', 'private', '6to4 relays'),
  range('192.168.0.0/16', 'private', 'private use'),
  range('192.175.48.0/24', 'private', 'AS112'),
  range('198.18.0.0/15', 'private', 'benchmarking'),
  range('198.51.100.0/24', 'private', 'documentation'),
  range('203.0.113.0/24', 'private', 'documentation'),
  range('224.0.0.0/4', 'never', 'multicast'),
  range('255.255.255.255/32', 'never', 'broadcast'),
  range('240.0.0.0/4', 'private', 'reserved'),
];

const special6: readonly Range[] = [
  range('fd00:ec2::254/128', 'never', metadata),
  range('fd00:ec2::23/128', 'never', metadata),
  range('fd00:ec2::253/128', 'never', metadata),
  range('fd00:ec2::123/128', 'never', metadata),
  range('fd20:ce::254/128', 'never', metadata),
  range('fe80::a9fe:a9fe/128', 'never', metadata),
  range('fd00:42::42/128', 'never', metadata),
  range('::/128', 'never', 'the unspecified address'),
  range('::1/128', 'private', 'loopback'),
  range('ff00::/8', 'never', 'multicast'),
  range('fc00::/7', 'private', 'unique local'),
  range('fe80::/10', 'private', 'link-local'),
  range('fec0::/10', 'private', 'site-local'),
  range('100::/64', 'private', 'discard only'),
  range('2001:1::1/128', 'public', ''),
  range('2001::/23', 'private', 'protocol assignments'),
  range('2001:db8::/32', 'private', 'documentation'),
  range('2620:4f:8000::/48', 'private', 'AS112'),
  range('3fff::/20', 'private', 'documentation'),
  range('2000::/3', 'public', ''),
  range('::/0', 'private', 'not global unicast'),
];

const mapped = range('::ffff:0:0/96', 'private', 'v4-mapped');

interface Wrapper {
  readonly block: Range;
  /** The v4 addresses inside. */
  inner(bytes: Bytes): readonly Bytes[];
  /** The wrapping itself reaches the outside, so a public address inside makes it public. */
  readonly transparent: boolean;
}

const lastFour = (bytes: Bytes) => [bytes.subarray(12)];

const wrappers: readonly Wrapper[] = [
  { block: mapped, inner: lastFour, transparent: true },
  { block: range('64:ff9b::/96', 'private', 'NAT64'), inner: lastFour, transparent: true },
  // RFC 8215: whoever runs the network chose the length of the prefix, so both readings of RFC 6052 §2.2 count.
  {
    block: range('64:ff9b:1::/48', 'private', 'local NAT64'),
    inner: (bytes) => [bytes.subarray(12), Uint8Array.of(...bytes.subarray(6, 8), ...bytes.subarray(9, 11))],
    transparent: false,
  },
  { block: range('::ffff:0:0:0/96', 'private', 'v4-translated'), inner: lastFour, transparent: false },
  { block: range('::/96', 'private', 'v4-compatible'), inner: lastFour, transparent: false },
  { block: range('2002::/16', 'private', '6to4'), inner: (bytes) => [bytes.subarray(2, 6)], transparent: false },
  // RFC 4380 §4: server, and client with every bit turned over.
  {
    block: range('2001::/32', 'private', 'Teredo'),
    inner: (bytes) => [bytes.subarray(4, 8), bytes.subarray(12).map((byte) => byte ^ 0xff)],
    transparent: false,
  },
];

/** Judges one address by what it is, v4 inside v6 unwrapped. Pure. */
export function judgeAddress(bytes: Bytes): Judgement {
  if (bytes.length === 4) return lookup(special4, bytes) ?? publicAddress;
  const unspecifiedOrLoopback = bytes.subarray(0, 15).every((byte) => byte === 0) && (bytes[15] as number) <= 1;
  if (!unspecifiedOrLoopback) {
    for (const wrapper of wrappers) if (within(bytes, wrapper.block)) return judgeWrapped(wrapper, bytes);
    if (isIsatap(bytes)) return judgeWrapped(isatap, bytes);
  }
  return lookup(special6, bytes) ?? publicAddress;
}

const isatap: Wrapper = { block: range('::/0', 'private', 'ISATAP'), inner: lastFour, transparent: false };

/** RFC 5214 §6.1: an interface identifier of `00005efe` or `02005efe` and a v4 address. */
function isIsatap(bytes: Bytes): boolean {
  return (bytes[8] === 0 || bytes[8] === 2) && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe;
}

function judgeWrapped(wrapper: Wrapper, bytes: Bytes): Judgement {
  const inside = wrapper.inner(bytes).map(judgeAddress);
  const never = inside.find((one) => one.kind === 'never' && (wrapper.transparent || one.why === metadata));
  if (never) return never;
  if (!wrapper.transparent) return { kind: 'private', why: wrapper.block.why };
  return inside.find((one) => one.kind !== 'public') ?? publicAddress;
}

function lookup(ranges: readonly Range[], bytes: Bytes): Judgement | undefined {
  for (const one of ranges) {
    if (within(bytes, one)) return one.kind === 'public' ? publicAddress : { kind: one.kind, why: one.why };
  }
  return undefined;
}
