import type { Secret } from '#kernel';
import type { Fields } from './head.ts';
import { type Needles, needlesOf } from './needles.ts';

const filler = 42;

/** Needles prepared for searching all at once (Wu and Manber 1994): most bytes of an innocent text are never looked at. */
export interface Sieve {
  readonly needles: Needles;
  readonly longest: number;
  /** The window: the length of the shortest needle. */
  readonly window: number;
  /** By the last two bytes of a window, how far it can move without passing a needle. */
  readonly shifts: Uint8Array;
  /** 1 for every byte with which a needle begins. */
  readonly starts: Uint8Array;
}

const blocks = 2_048;
const blockOf = (first: number, second: number): number => ((first << 4) ^ second) & (blocks - 1);
const widest = 255;

/** Prepares needles, longest first. */
export function sieveOfNeedles(needles: Needles): Sieve {
  const window = Math.min(widest, needles.at(-1)?.length ?? 0);
  const shifts = new Uint8Array(blocks).fill(Math.max(1, window - 1));
  const starts = new Uint8Array(256);
  for (const needle of needles) {
    starts[needle[0] as number] = 1;
    for (let end = 1; end < window; end++) {
      const block = blockOf(needle[end - 1] as number, needle[end] as number);
      shifts[block] = Math.min(shifts[block] as number, window - 1 - end);
    }
  }
  return { needles, longest: needles[0]?.length ?? 0, window, shifts, starts };
}

export const sieveOf = (values: readonly string[]): Sieve => sieveOfNeedles(needlesOf(values));

/** Where the next needle begins at or after `from`, or -1. */
function search(bytes: Buffer, from: number, sieve: Sieve): number {
  const { window, shifts, starts } = sieve;
  if (window === 0) return -1;
  let end = from + window - 1;
  while (end < bytes.length) {
    const shift = shifts[blockOf(bytes[end - 1] as number, bytes[end] as number)] as number;
    if (shift > 0) {
      end += shift;
      continue;
    }
    const start = end - window + 1;
    if (starts[bytes[start] as number] === 1 && lengthAt(bytes, start, sieve.needles) > 0) return start;
    end++;
  }
  return -1;
}

/** The length of the longest needle that stands at `start`; 0: none. */
function lengthAt(bytes: Buffer, start: number, needles: Needles): number {
  for (let i = 0; i < needles.length; i++) {
    const needle = needles[i] as Buffer;
    if (begins(bytes, start, needle, needle.length)) return needle.length;
  }
  return 0;
}

/** True if the first `length` bytes of `needle` stand at `start`. */
function begins(bytes: Buffer, start: number, needle: Buffer, length: number): boolean {
  if (start + length > bytes.length) return false;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== needle[i]) return false;
  return true;
}

/** Overwrites every needle in `bytes` with filler of equal length; returns how many there were. */
function maskAll(bytes: Buffer, sieve: Sieve): number {
  let count = 0;
  for (let at = search(bytes, 0, sieve); at >= 0; at = search(bytes, at, sieve)) {
    const length = lengthAt(bytes, at, sieve.needles);
    bytes.fill(filler, at, at + length);
    at += length;
    count++;
  }
  return count;
}

/** True if any needle stands in `bytes`. */
export const holdsAny = (bytes: Buffer, sieve: Sieve): boolean => search(bytes, 0, sieve) >= 0;

/** `text` (latin1) with every needle masked. */
export function maskText(text: string, sieve: Sieve | undefined): string {
  if (sieve === undefined) return text;
  const bytes = Buffer.from(text, 'latin1');
  return maskAll(bytes, sieve) === 0 ? text : bytes.toString('latin1');
}

/** Fields with every needle masked, in names as in values. */
export function maskFields(fields: Fields, sieve: Sieve | undefined): Fields {
  if (sieve === undefined) return fields;
  const pairs = fields.pairs.map(([name, value]) => [maskText(name, sieve), maskText(value, sieve)] as const);
  return { pairs, names: pairs.map(([name]) => name.toLowerCase()) };
}

const sieves = new WeakMap<readonly Secret[], Sieve>();
const single = new WeakMap<Secret, Sieve>();

/** The sieve of a verdict's secrets, remembered for as long as its list, or its only secret, lives. */
export function sieveFor(secrets: readonly Secret[]): Sieve {
  const only = secrets.length === 1 ? secrets[0] : undefined;
  const known = only === undefined ? sieves.get(secrets) : single.get(only);
  if (known !== undefined) return known;
  const sieve = sieveOf(secrets.map((secret) => secret.reveal()));
  if (only === undefined) sieves.set(secrets, sieve);
  else single.set(only, sieve);
  return sieve;
}

/**
 * Masks needles in a stream, in place and with equal length. Of each chunk only a tail that may be the beginning of a
 * needle is held back; everything else passes at once.
 */
export class Scrubber {
  /** Needles masked so far. */
  masked = 0;
  readonly #sieve: Sieve;
  #held: Buffer | undefined;

  constructor(sieve: Sieve) {
    this.#sieve = sieve;
  }

  /** What may pass now; empty when all of it is held back. The chunk belongs to the scrubber. */
  push(chunk: Buffer): Buffer {
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    this.masked += maskAll(bytes, this.#sieve);
    const keep = partial(bytes, this.#sieve);
    if (keep === bytes.length) {
      this.#held = undefined;
      return bytes;
    }
    this.#held = bytes.subarray(keep);
    return bytes.subarray(0, keep);
  }

  /** What was held back, when nothing more will come. */
  flush(): Buffer | undefined {
    const held = this.#held;
    this.#held = undefined;
    return held;
  }
}

/** Where the longest tail begins that is a proper beginning of a needle; the length when there is none. */
function partial(bytes: Buffer, sieve: Sieve): number {
  const { starts, needles } = sieve;
  for (let at = Math.max(0, bytes.length - sieve.longest + 1); at < bytes.length; at++) {
    if (starts[bytes[at] as number] === 0) continue;
    const rest = bytes.length - at;
    for (let i = 0; i < needles.length; i++) {
      const needle = needles[i] as Buffer;
      if (needle.length > rest && begins(bytes, at, needle, rest)) return at;
    }
  }
  return bytes.length;
}
