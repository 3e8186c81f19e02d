import type { Cluster, Redis } from 'ioredis';
import { test } from 'vitest';
import { Secret, silentLog, systemClock } from '#kernel';
import type { Store } from '#store';
import { testWith } from '../support/need.ts';
import { adminOf, startCluster, startRedis, startSentinel } from '../support/redis.ts';
import { openTestStore, temporaryFolder } from '../support/store.ts';
import { stretched } from '../support/stretched.ts';
import { ephemeraCases } from './ephemera.suite.ts';
import { sealedCases } from './sealed.suite.ts';
import { runSuite } from './suite.ts';

interface Place {
  readonly url: string;
  readonly admin: Redis | Cluster;
}

/** How each kind is had: a setting names one that runs already, else it is started. */
const kinds = {
  standalone: { given: process.env.GATEHOUSE_TEST_REDIS_URL, start: async () => `redis://127.0.0.1:${(await startRedis()).port}` },
  sentinel: { given: process.env.GATEHOUSE_TEST_REDIS_SENTINEL_URL, start: async () => (await startSentinel()).url },
  cluster: { given: process.env.GATEHOUSE_TEST_REDIS_CLUSTER_URL, start: async () => (await startCluster()).url },
};

let cases = 0;

/** Two processes' worth of stores, with a prefix of their own. */
async function openTwo({ url }: Place): Promise<{ prefix: string; first: Store; second: Store; close(): Promise<void> }> {
  cases += 1;
  const prefix = `case-${process.pid}-${cases}:`;
  const home = temporaryFolder();
  const redis = { url: new Secret(url), prefix, connectTimeout: 5_000, commandTimeout: 5_000 };
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
      const url = given ?? (await start());
      return { url, admin: await adminOf(url) };
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
}
