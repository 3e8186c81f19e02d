import type { Redis } from 'ioredis';
import { type Clock, Fault } from '#kernel';
import { type Link, nodeName } from './link.ts';
import { epochScript } from './scripts.ts';

/** Since when what was written can be relied on, node by node (SECURITY 14). */
export interface Epochs {
  /** Looks at the node on which the key lies, then tells for all. @throws {Fault} `unavailable` */
  since(key: string): Promise<number>;
  /** Looks at every node; those whose epoch is not the one that was known. @throws {Fault} `unavailable` unless all answer */
  lookAll(): Promise<readonly Redis[]>;
  /** From here on everything that is learnt anew is a loss. */
  settled(): void;
}

/**
 * A node's epoch lies in a key of its own on that node. It begins anew at a start, a promotion and a loss of that key;
 * and for this process with every new connection, for what happened meanwhile cannot be known.
 */
export function createEpochs(link: Link, prefix: string, clock: Clock): Epochs {
  const known = new Map<string, string>();
  let since = 0;
  let opening = true;
  link.onLoss((node) => known.delete(node));

  async function look(node: Redis): Promise<boolean> {
    const name = nodeName(node);
    const key = link.keyOn(node, `${prefix}epoch`);
    if (key === undefined) return false;
    const epoch = String(await link.script(epochScript, key, [clock.now()], node));
    if (known.get(name) === epoch) return false;
    const stored = Number(/^1[0-9a-f]+ (\d+)$/.exec(epoch)?.[1]);
    if (!Number.isSafeInteger(stored)) throw new Fault('unavailable', { detail: 'Redis holds an epoch that this version cannot read' });
    since = Math.max(since, stored, opening ? 0 : clock.now());
    known.set(name, epoch);
    return true;
  }

  return Object.freeze({
    async lookAll() {
      const nodes = link.masters();
      if (nodes.length === 0) throw new Fault('unavailable', { detail: 'Redis is not reached' });
      const changed: Redis[] = [];
      for (const node of nodes) if (await look(node)) changed.push(node);
      return changed;
    },
    async since(key: string) {
      await look(link.masterOf(key));
      return since;
    },
    settled() {
      opening = false;
    },
  });
}
