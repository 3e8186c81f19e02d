import type { Redis } from 'ioredis';
import { Fault } from '#kernel';
import { checkKey, checkPageLimit, checkVersion } from '../../limits.ts';
import type { SealedEntry, SealedStore } from '../../ports.ts';
import type { Link } from './link.ts';
import type { Prefixes } from './prefixes.ts';
import { removeScript, replaceScript } from './scripts.ts';

const scannedAtOnce = 1_000;

/** Ciphertext by key on Redis. A value is the format byte, its version, a space, and the envelope; it never expires. */
export function createRedisSealedStore(link: Link, { sealed: prefix, ephemera }: Prefixes): SealedStore {
  return Object.freeze({
    async get(key: string): Promise<SealedEntry | undefined> {
      checkKey(key);
      const held = await link.bytes('GET', prefix + key);
      return held === null ? undefined : entryOf(held as Buffer);
    },

    async put(key: string, envelope: Uint8Array, expected: number): Promise<boolean> {
      checkKey(key);
      checkVersion(expected);
      const value = Buffer.concat([Buffer.from(`1${expected + 1} `), envelope]);
      return (await link.script(replaceScript, prefix + key, [String(expected), value])) === 1;
    },

    async remove(key: string, expected: number): Promise<boolean> {
      checkKey(key);
      checkVersion(expected);
      return (await link.script(removeScript, prefix + key, [String(expected)])) === 1;
    },

    async list(wanted: string, page: { readonly after?: string; readonly limit: number }): Promise<readonly string[]> {
      checkPageLimit(page.limit);
      const found = new Lowest(page.limit, page.after);
      for (const node of link.masters())
        for await (const key of scan(link, node, prefix + wanted)) if (!key.startsWith(ephemera)) found.add(key.slice(prefix.length));
      return found.all();
    },
  });
}

function entryOf(held: Buffer): SealedEntry {
  const space = held.indexOf(0x20);
  const version = Number(/^1(\d+)$/.exec(held.toString('latin1', 0, Math.max(space, 0)))?.[1]);
  if (!Number.isSafeInteger(version)) throw new Fault('unavailable', { detail: 'A newer release wrote this value' });
  return { envelope: new Uint8Array(held.subarray(space + 1)), version };
}

/** Every key of one node that starts so; some may come twice. */
async function* scan(link: Link, node: Redis, start: string): AsyncGenerator<string> {
  const pattern = `${start.replace(/[\\*?[\]]/g, '\\$&')}*`;
  let cursor = '0';
  do {
    const [next, keys] = (await link.scan(node, cursor, pattern, scannedAtOnce)) as [string, string[]];
    yield* keys;
    cursor = next;
  } while (cursor !== '0');
}

/** The lowest keys after one, in the order of their bytes, however many are seen. */
class Lowest {
  readonly #limit: number;
  readonly #after: Buffer | undefined;
  #kept = new Set<string>();

  constructor(limit: number, after: string | undefined) {
    this.#limit = limit;
    this.#after = after === undefined ? undefined : Buffer.from(after);
  }

  add(key: string): void {
    if (this.#after !== undefined && Buffer.compare(Buffer.from(key), this.#after) <= 0) return;
    this.#kept.add(key);
    if (this.#kept.size > 2 * this.#limit + scannedAtOnce) this.#kept = new Set(this.all());
  }

  all(): readonly string[] {
    const ordered = [...this.#kept].map((key) => ({ key, bytes: Buffer.from(key) })).sort((a, b) => Buffer.compare(a.bytes, b.bytes));
    return ordered.slice(0, this.#limit).map(({ key }) => key);
  }
}
