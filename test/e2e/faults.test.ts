import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { describe, expect } from 'vitest';
import { type Forwarder, startForwarder } from '../support/forwarder.ts';
import { count, testWith } from '../support/need.ts';
import { type OwnServer, ownNeeds, ownServer } from '../support/own-server.ts';
import { clusterCommand, type RedisServer, startCluster, startRedis, startSentinel } from '../support/redis.ts';
import { type Replica, type Site, startSite, type Way } from '../support/replicas.ts';
import { type Tally, underLoad } from '../support/under-load.ts';

/** What replicas stand on, as far as a fault can reach it. */
interface Ground {
  readonly site: Site;
  readonly database: OwnServer;
  /** The way of each replica to the database. */
  readonly toDatabase: readonly Forwarder[];
  readonly redis: readonly RedisServer[];
  /** The way of each replica to Redis. */
  readonly toRedis: readonly Forwarder[];
}

interface Fault {
  readonly name: string;
  /** Breaks something, and resolves once it is whole again. */
  strike(ground: Ground): Promise<void>;
  /** Codes by which requests may be refused meanwhile; `gone`: there was no answer. */
  readonly refusals: readonly string[];
  /** Replicas that it does not touch. */
  readonly untouched?: readonly number[];
}

interface Place {
  readonly name: string;
  readonly needs: readonly string[];
  open(): Promise<Ground>;
  readonly faults: readonly Fault[];
}

const at = <T>(list: readonly T[], index: number): T => list[index] as T;
/** How long something is away. */
const away = count(3_500, 30_000);

const databaseAway = ['unavailable', 'busy', 'stale_revocations', 'gone', 'audit_unavailable'];
const redisAway = ['unavailable', 'proof_unremembered'];

const shifted = {
  NODE_OPTIONS: `--import=${pathToFileURL(`${import.meta.dirname}/../support/clock-shift.mjs`).href}`,
  CLOCK_SHIFT: String(5 * 60_000),
};

async function restart(replica: Replica, signal: NodeJS.Signals, more: Readonly<Record<string, string>> = {}): Promise<void> {
  await replica.stop(signal);
  await replica.start(more);
}

const ofReplicas: readonly Fault[] = [
  {
    name: 'a replica killed',
    strike: ({ site }) => restart(at(site.replicas, 1), 'SIGKILL'),
    refusals: ['gone'],
    untouched: [0],
  },
  {
    name: 'a rolling restart',
    async strike({ site }) {
      for (const replica of site.replicas) await restart(replica, 'SIGTERM');
    },
    refusals: ['gone', 'shutting_down', 'unavailable'],
  },
  {
    name: 'the clock of one replica five minutes ahead',
    async strike({ site }) {
      await restart(at(site.replicas, 1), 'SIGTERM', shifted);
      await sleep(away);
      await restart(at(site.replicas, 1), 'SIGTERM');
    },
    refusals: ['gone', 'shutting_down', 'unavailable', 'invalid_proof'],
    untouched: [0],
  },
];

const restartedDatabase = (signal: NodeJS.Signals): Fault => ({
  name: 'the database restarted',
  async strike({ database }) {
    await database.stop(signal);
    await database.start();
  },
  refusals: databaseAway,
});

const refusedByDatabase: Fault = {
  name: 'the database refusing connections',
  async strike({ toDatabase }) {
    for (const way of toDatabase) await way.refuse();
    await sleep(away);
    for (const way of toDatabase) await way.restore();
  },
  refusals: databaseAway,
};

const killedPrimary: Fault = {
  name: 'the primary of Redis killed',
  async strike({ redis }) {
    const roles = await Promise.all(redis.map(({ admin }) => admin.info('replication')));
    const primary = at(
      redis,
      roles.findIndex((text) => text.includes('role:master')),
    );
    await primary.stop('SIGKILL');
    await untilOther(redis, primary);
    await primary.start();
  },
  refusals: redisAway,
};

/** Waits for another primary that was none before. */
async function untilOther(redis: readonly RedisServer[], gone: RedisServer): Promise<void> {
  const masters = async () => {
    const others = redis.filter((server) => server !== gone);
    const roles = await Promise.all(others.map(({ admin }) => admin.info('replication')));
    return roles.filter((text) => text.includes('role:master')).length;
  };
  const before = await masters();
  for (const end = performance.now() + 30_000; (await masters()) <= before; ) {
    if (performance.now() > end) throw new Error('nobody became the primary');
    await sleep(50);
  }
}

const resharded: Fault = {
  name: 'slots that move to another node',
  async strike({ redis }) {
    const first = at(redis, 0);
    const nodes = String(await first.admin.call('CLUSTER', 'NODES')).split('\n');
    const masters = nodes
      .filter((line) => /\bmaster\b/.test(line) && !/fail/.test(line) && /\d+-\d+/.test(line))
      .map((line) => line.split(' ')[0]);
    const [from = '', to = ''] = masters;
    const slots = String(count(300, 4_000));
    const words = [
      'reshard',
      `127.0.0.1:${first.port}`,
      '--cluster-from',
      from,
      '--cluster-to',
      to,
      '--cluster-slots',
      slots,
      '--cluster-yes',
    ];
    await clusterCommand([first], { word }, words);
  },
  refusals: redisAway,
};

