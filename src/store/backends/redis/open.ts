import { setTimeout as sleep } from 'node:timers/promises';
import { type Clock, Fault, type Log, type Secret } from '#kernel';
import type { Ephemera, SealedStore } from '../../ports.ts';
import type { Push } from '../../push.ts';
import { parseRedisUrl, type RedisLocation } from './address.ts';
import { certificateProblem } from './certificate.ts';
import { createClient, type RedisEvidence, type RedisTls } from './client.ts';
import { createRedisEphemera } from './ephemera.ts';
import { createEpochs, type Epochs } from './epochs.ts';
import { createLink, type Link } from './link.ts';
import { createMeetings, type Meetings } from './meetings.ts';
import { prefixesOf } from './prefixes.ts';
import { openRedisPush } from './push.ts';
import { createRedisSealedStore } from './sealed.ts';
import { admit, type Use } from './standing.ts';

export interface RedisOptions extends RedisEvidence, RedisTls {
  readonly url: Secret<string>;
  readonly prefix?: string | undefined;
  /** Milliseconds. */
  readonly connectTimeout: number;
  readonly commandTimeout: number;
  /** How long a command waits for a connection that is being made again; 0, not at all, unless told otherwise. */
  readonly failoverTimeout?: number;
  /** How long a start waits for a Redis that comes later, milliseconds. */
  readonly patience?: number;
}

export interface RedisBackend {
  readonly ephemera: Ephemera;
  readonly sealed: SealedStore;
  readonly push: Push;
  /** Told of every server that was met without being named. */
  readonly watchServers: Meetings['watch'];
  close(): void;
}

const lookedAtEvery = 1_000;
/** Looks after which every node is judged anew, and asked for its replicas. */
const judgedEvery = 10;
const defaultPatience = 30_000;
const tellsEvery = 5_000;

/**
 * Opens Redis, waiting a while for one that comes later, and judges it.
 * @throws {Fault} `unavailable` when it does not come, `invalid_setting` when it must not be used
 */
export async function openRedis(options: RedisOptions, uses: readonly Use[], clock: Clock, log: Log): Promise<RedisBackend> {
  const location = parseRedisUrl(options.url.reveal());
  const meetings = createMeetings();
  const newClient = () => createClient({ ...options, location, evidence: options, tls: options, meet: meetings.meet });
  const client = await newClient();
  const link = createLink(client, options.failoverTimeout);
  const prefixes = prefixesOf(options.prefix);
  const epochs = createEpochs(link, prefixes.ephemera, clock);
  try {
    const problem = () => certificateProblem(location, options, options.connectTimeout);
    await untilAnswered(link, epochs, problem, options.patience ?? defaultPatience, log);
    await admitAll(link, meetings, location, uses, log);
    epochs.settled();
  } catch (error) {
    link.close();
    throw error;
  }
  const watch = keepWatched(link, epochs, meetings, log);
  return Object.freeze({
    ephemera: createRedisEphemera(link, epochs, prefixes.ephemera),
    sealed: createRedisSealedStore(link, prefixes),
    push: openRedisPush(link, newClient, prefixes.changes, log),
    watchServers: meetings.watch,
    close() {
      clearInterval(watch);
      link.close();
    },
  });
}

/** Sealed values on Redis, for work on a whole installation. */
export interface HeldSealed {
  readonly store: SealedStore;
  close(): void;
}

/** Opens Redis for sealed values alone. @throws {Fault} as `openRedis` */
export async function openSealedOnRedis(options: RedisOptions, clock: Clock, log: Log): Promise<HeldSealed> {
  const backend = await openRedis(options, ['sealed'], clock, log);
  return { store: backend.sealed, close: backend.close };
}

const neverGood = /WRONGPASS|NOAUTH|NOPERM|no password is set|without any password|certificate|self-signed|altnames/i;

async function untilAnswered(
  link: Link,
  epochs: Epochs,
  problem: () => Promise<string | undefined>,
  patience: number,
  log: Log,
): Promise<void> {
  const began = performance.now();
  let told = began;
  for (let tries = 0; ; tries++) {
    const failure = await epochs.lookAll().then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failure === undefined) return;
    const reason = (tries % 10 === 5 ? await problem() : undefined) ?? reasonOf(failure, link.lastError());
    if (neverGood.test(reason)) throw refusal(`Redis refuses us: ${reason}`);
    if (performance.now() - began > patience)
      throw new Fault('unavailable', { detail: 'Redis does not answer', hint: reason, cause: failure });
    if (performance.now() - told > tellsEvery) {
      told = performance.now();
      log.info('waiting for redis', { reason });
    }
    await sleep(100);
  }
}

function reasonOf(failure: unknown, last: Error | undefined): string {
  const cause = failure instanceof Fault && failure.cause instanceof Error ? failure.cause : undefined;
  const node = last !== undefined && 'lastNodeError' in last && last.lastNodeError instanceof Error ? last.lastNodeError : last;
  return (node ?? cause ?? (failure as Error)).message;
}

function refusal(sentence: string): Fault {
  return new Fault('invalid_setting', { detail: sentence, fields: { GATEHOUSE_REDIS_URL: sentence } });
}

async function admitAll(link: Link, meetings: Meetings, location: RedisLocation, uses: readonly Use[], log: Log): Promise<void> {
  for (const node of link.masters()) {
    const facts = await link.facts(node);
    meetings.meetReplicas(facts);
    const { problem, warnings } = admit(facts, location, uses);
    if (problem !== undefined) throw refusal(problem);
    for (const warning of warnings) log.warn(warning);
  }
}

/** Looks at every node now and then: at its epoch, and at what a new one is like. Tells when it goes and comes back. */
function keepWatched(link: Link, epochs: Epochs, meetings: Meetings, log: Log): NodeJS.Timeout {
  let away = false;
  let looks = 0;
  let looking = false;
  let refused: string | undefined;

  async function look(): Promise<void> {
    const problems: string[] = [];
    const changed = await epochs.lookAll();
    looks += 1;
    for (const node of refused === undefined && looks % judgedEvery !== 0 ? changed : link.masters()) {
      const facts = await link.facts(node);
      meetings.meetReplicas(facts);
      const { problem } = admit(facts);
      if (problem !== undefined) problems.push(problem);
    }
    if (problems[0] !== refused) {
      refused = problems[0];
      link.refuse(refused);
      if (refused !== undefined) log.error('redis is not used', { reason: refused });
    }
  }

  async function tick(): Promise<void> {
    if (looking) return;
    looking = true;
    try {
      await look();
      if (away) log.info('redis answers again');
      away = false;
    } catch (error) {
      if (!away) log.error('redis does not answer', { reason: reasonOf(error, undefined) });
      away = true;
    } finally {
      looking = false;
    }
  }

  const timer = setInterval(() => void tick(), lookedAtEvery);
  timer.unref();
  return timer;
}
