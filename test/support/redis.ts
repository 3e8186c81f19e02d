import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster, Redis } from 'ioredis';
import { afterAll } from 'vitest';
import { Secret } from '#kernel';
import { parseRedisUrl } from '../../src/store/backends/redis/address.ts';
import { createClient, type RedisEvidence, type RedisTls } from '../../src/store/backends/redis/client.ts';
import { execute, until } from './installation.ts';

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
  readonly admin?: {
    readonly path?: string;
    readonly host?: string;
    readonly username?: string;
    readonly password?: string;
    readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string };
  };
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
  // Nodes of a cluster ask one another for certificates whatever is set.
  return ['port 0', `tls-port ${port}`, ...files, 'tls-auth-clients no', 'tls-replication yes'];
}

function tlsAdmin({ tls }: RedisServerOptions): { readonly host?: string; readonly tls?: { readonly ca: string } } {
  return tls === undefined ? {} : { host: 'localhost', tls: { ca: tls.ca } };
}

export interface RedisGroup {
  readonly url: string;
  readonly servers: readonly RedisServer[];
}

export interface GroupOptions {
  /** TLS alone, under the name `localhost`; and nobody without a user: `admin` may do everything. */
  readonly secured?: NonNullable<RedisServerOptions['tls']>;
  /** One password for everybody, on the nodes. */
  readonly word?: string;
  readonly name?: string;
}

/** Of the test itself, and of the servers to one another. */
export const adminUser = { username: 'admin', password: 'admin-word' } as const;

const adminLines = ['user default off', `user ${adminUser.username} on >${adminUser.password} ~* &* +@all`];

/** How each server of a group is started. */
function serverOptions({ secured, word }: GroupOptions, config: readonly string[]): RedisServerOptions {
  if (word !== undefined) return { config: [...config, `requirepass ${word}`], admin: { password: word } };
  if (secured === undefined) return { config };
  return { config: [...config, ...adminLines], tls: secured, admin: adminUser };
}

/** What replicas show their primary. */
function among({ secured, word }: GroupOptions): readonly string[] {
  if (word !== undefined) return [`masterauth ${word}`];
  return secured === undefined ? [] : [`masteruser ${adminUser.username}`, `masterauth ${adminUser.password}`];
}

/** One primary, two replicas, three sentinels that agree on a new primary within a few seconds. */
export async function startSentinel(options: GroupOptions = {}): Promise<RedisGroup & { readonly sentinels: readonly RedisServer[] }> {
  const { secured, name = 'mymaster' } = options;
  const host = secured === undefined ? '127.0.0.1' : 'localhost';
  const own = [...among(options), ...(secured === undefined ? [] : ['replica-announce-ip localhost'])];
  const primary = await startRedis(serverOptions(options, own));
  const replica = () => startRedis(serverOptions(options, [...own, `replicaof ${host} ${primary.port}`, 'repl-diskless-sync-delay 0']));
  const replicas = [await replica(), await replica()];
  const sentinels: RedisServer[] = [];
  const config = sentinelLines(options, name, primary.port);
  for (let index = 0; index < 3; index++)
    sentinels.push(await startRedis({ ...(secured === undefined ? { config } : serverOptions(options, config)), sentinel: true }));
  for (const { admin } of sentinels) await until(async () => (await knownTo(admin, name)) === '2 2', 20_000);
  for (const { admin } of replicas) await until(async () => (await admin.info('replication')).includes('master_link_status:up'), 20_000);
  const hosts = sentinels.map(({ port }) => `${host}:${port}`).join(',');
  const scheme = secured === undefined ? 'redis' : 'rediss';
  return { url: `${scheme}+sentinel://${hosts}/${name}/0`, servers: [primary, ...replicas], sentinels };
}

