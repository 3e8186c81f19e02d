import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster, Redis } from 'ioredis';
import { afterAll } from 'vitest';
import { parseRedisUrl } from '../../src/store/backends/redis/address.ts';
import { createClient } from '../../src/store/backends/redis/client.ts';
import { until } from './installation.ts';

/** A `redis-server` of a test, on loopback, in a folder of its own. */
export interface RedisServer {
  readonly port: number;
  readonly folder: string;
  readonly pid: number;
  /** A client with every right. */
  readonly admin: Redis;
  signal(signal: NodeJS.Signals): void;
  /** Ends it and waits. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again in the same place. */
  start(): Promise<void>;
}

const folders = new Set<string>();
const children = new Set<ChildProcess>();
const clients = new Set<Redis | Cluster>();

afterAll(async () => {
  for (const client of clients) client.disconnect();
  await Promise.all([...children].map(killed));
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function killed(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

export interface RedisServerOptions {
  /** Lines of its configuration. */
  readonly config?: readonly string[];
  readonly sentinel?: boolean;
  /** Serves TLS alone, for `localhost`. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string };
  /** How the test itself reaches it, where it is not the plain way. */
  readonly admin?: { readonly path?: string; readonly host?: string; readonly password?: string; readonly tls?: { readonly ca: string } };
}

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-redis-'));
  folders.add(folder);
  const port = await clusterPort();
  const lines = [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, 'daemonize no', 'save ""', ...(options.config ?? [])];
  const file = join(folder, 'redis.conf');
  if (options.tls !== undefined) lines.splice(0, 1, ...tlsLines(folder, port, options.tls));
  const plain = options.sentinel ? lines.filter((line) => !line.startsWith('save')) : lines;
  writeFileSync(file, `${plain.join('\n')}\n`);
  const admin = new Redis({ host: '127.0.0.1', port, ...tlsAdmin(options), ...options.admin, lazyConnect: true, retryStrategy: () => 50 });
  admin.on('error', () => {});
  clients.add(admin);
  let child: ChildProcess;

  async function start(): Promise<void> {
    child = spawn('redis-server', [file, ...(options.sentinel ? ['--sentinel'] : [])], { stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part: Buffer) => (printed += part.toString()));
    await until(() => /Ready to accept connections|Sentinel ID is/.test(printed) || child.exitCode !== null, 10_000);
    if (child.exitCode !== null) throw new Error(`redis-server ended: ${printed}`);
  }
  await start();
  return {
    port,
    folder,
    admin,
    get pid() {
      return child.pid as number;
    },
    signal: (signal) => void child.kill(signal),
    async stop(signal = 'SIGKILL') {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill(signal);
      await ended;
      children.delete(child);
    },
    start,
  };
}

function tlsLines(folder: string, port: number, tls: NonNullable<RedisServerOptions['tls']>): readonly string[] {
  for (const [name, text] of Object.entries(tls)) writeFileSync(join(folder, `${name}.pem`), text);
  const files = [`tls-cert-file ${folder}/cert.pem`, `tls-key-file ${folder}/key.pem`, `tls-ca-cert-file ${folder}/ca.pem`];
  return ['port 0', `tls-port ${port}`, ...files, 'tls-auth-clients no'];
}

function tlsAdmin({ tls }: RedisServerOptions): { readonly host?: string; readonly tls?: { readonly ca: string } } {
  return tls === undefined ? {} : { host: 'localhost', tls: { ca: tls.ca } };
}

export interface RedisGroup {
  readonly url: string;
  readonly servers: readonly RedisServer[];
}

/** One primary, two replicas, three sentinels that agree on a new primary within a few seconds. */
export async function startSentinel(name = 'mymaster'): Promise<RedisGroup & { readonly sentinels: readonly RedisServer[] }> {
  const primary = await startRedis();
  const replica = () => startRedis({ config: [`replicaof 127.0.0.1 ${primary.port}`, 'repl-diskless-sync-delay 0'] });
  const replicas = [await replica(), await replica()];
  const config = [
    `sentinel monitor ${name} 127.0.0.1 ${primary.port} 2`,
    `sentinel down-after-milliseconds ${name} 2000`,
    `sentinel failover-timeout ${name} 6000`,
  ];
  const sentinels: RedisServer[] = [];
  for (let index = 0; index < 3; index++) sentinels.push(await startRedis({ sentinel: true, config }));
  for (const { admin } of sentinels) await until(async () => (await knownTo(admin, name)) === '2 2', 20_000);
  for (const { admin } of replicas) await until(async () => (await admin.info('replication')).includes('master_link_status:up'), 20_000);
  const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
  return { url: `redis+sentinel://${hosts}/${name}/0`, servers: [primary, ...replicas], sentinels };
}

/** How many replicas and how many other sentinels one knows. */
async function knownTo(sentinel: Redis, name: string): Promise<string> {
  const flat = (await sentinel.call('SENTINEL', 'MASTER', name)) as string[];
  const of = (field: string) => flat[flat.indexOf(field) + 1];
  return `${of('num-slaves')} ${of('num-other-sentinels')}`;
}

/** Three primaries with a replica each. */
export async function startCluster(): Promise<RedisGroup> {
  const config = ['cluster-enabled yes', 'cluster-node-timeout 1000', 'repl-diskless-sync-delay 0', 'cluster-require-full-coverage no'];
  const servers: RedisServer[] = [];
  for (let index = 0; index < 6; index++) servers.push(await startRedis({ config }));
  const places = servers.map(({ port }) => `127.0.0.1:${port}`);
  const made = spawnSync('redis-cli', ['--cluster', 'create', ...places, '--cluster-replicas', '1', '--cluster-yes'], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`no cluster: ${made.stdout}${made.stderr}`);
  for (const { admin } of servers) {
    await until(async () => (await admin.cluster('INFO')).includes('cluster_state:ok'), 20_000);
    const replication = async () => await admin.info('replication');
    await until(async () => /role:master|master_link_status:up/.test(await replication()), 20_000);
  }
  return { url: `redis+cluster://${places.join(',')}`, servers };
}

/** A client of the test's own, by the URL that a server would be given. */
export async function adminOf(url: string): Promise<Redis | Cluster> {
  const timeouts = { connectTimeout: 5_000, commandTimeout: 5_000 };
  const { driver } = await createClient({ location: parseRedisUrl(url), evidence: {}, tls: {}, ...timeouts });
  driver.on('error', () => {});
  clients.add(driver);
  await until(() => driver.status === 'ready');
  return driver;
}

/** Every node of a client that takes writes. */
export function mastersOf(client: Redis | Cluster): readonly Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client];
}

/** Every key that begins so, with the node it lies on. */
export async function keysOf(client: Redis | Cluster, prefix: string): Promise<readonly { readonly node: Redis; readonly key: string }[]> {
  const found: { node: Redis; key: string }[] = [];
  for (const node of mastersOf(client)) {
    let cursor = '0';
    do {
      const [next, keys] = await node.scan(cursor, 'MATCH', `${prefix}*`, 'COUNT', 1000);
      found.push(...keys.map((key) => ({ node, key })));
      cursor = next;
    } while (cursor !== '0');
  }
  return found;
}

let next = 20_000 + (process.pid % 100) * 100;

/** A free port whose neighbour ten thousand above, where cluster nodes talk, is free too. */
async function clusterPort(): Promise<number> {
  for (;;) {
    const port = next++;
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
