import { randomBytes } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { compare, type Row } from '../row.ts';
import { threadSeconds } from '../support/cpu.ts';
import { type StateServer, startPostgresqlIn, startRedisIn } from '../support/servers.ts';
import { openSite, type Running, type Site, startOurs } from '../support/site.ts';
import { callInTurn, openTunnel } from '../support/tunnel.ts';

const rounds = 6;
/** Calls of each replica in a round, and milliseconds between two: few enough that eight replicas do not wait for the processor. */
const calls = 50;
const pause = 20;
/** Code that is still being compiled is not what a replica costs. */
const warming = 400;
const sizes = [1, 2, 4, 8] as const;

/** CPU of replicas for each proxied call, on one PostgreSQL and one Redis, by how many of them are called. */
export async function measure(): Promise<readonly Row[]> {
  const site = await openSite();
  // Database servers run as somebody else.
  chmodSync(site.folder, 0o711);
  const servers = [await startPostgresqlIn(site.folder), await startRedisIn(site.folder)] as const;
  const [postgresql, redis] = servers;
  try {
    if (postgresql === undefined || redis === undefined) {
      process.stderr.write('not compared: PostgreSQL and Redis are not both on this machine\n');
      return [];
    }
    const replicas = await startReplicas(site, postgresql, redis);
    const rows = await compareSizes(replicas);
    await Promise.all(replicas.map((replica) => replica.stop()));
    return rows;
  } finally {
    await Promise.all(servers.map((server) => server?.stop()));
    await site.close();
  }
}

async function startReplicas(site: Site, postgresql: StateServer, redis: StateServer): Promise<readonly Running[]> {
  const keyFile = join(site.folder, 'master.key');
  writeFileSync(keyFile, randomBytes(32).toString('hex'), { mode: 0o600 });
  const env = {
    GATEHOUSE_PUBLIC_URL: 'https://gatehouse.example.test',
    GATEHOUSE_MASTER_KEY_FILE: keyFile,
    GATEHOUSE_DATABASE_URL: postgresql.url,
    GATEHOUSE_REDIS_URL: redis.url,
  };
  const first = await startOurs(site, { env });
  const others = Array.from({ length: Math.max(...sizes) - 1 }, () => startOurs(site, { env, joins: first }));
  return [first, ...(await Promise.all(others))];
}

/** A tunnel of one replica. */
interface Caller {
  readonly replica: Running;
  readonly tunnel: TLSSocket;
}

/** Rounds of each size in turn, each time with others of them. */
async function compareSizes(replicas: readonly Running[]): Promise<readonly Row[]> {
  const callers: Caller[] = [];
  for (const replica of replicas) callers.push(await warmed(replica));
  const taken = sizes.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    callers.push(...callers.splice(0, 1));
    for (const [at, size] of sizes.entries()) taken[at]?.push(await perCall(callers.slice(0, size)));
  }
  for (const { tunnel } of callers) tunnel.destroy();
  const [one = [], ...more] = taken;
  return more.map((ours, at) => {
    const name = `call, ${sizes[at + 1]} replicas on one database`;
    return compare({ name, unit: 'µs CPU', ours, against: 'one replica', other: one, budget: '≤ 1.1' });
  });
}

async function warmed(replica: Running): Promise<Caller> {
  const tunnel = await openTunnel(replica.target);
  await callInTurn(tunnel, replica.target, warming);
  return { replica, tunnel };
}

/** Microseconds of the replicas' CPU for each call, where each of them is called as often as any other time. */
async function perCall(callers: readonly Caller[]): Promise<number> {
  const used = () => callers.reduce((sum, { replica }) => sum + threadSeconds(replica.pid), 0);
  const before = used();
  await Promise.all(callers.map(callAtRate));
  return ((used() - before) * 1e6) / (callers.length * calls);
}

async function callAtRate({ replica, tunnel }: Caller): Promise<void> {
  let due = performance.now() + Math.random() * pause;
  for (let call = 0; call < calls; call++, due += pause) {
    await sleep(Math.max(0, due - performance.now()));
    await callInTurn(tunnel, replica.target, 1);
  }
}
