import { type Cluster, Cluster as ClusterClient, type Redis } from 'ioredis';
import { test } from 'vitest';
import { Secret, silentLog, systemClock } from '#kernel';
import { redisAcl, type Store } from '#store';
import type { RedisEvidence } from '../../src/store/backends/redis/client.ts';
import { testAuthority } from '../support/certificates.ts';
import { testWith } from '../support/need.ts';
import { adminOf, type RedisGroup, startCluster, startRedis, startSentinel } from '../support/redis.ts';
import { openTestStore, temporaryFolder } from '../support/store.ts';
import { stretched } from '../support/stretched.ts';
import { changesCases, pushCases } from './changes.suite.ts';
import { ephemeraCases } from './ephemera.suite.ts';
import { sealedCases } from './sealed.suite.ts';
import { runSuite } from './suite.ts';

interface Place {
  readonly url: string;
  readonly admin: Redis | Cluster;
  /** Each with every right. */
  readonly nodes: readonly Redis[];
  readonly ca?: string;
}

async function startAlone(): Promise<RedisGroup> {
  const server = await startRedis();
  return { url: `redis://127.0.0.1:${server.port}`, servers: [server] };
}

/** How each kind is had: a setting names one that runs already, else it is started. */
const kinds = {
  standalone: { given: process.env.GATEHOUSE_TEST_REDIS_URL, start: startAlone },
  sentinel: { given: process.env.GATEHOUSE_TEST_REDIS_SENTINEL_URL, start: startSentinel },
  cluster: { given: process.env.GATEHOUSE_TEST_REDIS_CLUSTER_URL, start: startCluster },
};

interface Two {
  readonly prefix: string;
  readonly first: Store;
  readonly second: Store;
  close(): Promise<void>;
}

let cases = 0;

function newPrefix(): string {
  cases += 1;
  return `case-${process.pid}-${cases}:`;
}

/** Two processes' worth of stores, with a prefix of their own. */
async function openTwo({ url, ca }: Place, prefix = newPrefix(), evidence: RedisEvidence = {}): Promise<Two> {
  const home = temporaryFolder();
  const redis = { url: new Secret(url), ca, prefix, connectTimeout: 5_000, commandTimeout: 5_000, ...evidence };
  const open = () => openTestStore({ home, clock: systemClock, log: silentLog, ephemera: 'redis', sealed: 'redis', redis });
  const [first, second] = [await open(), await open()];
  const close = async () => {
    await first.close();
    await second.close();
  };
  return { prefix, first, second, close };
}

for (const [kind, { given, start }] of Object.entries(kinds)) {
  let started: Promise<Place> | undefined;
  const place = () => {
    started ??= (async () => {
      const { url, servers } = given === undefined ? await start() : { url: given, servers: undefined };
      const admin = await adminOf(url);
      const nodes = servers?.map((server) => server.admin) ?? (admin instanceof ClusterClient ? admin.nodes('all') : [admin]);
      return { url, admin, nodes };
    })();
    return started;
  };
  const trying = given === undefined ? testWith('redis-server', 'redis-cli') : test;

  runSuite(
    `ephemera on redis, ${kind}`,
    ephemeraCases,
    async () => {
      const { prefix, first, second, close } = await openTwo(await place());
      const { clock, over } = stretched((await place()).admin, prefix);
      return { first: over(first.ephemera), second: over(second.ephemera), clock, close };
    },
    trying,
  );

  runSuite(
    `sealed values on redis, ${kind}`,
    sealedCases,
    async () => {
      const { first, second, close } = await openTwo(await place());
      return { first: first.sealed, second: second.sealed, close };
    },
    trying,
  );

  runSuite(`changes pushed by redis, ${kind}`, [...changesCases, ...pushCases], async () => await openTwo(await place()), trying);

  if (kind === 'sentinel') continue;
  runSuite(
    `ephemera on redis, ${kind}, with the least rights`,
    ephemeraCases,
    async () => {
      const { url, admin, nodes } = await place();
      const prefix = newPrefix();
      await grant(nodes, prefix);
      const evidence = { username: 'gatehouse', password: new Secret('word') };
      const { first, second, close } = await openTwo({ url, admin, nodes }, prefix, evidence);
      const { clock, over } = stretched(admin, prefix);
      return { first: over(first.ephemera), second: over(second.ephemera), clock, close };
    },
    trying,
  );
  runSuite(
    `changes pushed by redis, ${kind}, with the least rights`,
    pushCases,
    async () => {
      const { url, admin, nodes } = await place();
      const prefix = newPrefix();
      await grant(nodes, prefix);
      return await openTwo({ url, admin, nodes }, prefix, { username: 'gatehouse', password: new Secret('word') });
    },
    trying,
  );
  runSuite(
    `sealed values on redis, ${kind}, with the least rights`,
    sealedCases,
    async () => {
      const { url, admin, nodes } = await place();
      const prefix = newPrefix();
      // The suite's keys are not those of a vault: what may be done with a key stays as printed.
      await grant(nodes, prefix, (right) => (right.endsWith('vault:*') ? `~${prefix}*` : right));
      const evidence = { username: 'gatehouse', password: new Secret('word') };
      const { first, second, close } = await openTwo({ url, admin, nodes }, prefix, evidence);
      return { first: first.sealed, second: second.sealed, close };
    },
    trying,
  );
}

/** Makes the user exactly as `gatehouse doctor --redis-acl` prints it. */
async function grant(nodes: readonly Redis[], prefix: string, change = (right: string) => right): Promise<void> {
  const line = redisAcl(prefix).find((one) => one.startsWith('ACL SETUSER gatehouse ')) ?? '';
  const [, , user = '', ...rights] = line.replace('>PASSWORD', '>word').split(' ');
  for (const node of nodes) await node.call('ACL', 'SETUSER', user, ...rights.map(change));
}

const authority = testAuthority('localhost');
let encrypted: Promise<Place> | undefined;
const encryptedPlace = () => {
  encrypted ??= startRedis({ tls: { ...authority.issue('localhost'), ca: authority.pem } }).then(({ port, admin }) => ({
    url: `rediss://localhost:${port}`,
    admin,
    nodes: [admin],
    ca: authority.pem,
  }));
  return encrypted;
};

runSuite(
  'ephemera on redis, over TLS',
  ephemeraCases,
  async () => {
    const { prefix, first, second, close } = await openTwo(await encryptedPlace());
    const { clock, over } = stretched((await encryptedPlace()).admin, prefix);
    return { first: over(first.ephemera), second: over(second.ephemera), clock, close };
  },
  testWith('redis-server'),
);
