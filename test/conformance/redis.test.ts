import { join } from 'node:path';
import { type Cluster, Cluster as ClusterClient, type Redis } from 'ioredis';
import { expect, test, vi } from 'vitest';
import { Secret, silentLog, systemClock } from '#kernel';
import { redisAcl, type Store } from '#store';
import type { RedisEvidence, RedisTls } from '../../src/store/backends/redis/client.ts';
import { testAuthority } from '../support/certificates.ts';
import { type MutualTls, mutualTls } from '../support/mutual-tls.ts';
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
async function openTwo({ url, ca }: Place, prefix = newPrefix(), evidence: RedisEvidence & RedisTls = {}): Promise<Two> {
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

/** The other user, exactly as it is printed. */
async function grantSentinels(sentinels: readonly Redis[]): Promise<void> {
  const line = redisAcl(undefined).find((one) => one.startsWith('ACL SETUSER gatehouse-sentinel ')) ?? '';
  const [, , user = '', ...rights] = line.replace('>PASSWORD', '>other').split(' ');
  for (const sentinel of sentinels) await sentinel.call('ACL', 'SETUSER', user, ...rights);
}

let made: MutualTls | undefined;
const secured = () => {
  made ??= mutualTls();
  return made;
};

interface SecuredPlace extends Place {
  readonly evidence: RedisEvidence & RedisTls;
}

const users = { username: 'gatehouse', password: new Secret('word') };

/** TLS everywhere, and users with the least rights: one for the nodes, under Sentinel another for the sentinels. */
const securedKinds: Readonly<Record<string, () => Promise<SecuredPlace>>> = {
  async standalone() {
    const { cert, key, ca } = secured();
    const tls = { ca, cert, key };
    const { port, admin } = await startRedis({ tls, config: ['tls-auth-clients yes'], admin: { host: 'localhost', tls } });
    return { url: `rediss://localhost:${port}`, admin, nodes: [admin], ca, evidence: { ...users, cert, key } };
  },
  async sentinel() {
    const { url, servers, sentinels } = await startSentinel({ secured: secured() });
    await grantSentinels(sentinels.map(({ admin }) => admin));
    const evidence = { ...users, sentinelUsername: 'gatehouse-sentinel', sentinelPassword: new Secret('other') };
    const nodes = servers.map(({ admin }) => admin);
    return { url, admin: await adminOf(url, { ca: secured().ca }), nodes, ca: secured().ca, evidence };
  },
  async cluster() {
    const { url, servers } = await startCluster({ secured: secured() });
    const nodes = servers.map(({ admin }) => admin);
    return { url, admin: await adminOf(url, { ca: secured().ca }), nodes, ca: secured().ca, evidence: users };
  },
};

for (const [kind, start] of Object.entries(securedKinds)) {
  let started: Promise<SecuredPlace> | undefined;
  const place = () => {
    started ??= start();
    return started;
  };
  const trying = testWith('redis-server', 'redis-cli', 'openssl');

  runSuite(
    `ephemera on redis, ${kind}, over TLS and with the least rights`,
    ephemeraCases,
    async () => {
      const at = await place();
      const prefix = newPrefix();
      await grant(at.nodes, prefix);
      const { first, second, close } = await openTwo(at, prefix, at.evidence);
      const { clock, over } = stretched(at.admin, prefix);
      return { first: over(first.ephemera), second: over(second.ephemera), clock, close };
    },
    trying,
  );

  trying(`on redis, ${kind}, what will never be let in is refused at once`, async () => {
    const at = await place();
    await grant(at.nodes, 'refused:');
    const wrong = new Secret('wrong');
    await expect(openTwo(at, 'refused:', { ...at.evidence, password: wrong })).rejects.toMatchObject({ code: 'invalid_setting' });
    if (kind === 'sentinel') {
      const mixed = { ...at.evidence, sentinelPassword: wrong };
      await expect(openTwo(at, 'refused:', mixed)).rejects.toMatchObject({ code: 'invalid_setting' });
    }
    const other = testAuthority('localhost').pem;
    await expect(openTwo({ ...at, ca: other }, 'refused:', at.evidence)).rejects.toMatchObject({ code: 'invalid_setting' });
  });

  trying(`on redis, ${kind}, every server that was met is told, and so every replica`, async () => {
    const at = await place();
    await grant(at.nodes, 'met:');
    const { first, close } = await openTwo(at, 'met:', at.evidence);
    const met = new Set<number>();
    first.watchServers(({ port }) => void met.add(port));
    const ports = at.nodes.map((node) => node.options.port);
    if (kind === 'standalone') expect(met.size).toBe(0);
    else for (const port of ports) expect(met).toContain(port);
    await close();
  });
}

testWith('redis-server')(
  'a sentinel that goes away, and a store that is closed, leave nothing that the driver would print by itself',
  async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    const { url, servers, sentinels } = await startSentinel();
    const { first, close } = await openTwo({ url, admin: await adminOf(url), nodes: servers.map(({ admin }) => admin) });
    for (const sentinel of sentinels.slice(1)) await sentinel.stop();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await first.ephemera.put('laid', 'value', 60_000);
    await close();
    expect(printed.mock.calls).toEqual([]);
    printed.mockRestore();
  },
);

testWith('redis-server')(
  'a value begins with the number of its format, in which a release reads what the one before it wrote, and no other',
  async () => {
    const { url, admin } = await socketPlace();
    const { prefix, first, close } = await openTwo({ url, admin, nodes: [admin] });
    await first.ephemera.put('laid', 'value', 60_000);
    expect(await admin.get(`${prefix}ephemera:laid`)).toBe('1value');
    await first.sealed.put('vault:x', Buffer.from('sealed'), 0);
    expect(await admin.get(`${prefix}vault:x`)).toBe('11 sealed');
    await admin.set(`${prefix}ephemera:later`, '2value', 'PX', 60_000);
    await admin.set(`${prefix}vault:later`, '21 sealed');
    await expect(first.ephemera.get('later')).rejects.toMatchObject({ code: 'unavailable' });
    await expect(first.sealed.get('vault:later')).rejects.toMatchObject({ code: 'unavailable' });
    await close();
  },
);

runSuite(
  'ephemera on redis, over a unix socket',
  ephemeraCases,
  async () => {
    const { url, admin } = await socketPlace();
    const { prefix, first, second, close } = await openTwo({ url, admin, nodes: [admin] });
    const { clock, over } = stretched(admin, prefix);
    return { first: over(first.ephemera), second: over(second.ephemera), clock, close };
  },
  testWith('redis-server'),
);

let overSocket: Promise<{ readonly url: string; readonly admin: Redis }> | undefined;
function socketPlace() {
  overSocket ??= (async () => {
    const path = join(temporaryFolder(), 'redis.sock');
    await startRedis({ config: ['requirepass s:/p', `unixsocket ${path}`], admin: { password: 's:/p' } });
    return { url: `unix://:s%3A%2Fp@${path}?db=3`, admin: (await adminOf(`unix://:s%3A%2Fp@${path}?db=3`)) as Redis };
  })();
  return overSocket;
}