const emptied: Fault = {
  name: 'Redis restarted empty',
  async strike({ redis }) {
    await at(redis, 0).stop('SIGKILL');
    await at(redis, 0).start();
  },
  refusals: redisAway,
};

const stopped: Fault = {
  name: 'Redis stopped beyond the timeout',
  async strike({ redis }) {
    at(redis, 0).signal('SIGSTOP');
    await sleep(away);
    at(redis, 0).signal('SIGCONT');
  },
  refusals: redisAway,
};

const cut: Fault = {
  name: 'the network cut between one replica and Redis',
  async strike({ toRedis }) {
    at(toRedis, 1).hang();
    await sleep(away);
    await at(toRedis, 1).restore();
  },
  refusals: redisAway,
  untouched: [0],
};

async function open(
  kind: 'postgresql' | 'mariadb',
  redis: readonly RedisServer[],
  redisUrls: readonly [string?, string?],
): Promise<Omit<Ground, 'toRedis'>> {
  const database = await ownServer(kind);
  const toDatabase = [await startForwarder(database.port), await startForwarder(database.port)];
  const ways = toDatabase.map(({ port }, index): Way => {
    const url = database.database.url.replace(`:${database.port}/`, `:${port}/`);
    const redisUrl = redisUrls[index];
    return { database: { ...database.database, url }, ...(redisUrl === undefined ? {} : { redisUrl }) };
  });
  return { site: await startSite(ways), database, toDatabase, redis };
}

const word = 'word';

const places: readonly Place[] = [
  {
    name: 'two replicas on PostgreSQL',
    needs: ownNeeds.postgresql,
    open: async () => ({ ...(await open('postgresql', [], [])), toRedis: [] }),
    faults: [...ofReplicas, restartedDatabase('SIGINT'), refusedByDatabase],
  },
  {
    name: 'two replicas on MariaDB',
    needs: ownNeeds.mariadb,
    open: async () => ({ ...(await open('mariadb', [], [])), toRedis: [] }),
    faults: [restartedDatabase('SIGTERM')],
  },
  {
    name: 'two replicas on PostgreSQL and Redis',
    needs: [...ownNeeds.postgresql, 'redis-server'],
    async open() {
      const redis = await startRedis({ config: [`requirepass ${word}`], admin: { password: word } });
      const toRedis = [await startForwarder(redis.port), await startForwarder(redis.port)];
      const urls = toRedis.map(({ port }) => `redis://:word@127.0.0.1:${port}`) as [string, string];
      return { ...(await open('postgresql', [redis], urls)), toRedis };
    },
    faults: [emptied, stopped, cut],
  },
  {
    name: 'two replicas on PostgreSQL and Redis under Sentinel',
    needs: [...ownNeeds.postgresql, 'redis-server'],
    async open() {
      const { url, servers } = await startSentinel({ word });
      const withWord = url.replace('//', '//:word@');
      return { ...(await open('postgresql', servers, [withWord, withWord])), toRedis: [] };
    },
    faults: [killedPrimary],
  },
  {
    name: 'two replicas on PostgreSQL and a cluster of Redis',
    needs: [...ownNeeds.postgresql, 'redis-server', 'redis-cli'],
    async open() {
      const { url, servers } = await startCluster({ word });
      const withWord = url.replace('//', '//:word@');
      return { ...(await open('postgresql', servers, [withWord, withWord])), toRedis: [] };
    },
    faults: [resharded, killedPrimary],
  },
];

function sum(codes: ReadonlyMap<string, number>): number {
  return [...codes.values()].reduce((all, one) => all + one, 0);
}

function tell(fault: string, tally: Tally): void {
  const refused = [...tally.refused].map(
    ([name, codes]) => `${name} refused ${[...codes].map(([code, times]) => `${times} ${code}`).join(', ')}`,
  );
  const normal = `normal ${(tally.normalAfter / 1000).toFixed(1)} s after all was whole`;
  process.stderr.write(`${fault}: ${tally.items} of each kind; ${[...refused, normal].join('; ')}\n`);
}

describe.each(places)('$name, under load', ({ needs, open: openPlace, faults }) => {
  let ground: Promise<Ground> | undefined;

  testWith(...needs).each(faults)(
    '$name: nothing is lost, and nothing is spent twice',
    async ({ name, strike, refusals, untouched = [] }) => {
      ground ??= openPlace();
      const { site } = await ground;
      const tally = await underLoad(site, async () => strike(await (ground as Promise<Ground>)));
      tell(name, tally);
      expect(tally.wrong).toEqual([]);
      expect([...tally.accepted].filter(([, times]) => times > 1)).toEqual([]);
      const codes = new Set([...tally.refused.values()].flatMap((one) => [...one.keys()]));
      expect([...codes].filter((code) => !refusals.includes(code))).toEqual([]);
      for (const index of untouched) expect(sum(tally.refused.get(at(site.replicas, index).name) ?? new Map())).toBe(0);
      for (const kind of ['code', 'lease', 'mark', 'proof', 'laid', 'note'])
        expect([...tally.accepted.keys()].filter((key) => key.startsWith(`${kind}:`)).length).toBeGreaterThan(10);
    },
    count(120_000, 3_600_000),
  );
});
