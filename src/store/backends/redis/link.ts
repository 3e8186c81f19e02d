import type { Redis } from 'ioredis';
import { Fault } from '#kernel';
import type { Client } from './client.ts';
import { createPatience } from './patience.ts';
import type { Script } from './scripts.ts';
import { slotOf } from './slots.ts';

type Argument = string | number | Buffer;

/** One client as its users see it: commands of one key, every failure a fault. */
export interface Link {
  /** Runs a command of one key; answers are text. @throws {Fault} `unavailable` */
  command(name: string, key: string, ...rest: readonly Argument[]): Promise<unknown>;
  /** The same with answers in bytes. */
  bytes(name: string, key: string, ...rest: readonly Argument[]): Promise<unknown>;
  /** Runs a script of one key, on `node` or wherever the key lies. @throws {Fault} `unavailable` */
  script(script: Script, key: string, given: readonly Argument[], node?: Redis): Promise<unknown>;
  /** Every node that takes writes. */
  masters(): readonly Redis[];
  /** The one on which the key lies. @throws {Fault} `unavailable` while that is not known */
  masterOf(key: string): Redis;
  /** A key of the family that lies on this node; undefined on one without slots. */
  keyOn(node: Redis, family: string): string | undefined;
  /** What a node says of itself. */
  facts(node: Redis): Promise<ReadonlyMap<string, string>>;
  /** One step through the keys of a node. */
  scan(node: Redis, cursor: string, pattern: string, count: number): Promise<unknown>;
  /** Tells every subscriber, on any node. @throws {Fault} `unavailable` */
  publish(channel: string, message: string): Promise<unknown>;
  /** Why every use is refused, until it is taken back; looking at a node is not. */
  refuse(sentence: string | undefined): void;
  /** Calls `listener` with every node whose connection ended. */
  onLoss(listener: (node: string) => void): void;
  lastError(): Error | undefined;
  close(): void;
}

export const nodeName = (node: Redis): string => node.options.path ?? `${node.options.host}:${node.options.port}`;

/** Enough names that each node of the largest cluster has one of them. */
const familySize = 100_000;

const slotsAskedEvery = 250;

/**
 * Wraps a client. What went wrong is told without what was sent. A command for which there is no connection right now waits
 * `failover` milliseconds for one, before it is sent.
 */
export function createLink(client: Client, failover = 0): Link {
  const { driver } = client;
  const patience = createPatience(failover);
  let slotsAsked = 0;
  let refusal: string | undefined;
  let last: Error | undefined;
  const keep = (error: Error) => {
    last = error;
  };
  driver.on('error', keep);
  if (client.kind === 'cluster') client.driver.on('node error', keep);

  async function safely<T>(action: () => Promise<T>, where: () => Redis): Promise<T> {
    try {
      return await action();
    } catch (cause) {
      if (cause instanceof Error && cause.message === 'Command timed out') dropConnection(where);
      throw faultOf(cause);
    }
  }

  /** @throws {Fault} `unavailable` while every use is refused */
  async function assertUsed(key: string): Promise<void> {
    await patience(() => hasConnection(key));
    if (refusal !== undefined) throw new Fault('unavailable', { detail: refusal });
  }

  function hasConnection(key: string): boolean {
    if (driver.status !== 'ready') return driver.status === 'end';
    if (client.kind === 'single') return true;
    const node = ownerOf(key);
    if (node !== undefined && node.status !== 'close' && node.status !== 'reconnecting' && node.status !== 'end') return true;
    if (failover > 0 && performance.now() - slotsAsked > slotsAskedEvery) {
      slotsAsked = performance.now();
      client.driver.refreshSlotsCache();
    }
    return false;
  }

  function ownerOf(key: string): Redis | undefined {
    if (client.kind === 'single') return client.driver;
    const name = client.driver.slots[slotOf(key)]?.[0];
    return client.driver.nodes('master').find((node) => nodeName(node) === name);
  }

  /** In a cluster those that own slots, once that is known: until then every node passes for one. */
  function masters(): readonly Redis[] {
    if (client.kind === 'single') return [client.driver];
    if (client.driver.status !== 'ready') return [];
    const owners = new Set(client.driver.slots.map((names) => names?.[0]));
    return client.driver.nodes('master').filter((node) => owners.has(nodeName(node)));
  }

  function masterOf(key: string): Redis {
    const found = ownerOf(key);
    if (found === undefined) throw new Fault('unavailable', { detail: 'Redis does not say where a key lies' });
    return found;
  }

  function keyOn(node: Redis, family: string): string | undefined {
    if (client.kind === 'single') return `${family}:0`;
    const { slots } = client.driver;
    const name = nodeName(node);
    if (!slots.some((names) => names?.[0] === name)) return undefined;
    for (let number = 0; number < familySize; number++) {
      const key = `${family}:${number}`;
      if (slots[slotOf(key)]?.[0] === name) return key;
    }
    return undefined;
  }

  return Object.freeze({
    async command(name, key, ...rest) {
      await assertUsed(key);
      return await safely(
        () => driver.call(name, key, ...rest),
        () => masterOf(key),
      );
    },
    async bytes(name, key, ...rest) {
      await assertUsed(key);
      return await safely(
        () => driver.callBuffer(name, key, ...rest),
        () => masterOf(key),
      );
    },
    async script(script, key, given, node) {
      if (node === undefined) await assertUsed(key);
      return await safely(
        () => run(node ?? driver, script, key, given),
        () => node ?? masterOf(key),
      );
    },
    masters,
    masterOf,
    keyOn,
    facts: (node) =>
      safely(
        async () => factsOf(String(await node.call('INFO', 'server', 'memory', 'persistence', 'replication'))),
        () => node,
      ),
    scan: (node, cursor, pattern, count) =>
      safely(
        () => node.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', count),
        () => node,
      ),
    publish: async (channel, message) => {
      try {
        return await driver.publish(channel, message);
      } catch (cause) {
        throw faultOf(cause);
      }
    },
    refuse(sentence) {
      refusal = sentence;
    },
    onLoss(listener) {
      if (client.kind === 'single') client.driver.on('close', () => listener(nodeName(client.driver)));
      else client.driver.on('-node', (node: Redis) => listener(nodeName(node)));
    },
    lastError: () => last,
    close: () => driver.disconnect(),
  } satisfies Link);
}

type Runner = Pick<Redis, 'call'>;

async function run(runner: Runner, { hash, text }: Script, key: string, given: readonly Argument[]): Promise<unknown> {
  try {
    return await runner.call('EVALSHA', hash, 1, key, ...given);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    return await runner.call('EVAL', text, 1, key, ...given);
  }
}

/** Who does not answer in time may answer much later: the connection ends, and with it what waits to be sent on it. */
function dropConnection(where: () => Redis): void {
  try {
    where().disconnect(true);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
}

/** The driver's errors carry the command with its values: only the words go on. */
function faultOf(cause: unknown): Fault {
  if (cause instanceof Fault) return cause;
  const words = cause instanceof Error ? cause.message : 'unknown';
  return new Fault('unavailable', { detail: 'What lives briefly cannot be reached right now', retryAfter: 2, cause: new Error(words) });
}

function factsOf(text: string): ReadonlyMap<string, string> {
  const lines = text.split(/\r?\n/).filter((line) => line.includes(':'));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}
