/**
 * The part of DER (ITU-T X.690) that a certificate needs: definite lengths, no tag above 30.
 */

/** One value: tag, length, contents. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = contents.length === 1 ? (contents[0] as Uint8Array) : Buffer.concat(contents);
  const head = body.length < 128 ? [tag, body.length] : longHead(tag, body.length);
  return Buffer.concat([Uint8Array.from(head), body]);
}

function longHead(tag: number, length: number): number[] {
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest & 255);
  return [tag, 0x80 | bytes.length, ...bytes];
}

export const sequence = (...parts: readonly Uint8Array[]) => der(0x30, ...parts);
export const set = (...parts: readonly Uint8Array[]) => der(0x31, ...parts);
export const octets = (bytes: Uint8Array) => der(0x04, bytes);
export const boolean = (value: boolean) => der(0x01, Uint8Array.of(value ? 0xff : 0));
export const utf8 = (text: string) => der(0x0c, Buffer.from(text, 'utf8'));
/** `[number]`, constructed. */
export const explicit = (number: number, ...parts: readonly Uint8Array[]) => der(0xa0 | number, ...parts);
/** `[number]`, primitive: an implicit tag over the contents. */
export const implicit = (number: number, contents: Uint8Array) => der(0x80 | number, contents);

/** A non-negative integer from its big-endian bytes: no needless zero, and never a sign bit. */
export function integer(bytes: Uint8Array): Buffer {
  let at = 0;
  while (at < bytes.length - 1 && bytes[at] === 0) at++;
  const rest = bytes.subarray(at);
  return (rest[0] as number) & 0x80 ? der(0x02, Uint8Array.of(0), rest) : der(0x02, rest);
}

/** Named bits: bit 0 is the first. Trailing zero bits are cut, as DER asks of named lists (X.690 §11.2.2). */
export function bits(...set: readonly number[]): Buffer {
  const last = Math.max(...set);
  const bytes = new Uint8Array((last >> 3) + 1);
  for (const bit of set) bytes[bit >> 3] = (bytes[bit >> 3] as number) | (0x80 >> (bit & 7));
  return der(0x03, Uint8Array.of(7 - (last & 7)), bytes);
}

/** A whole number of bytes as a bit string. */
export const bitString = (bytes: Uint8Array) => der(0x03, Uint8Array.of(0), bytes);

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return der(0x06, Uint8Array.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(value: number): number[] {
  const bytes = [value & 127];
  for (let rest = value >> 7; rest > 0; rest >>= 7) bytes.unshift((rest & 127) | 128);
  return bytes;
}

/** RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime after. */
export function time(milliseconds: number): Buffer {
  const text = `${new Date(milliseconds).toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
  return Number(text.slice(0, 4)) < 2050 ? der(0x17, Buffer.from(text.slice(2), 'latin1')) : der(0x18, Buffer.from(text, 'latin1'));
}
