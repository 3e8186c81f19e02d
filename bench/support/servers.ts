import { type ChildProcess, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { postgresProgram, type Started, startMariadb, startPostgres } from '../../test/support/database-servers.ts';
import { execute, freePort } from '../../test/support/installation.ts';
import { type Child, start } from './child.ts';

/** A server that keeps state, started for one measurement. */
export interface StateServer {
  readonly url: string;
  stop(): Promise<void>;
}

const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

/** Undefined: not on this machine. */
export function startPostgresqlIn(folder: string): Promise<StateServer | undefined> {
  return startDatabase(postgresProgram('postgres'), join(folder, 'postgresql'), startPostgres);
}

/** Undefined: not on this machine. */
export async function startMariadbIn(folder: string): Promise<StateServer | undefined> {
  const server = await startDatabase('mariadbd', join(folder, 'mariadb'), startMariadb);
  if (server === undefined) return undefined;
  const url = new URL(server.url.replace('mariadb:', 'mysql:'));
  const connection = await createConnection(url.href);
  await connection.query('create database gatehouse');
  await connection.end();
  url.pathname = '/gatehouse';
  return { ...server, url: url.href };
}

async function startDatabase(
  program: string,
  folder: string,
  begin: (folder: string) => Promise<Started>,
): Promise<StateServer | undefined> {
  if (!isThere(program)) return undefined;
  mkdirSync(folder, { mode: 0o755 });
  const { url, process: child } = await begin(folder);
  alive.add(child);
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    url,
    async stop() {
      // In either of them the signal that means: close what is open, then end.
      child.kill(program === 'mariadbd' ? 'SIGTERM' : 'SIGINT');
      await gone;
      alive.delete(child);
    },
  };
}

/** Undefined: not on this machine. */
export async function startRedisIn(folder: string): Promise<StateServer | undefined> {
  if (!isThere('redis-server')) return undefined;
  const { port, child } = await startNode(folder, 'redis', ['--requirepass', 'bench']);
  return { url: `redis://:bench@127.0.0.1:${port}`, stop: child.stop };
}

/** Three nodes that take writes. Undefined: not on this machine. */
export async function startClusterIn(folder: string): Promise<(StateServer & { readonly ports: readonly number[] }) | undefined> {
  if (!isThere('redis-server') || !isThere('redis-cli')) return undefined;
  const nodes: Awaited<ReturnType<typeof startNode>>[] = [];
  for (let index = 0; index < 3; index++) nodes.push(await startNode(folder, `node-${index}`, ['--cluster-enabled', 'yes']));
  const places = nodes.map(({ port }) => `127.0.0.1:${port}`);
  const made = await execute(['redis-cli', '--cluster', 'create', ...places, '--cluster-yes']);
  if (made.code !== 0) throw new Error(`redis-cli --cluster create: ${made.stdout}${made.stderr}`);
  return {
    url: `redis+cluster://${places.join(',')}`,
    ports: nodes.map(({ port }) => port),
    async stop() {
      await Promise.all(nodes.map(({ child }) => child.stop()));
    },
  };
}

async function startNode(
  folder: string,
  name: string,
  more: readonly string[] = [],
): Promise<{ readonly port: number; readonly child: Child }> {
  const own = join(folder, name);
  mkdirSync(own);
  const port = await freeNodePort();
  const flags = ['--port', String(port), '--bind', '127.0.0.1', '--dir', own, '--save', ''];
  return { port, child: await start('redis-server', [...flags, ...more], /Ready to accept connections/) };
}

/** Nodes of a cluster talk on the port ten thousand above. */
async function freeNodePort(): Promise<number> {
  for (;;) {
    const port = await freePort();
    if (port < 55_000) return port;
  }
}

function isThere(program: string): boolean {
  return program.startsWith('/') ? existsSync(program) : spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}
