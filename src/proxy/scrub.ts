import type { Secret } from '#kernel';
import { type Needles, needlesOf } from './needles.ts';

const filler = 42;

/** Overwrites every needle in `bytes` with filler of equal length; returns how many there were. */
export function maskAll(bytes: Buffer, needles: Needles): number {
  let count = 0;
  for (let i = 0; i < needles.length; i++) {
    const needle = needles[i] as Buffer;
    for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + needle.length)) {
      bytes.fill(filler, at, at + needle.length);
      count++;
    }
  }
  return count;
}

/** True if any needle stands in `bytes`. */
export function holdsAny(bytes: Buffer, needles: Needles): boolean {
  for (let i = 0; i < needles.length; i++) if (bytes.indexOf(needles[i] as Buffer) >= 0) return true;
  return false;
}

/** `text` (latin1) with every needle masked. */
export function maskText(text: string, needles: Needles): string {
  const bytes = Buffer.from(text, 'latin1');
  return maskAll(bytes, needles) === 0 ? text : bytes.toString('latin1');
}

/** Needles prepared for searching in a stream. */
export interface Sieve {
  readonly needles: Needles;
  readonly longest: number;
  /** 1 for every byte with which a needle begins. */
  readonly starts: Uint8Array;
}

export function sieveOf(values: readonly string[]): Sieve {
  const needles = needlesOf(values);
  const starts = new Uint8Array(256);
  for (const needle of needles) starts[needle[0] as number] = 1;
  return { needles, longest: needles[0]?.length ?? 0, starts };
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
    this.masked += maskAll(bytes, this.#sieve.needles);
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
    for (let i = 0; i < needles.length; i++) {
      const needle = needles[i] as Buffer;
      const rest = bytes.length - at;
      if (needle.length > rest && needle.compare(bytes, at, bytes.length, 0, rest) === 0) return at;
    }
  }
  return bytes.length;
}
