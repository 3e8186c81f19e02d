import type { Pool, RenewablePool, Session } from './server.ts';

/** A pool of a driver, and how many of its connections are lent or waited for. */
interface Generation {
  readonly pool: Pool;
  lent: number;
  drained: () => void;
}

/** A pool over pools of a driver: the last one is used; the others end once what is lent of them has come back. */
export function renewable(make: () => Pool): RenewablePool {
  const newGeneration = (): Generation => ({ pool: make(), lent: 0, drained: () => {} });
  let current = newGeneration();
  let lost = () => {};
  const ending = new Set<Promise<void>>();

  function end(generation: Generation): void {
    const drained = new Promise<void>((resolve) => {
      generation.drained = resolve;
      if (generation.lent === 0) resolve();
    });
    const ended = drained.then(() => generation.pool.close()).catch(() => {});
    ending.add(ended);
    void ended.then(() => ending.delete(ended));
  }

  function back(generation: Generation): void {
    generation.lent--;
    if (generation.lent === 0) generation.drained();
  }

  function lend(generation: Generation, session: Session): Session {
    return {
      ...session,
      release(discard) {
        const old = generation !== current;
        session.release(discard || old);
        back(generation);
        if (discard && !old) lost();
      },
    };
  }

  return {
    async acquire() {
      const generation = current;
      generation.lent++;
      try {
        return lend(generation, await generation.pool.acquire());
      } catch (error) {
        back(generation);
        throw error;
      }
    },
    renew() {
      const old = current;
      current = newGeneration();
      end(old);
    },
    onLoss(listener) {
      lost = listener;
    },
    async close() {
      end(current);
      await Promise.all(ending);
    },
  };
}

/** A connection that is lost in one pool tells of the server behind all of them. */
export function renewTogether(pools: readonly RenewablePool[]): void {
  for (const pool of pools)
    pool.onLoss(() => {
      for (const one of pools) one.renew();
    });
}
