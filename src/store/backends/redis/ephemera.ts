import { Fault } from '#kernel';
import { checkEntry, checkKey, checkTtl } from '../../limits.ts';
import type { Ephemera } from '../../ports.ts';
import type { Epochs } from './epochs.ts';
import type { Link } from './link.ts';
import { bumpScript, dropScript } from './scripts.ts';

/** The first byte of every value: how the rest is to be read. */
const format = '1';

/** Ephemera on Redis. Each verb is one command or script of one key, so each is atomic; lives are Redis's own. */
export function createRedisEphemera(link: Link, epochs: Epochs, prefix: string): Ephemera {
  return Object.freeze({
    async get(key: string) {
      checkKey(key);
      return read(await link.command('GET', prefix + key));
    },
    async put(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      await link.command('SET', prefix + key, format + value, 'PX', ttl);
    },
    async claim(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      return (await link.command('SET', prefix + key, format + value, 'PX', ttl, 'NX')) === 'OK';
    },
    async take(key: string) {
      checkKey(key);
      return read(await link.command('GETDEL', prefix + key));
    },
    async drop(key: string, value: string) {
      checkKey(key);
      return (await link.script(dropScript, prefix + key, [format + value])) === 1;
    },
    async bump(key: string, ttl: number) {
      checkKey(key);
      checkTtl(ttl);
      return Number(await link.script(bumpScript, prefix + key, [ttl, format]));
    },
    since: (key: string) => epochs.since(prefix + key),
    async ping() {
      const began = performance.now();
      await epochs.lookAll();
      return performance.now() - began;
    },
    /** Redis removes what has expired by itself. */
    async sweep() {
      return 0;
    },
    /** The connection is its opener's to end. */
    async close() {},
  });
}

function read(held: unknown): string | undefined {
  if (held === null) return undefined;
  const text = String(held);
  if (!text.startsWith(format)) throw new Fault('unavailable', { detail: 'A newer release wrote this value' });
  return text.slice(1);
}