function sentinelLines({ secured, word }: GroupOptions, name: string, port: number): readonly string[] {
  const patience = [`sentinel down-after-milliseconds ${name} 2000`, `sentinel failover-timeout ${name} 6000`];
  const evidence = word === undefined ? [] : [`sentinel auth-pass ${name} ${word}`];
  if (secured === undefined) return [`sentinel monitor ${name} 127.0.0.1 ${port} 2`, ...patience, ...evidence];
  return [
    'sentinel resolve-hostnames yes',
    'sentinel announce-hostnames yes',
    'sentinel announce-ip localhost',
    `sentinel monitor ${name} localhost ${port} 2`,
    ...patience,
    `sentinel auth-user ${name} ${adminUser.username}`,
    `sentinel auth-pass ${name} ${adminUser.password}`,
    `sentinel sentinel-user ${adminUser.username}`,
    `sentinel sentinel-pass ${adminUser.password}`,
  ];
}

/** How many replicas and how many other sentinels one knows. */
async function knownTo(sentinel: Redis, name: string): Promise<string> {
  const flat = (await sentinel.call('SENTINEL', 'MASTER', name)) as string[];
  const of = (field: string) => flat[flat.indexOf(field) + 1];
  return `${of('num-slaves')} ${of('num-other-sentinels')}`;
}

/** Three primaries with a replica each. */
export async function startCluster(options: GroupOptions = {}): Promise<RedisGroup> {
  const { secured } = options;
  const named = ['tls-cluster yes', 'cluster-announce-hostname localhost', 'cluster-preferred-endpoint-type hostname'];
  const config = [
    ...['cluster-enabled yes', 'cluster-node-timeout 1000', 'repl-diskless-sync-delay 0', 'cluster-require-full-coverage no'],
    ...among(options),
    ...(secured === undefined ? [] : named),
  ];
  const servers: RedisServer[] = [];
  for (let index = 0; index < 6; index++) servers.push(await startRedis(serverOptions(options, config)));
  const places = servers.map(({ port }) => `127.0.0.1:${port}`);
  await clusterCommand(servers, options, ['create', ...places, '--cluster-replicas', '1', '--cluster-yes']);
  for (const { admin } of servers) {
    await until(async () => (await admin.cluster('INFO')).includes('cluster_state:ok'), 20_000);
    const replication = async () => await admin.info('replication');
    await until(async () => /role:master|master_link_status:up/.test(await replication()), 20_000);
  }
  const scheme = secured === undefined ? 'redis' : 'rediss';
  const host = secured === undefined ? '127.0.0.1' : 'localhost';
  return { url: `${scheme}+cluster://${servers.map(({ port }) => `${host}:${port}`).join(',')}`, servers };
}

/** Runs `redis-cli --cluster …`; other things go on meanwhile. */
export async function clusterCommand(servers: readonly RedisServer[], options: GroupOptions, words: readonly string[]): Promise<void> {
  const made = await execute(['redis-cli', ...evidenceOf(servers, options), '--cluster', ...words], {
    env: { PATH: process.env.PATH ?? '' },
  });
  if (made.code !== 0) throw new Error(`redis-cli --cluster ${words[0]}: ${made.stdout}${made.stderr}`);
}

function evidenceOf([first]: readonly RedisServer[], { secured, word }: GroupOptions): readonly string[] {
  if (word !== undefined) return ['-a', word];
  if (secured === undefined) return [];
  return ['--tls', '--cacert', join(first?.folder ?? '', 'ca.pem'), '--user', adminUser.username, '-a', adminUser.password];
}

/** A client of the test's own, by the URL that a server would be given. */
export async function adminOf(url: string, tls: RedisTls = {}): Promise<Redis | Cluster> {
  const timeouts = { connectTimeout: 5_000, commandTimeout: 5_000 };
  const { username, password } = adminUser;
  const evidence: RedisEvidence =
    tls.ca === undefined
      ? {}
      : {
          ...{ username, password: new Secret(password) },
          ...{ sentinelUsername: username, sentinelPassword: new Secret(password) },
        };
  const { driver } = await createClient({ location: parseRedisUrl(url), evidence, tls, ...timeouts });
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
