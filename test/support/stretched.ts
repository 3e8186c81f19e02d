import type { Cluster, Redis } from 'ioredis';
import { type FakeClock, fakeClock } from '#kernel';
import type { Ephemera } from '#store';
import { keysOf } from './redis.ts';

/** A millisecond of the test is this many of Redis, whose clock cannot be stopped: what a test takes then counts for nothing. */
const stretch = 10_000;

/** A clock that moves what lives in Redis when it is told to, and Ephemera whose lives are stretched to fit. */
export function stretched(client: Redis | Cluster, prefix: string) {
  const plain = fakeClock();
  let moving: Promise<void> = Promise.resolve();

  async function move(milliseconds: number): Promise<void> {
    for (const { node, key } of await keysOf(client, prefix)) {
      const left = await node.pttl(key);
      if (left > 0) await node.pexpire(key, Math.max(1, left - milliseconds * stretch));
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }

  const clock: FakeClock = {
    ...plain,
    advance(milliseconds) {
      plain.advance(milliseconds);
      moving = moving.then(() => move(milliseconds));
    },
  };
  const longer = (ttl: number) => (Number.isSafeInteger(ttl) && ttl > 0 && ttl < 1e9 ? ttl * stretch : ttl);
  const moved = async () => await moving;

  function over(ephemera: Ephemera): Ephemera {
    return {
      ...ephemera,
      get: async (key) => moved().then(() => ephemera.get(key)),
      put: async (key, value, ttl) => moved().then(() => ephemera.put(key, value, longer(ttl))),
      claim: async (key, value, ttl) => moved().then(() => ephemera.claim(key, value, longer(ttl))),
      take: async (key) => moved().then(() => ephemera.take(key)),
      drop: async (key, value) => moved().then(() => ephemera.drop(key, value)),
      bump: async (key, ttl) => moved().then(() => ephemera.bump(key, longer(ttl))),
    };
  }
  return { clock, over };
}
