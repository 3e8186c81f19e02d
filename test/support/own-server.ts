import { type ChildProcess, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import {
  as,
  postgresProgram,
  type Settings,
  type Started,
  startMariadbWith,
  startPostgresIn,
  startPostgresWith,
} from './database-servers.ts';
import type { Database } from './databases.ts';
import { freePort } from './installation.ts';

/** A server of this test file alone, which may be stopped, started again in the same place, and set otherwise; it ends with the file. */
export interface OwnServer {
  readonly database: Database;
  readonly port: number;
  /** As its owner, who may change settings. */
  admin(statement: string): Promise<unknown>;
  stop(signal?: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
}

type Name = 'postgresql' | 'mariadb';

/** Kinds of server that a test can start for itself. */
export const ownKinds: readonly { readonly name: Name; readonly needs: readonly string[] }[] = [
  { name: 'postgresql', needs: [postgresProgram('postgres')] },
  { name: 'mariadb', needs: ['mariadbd'] },
];

/** What `ownServer` needs, whatever settings of the tests name. */
export const ownNeeds = { postgresql: [postgresProgram('postgres')], mariadb: ['mariadbd'] } as const;

const running = new Set<{ process: ChildProcess; readonly folder: string }>();

afterAll(async () => {
  for (const { process, folder } of running) {
    await ended(process, 'SIGQUIT');
    rmSync(folder, { recursive: true, force: true });
  }
});

/** `settings` in the server's own words. */
export async function ownServer(name: Name, settings: Settings = {}): Promise<OwnServer> {
  const folder = ownFolder();
  const flags = Object.entries(settings).map(([key, value]) => `--${key.replaceAll('_', '-')}=${value}`);
  const port = await freePort();
  const begin = () => (name === 'postgresql' ? startPostgresWith(folder, settings, { port }) : startMariadbWith(folder, flags, { port }));
  return await owned(folder, port, begin);
}

/** A standby that follows a PostgreSQL server of the test. */
export async function ownStandby({ database }: OwnServer): Promise<OwnServer> {
  const folder = ownFolder();
  const { port } = new URL(database.url);
  const copy = [
    '-D',
    join(folder, 'data'),
    '-R',
    '-X',
    'stream',
    '-c',
    'fast',
    '--no-sync',
    '-h',
    '127.0.0.1',
    '-p',
    port,
    '-U',
    'gatehouse',
  ];
  const [program, ...parameters] = as('nobody', folder, [postgresProgram('pg_basebackup'), ...copy]);
  execFileSync(program, parameters, { cwd: folder, stdio: 'pipe' });
  const own = await freePort();
  return await owned(folder, own, () => startPostgresIn(folder, {}, own));
}

function ownFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-database-'));
  chmodSync(folder, 0o711);
  return folder;
}

async function owned(folder: string, port: number, begin: () => Promise<Started>): Promise<OwnServer> {
  const { url, process } = await begin();
  const own = { process, folder };
  running.add(own);
  const schema = `t_${randomBytes(6).toString('hex')}`;
  const postgres = url.startsWith('postgres');
  if (!postgres) await statementOn(url, `create database ${schema} character set latin1 collate latin1_swedish_ci`);
  return {
    database: postgres ? { url, schema } : { url: url.replace(/\/mysql$/, `/${schema}`), schema: 'gatehouse' },
    port,
    admin: (statement) => statementOn(url, statement),
    stop: (signal = 'SIGINT') => ended(own.process, signal),
    async start() {
      own.process = (await begin()).process;
    },
  };
}

async function ended(process: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const over = new Promise((resolve) => process.once('exit', resolve));
  process.kill(signal);
  await over;
}

async function statementOn(url: string, statement: string): Promise<unknown> {
  if (url.startsWith('postgres')) {
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => {});
    await client.connect();
    return await client.query(statement).then(
      ({ rows }) => client.end().then(() => rows),
      (error) => client.end().then(() => Promise.reject(error)),
    );
  }
  const { createConnection } = await import('mysql2/promise');
  const { hostname, port, username, pathname } = new URL(url);
  const connection = await createConnection({ host: hostname, port: Number(port), user: username, database: pathname.slice(1) });
  return await connection.query(statement).then(
    ([rows]) => connection.end().then(() => rows),
    (error) => connection.end().then(() => Promise.reject(error)),
  );
}
