import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, globSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inject } from 'vitest';
import { type Clock, fakeClock, silentLog } from '#kernel';
import { openStore, type Store, type StoreOptions } from '#store';
import { freePort } from './installation.ts';
import { openTestStore, type TestStore, temporaryFolder } from './store.ts';

/** A kind of database server that the suites run over. */
export interface Kind {
  readonly name: 'postgresql' | 'mariadb' | 'mysql';
  /** Programs that a test of it needs. */
  readonly needs: readonly string[];
}

export type Database = NonNullable<StoreOptions['database']>;

const postgresPrograms = globSync('/usr/lib/postgresql/*/bin').sort().at(-1) ?? '';
const postgresUrl = process.env.GATEHOUSE_TEST_POSTGRES_URL;
const mariadbUrl = process.env.GATEHOUSE_TEST_MARIADB_URL;
const mysqlUrl = process.env.GATEHOUSE_TEST_MYSQL_URL;

const postgresql: Kind = { name: 'postgresql', needs: postgresUrl === undefined ? [postgresProgram('postgres')] : [] };
const mariadb: Kind = { name: 'mariadb', needs: mariadbUrl === undefined ? ['mariadbd'] : [] };

/** What the suites run over, besides SQLite. MySQL only where a setting names one: no Debian package brings it. */
export const kinds: readonly Kind[] = [postgresql, mariadb, ...(mysqlUrl === undefined ? [] : [{ name: 'mysql' as const, needs: [] }])];

function postgresProgram(name: string): string {
  return postgresPrograms === '' ? name : join(postgresPrograms, name);
}

const made = new Map<Kind, Promise<Database>>();

/** A database of this test file's own, with nothing in it but what its tests put there. */
export function databaseOf(kind: Kind): Promise<Database> {
  const known = made.get(kind);
  if (known !== undefined) return known;
  const making = newDatabase(kind);
  made.set(kind, making);
  return making;
}

/** One that nobody opened before. */
export async function newDatabase({ name }: Kind): Promise<Database> {
  const own = `t_${randomBytes(6).toString('hex')}`;
  if (name === 'postgresql') return { url: postgresUrl ?? (await server('postgresql', startPostgres)), schema: own };
  const url = (name === 'mysql' ? mysqlUrl : mariadbUrl) ?? (await server('mariadb', startMariadb));
  await createDatabase(url, own);
  return { url: replaced(url, own), schema: 'gatehouse' };
}

function replaced(url: string, database: string): string {
  const own = new URL(url);
  own.pathname = `/${database}`;
  return own.href;
}

async function createDatabase(url: string, name: string): Promise<void> {
  const { createConnection } = await import('mysql2/promise');
  const { hostname, port, username, password } = new URL(url);
  const options = {
    host: hostname,
    port: Number(port || 3306),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
  };
  const connection = await createConnection(options);
  // Another character set than ours: nothing may depend on it.
  await connection.query(`create database ${name} character set latin1 collate latin1_swedish_ci`);
  await connection.end();
}

/** Two stores on one database, which has no row when they open. */
export async function openPair<C extends Clock>(kind: Kind, clock: C | 'fake' | 'system' = 'fake') {
  const database = await databaseOf(kind);
  await empty(database);
  const [first, second] = [await openOn(database, clock), await openOn(database, clock)];
  return {
    first,
    second,
    async close() {
      await first.close();
      await second.close();
    },
  };
}

export function openOn<C extends Clock>(database: Database, clock: C | 'fake' | 'system' = 'system'): Promise<TestStore<Clock>> {
  return openTestStore<Clock>({ database, clock: clock as Clock, ephemera: 'sql' });
}

/** Removes every row, so that the tables need not be made anew for each test. */
async function empty(database: Database): Promise<void> {
  const options = { home: temporaryFolder(), ephemera: 'sql', database, log: silentLog } as const;
  const store = await openStore({ ...options, clock: fakeClock(Number.MAX_SAFE_INTEGER - 1) });
  try {
    if ((await store.schema()).applied.length === 0) return;
    while ((await store.ephemera.sweep()) > 0);
    if (!(await store.isEmpty())) await deleteRows(store);
    await store.records
      .platform('emptied for a test')
      .write(({ db }) => db.deleteFrom('migrations').where('name', '>', '9').execute())
      .catch(() => {});
  } finally {
    await store.close();
  }
}

async function deleteRows(store: Store): Promise<void> {
  await store.records.platform('emptied for a test').write(async ({ db }) => {
    for (const { name } of await db.introspection.getTables()) {
      if (name === 'generations') await db.updateTable('generations').set({ value: 0 }).execute();
      else if (name !== 'migrations') await db.deleteFrom(name as 'users').execute();
    }
  });
}

type Start = (folder: string, port?: number) => Promise<{ readonly url: string; readonly process: ChildProcess }>;

/** The server of this run of the tests: whoever needs it first starts it, everybody else waits. */
async function server(name: string, start: Start): Promise<string> {
  const folder = join(inject('databases'), name);
  const told = `${folder}.url`;
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch {
    for (let tries = 0; !existsSync(told); tries++) {
      if (tries > 600) throw new Error(`${name} did not start; see ${folder}.log`);
      await sleep(100);
    }
    return readFileSync(told, 'utf8');
  }
  const started = await start(folder);
  writeFileSync(`${folder}.pid`, String(started.process.pid));
  started.process.unref();
  writeFileSync(`${told}.new`, started.url);
  renameSync(`${told}.new`, told);
  return started.url;
}

/** As another user, where we are root, whom no database server runs as. */
function as(user: string, folder: string, command: readonly string[]): readonly [string, ...string[]] {
  if (process.getuid?.() !== 0) return command as [string, ...string[]];
  const id = (flag: string) => Number(execFileSync('id', [flag, user], { encoding: 'utf8' }));
  chownSync(folder, id('-u'), id('-g'));
  return ['setpriv', `--reuid=${id('-u')}`, `--regid=${id('-g')}`, '--clear-groups', ...command];
}

/** A server of one test's own, which it may stop and start again in the same place. */
export interface OwnServer {
  readonly database: Database;
  readonly port: number;
  stop(signal?: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
}

/** What `ownServer` needs, whatever settings name. */
export const ownNeeds = { postgresql: [postgresProgram('postgres')], mariadb: ['mariadbd'] } as const;

const begins = { postgresql: startPostgres, mariadb: startMariadb } as const;

/** It ends with the run of the tests, unless the test ends it. */
export async function ownServer(name: keyof typeof begins): Promise<OwnServer> {
  const own = `t_${randomBytes(6).toString('hex')}`;
  const folder = join(inject('databases'), `${name}-${own}`);
  mkdirSync(folder, { mode: 0o700 });
  const port = await freePort();
  let running: ChildProcess;
  let url = '';
  async function start() {
    ({ url, process: running } = await begins[name](folder, port));
    writeFileSync(`${folder}.pid`, String(running.pid));
    running.unref();
  }
  await start();
  if (name === 'mariadb') await createDatabase(url, own);
  return {
    port,
    database: name === 'mariadb' ? { url: replaced(url, own), schema: 'gatehouse' } : { url, schema: own },
    async stop(signal = 'SIGINT') {
      const ended = new Promise((resolve) => running.once('exit', resolve));
      running.kill(signal);
      await ended;
    },
    start,
  };
}

async function startPostgres(folder: string, given?: number) {
  const data = join(folder, 'data');
  const [program, ...parameters] = as('nobody', folder, [postgresProgram('initdb'), '-D', data, '-U', 'gatehouse']);
  const flags = ['-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'];
  if (!existsSync(data)) execFileSync(program, [...parameters, ...flags], { cwd: folder, stdio: 'pipe' });
  const port = given ?? (await freePort());
  const options = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: folder,
    fsync: 'off',
    full_page_writes: 'off',
    max_connections: 300,
    shared_buffers: '64MB',
  };
  const settings = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const process = launch(folder, as('nobody', folder, [postgresProgram('postgres'), '-D', data, ...settings]));
  const url = `postgres://gatehouse@127.0.0.1:${port}/postgres`;
  await answering(process, folder, async () => {
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => {});
    await client.connect();
    await client.end();
  });
  return { url, process };
}

async function startMariadb(folder: string, given?: number) {
  const data = join(folder, 'data');
  const [program, ...parameters] = as('nobody', folder, ['mariadb-install-db', '--no-defaults', `--datadir=${data}`]);
  const flags = ['--auth-root-authentication-method=normal', '--skip-test-db'];
  if (!existsSync(data)) execFileSync(program, [...parameters, ...flags], { cwd: folder, stdio: 'pipe' });
  const port = given ?? (await freePort());
  const options = [`--datadir=${data}`, `--socket=${join(folder, 'socket')}`, `--port=${port}`, '--bind-address=127.0.0.1'];
  const fast = ['--innodb-flush-log-at-trx-commit=0', '--innodb-doublewrite=0', '--innodb-buffer-pool-size=64M', '--max-connections=300'];
  const process = launch(folder, as('nobody', folder, ['mariadbd', '--no-defaults', ...options, ...fast, '--skip-name-resolve']));
  const url = `mariadb://root@127.0.0.1:${port}/mysql`;
  await answering(process, folder, async () => {
    const { createConnection } = await import('mysql2/promise');
    await (await createConnection({ host: '127.0.0.1', port, user: 'root' })).end();
  });
  return { url, process };
}

/** Detached: it serves test files that other processes run, until the run of the tests is over. */
function launch(folder: string, [program, ...parameters]: readonly [string, ...string[]]): ChildProcess {
  const log = openSync(`${folder}.log`, 'a');
  return spawn(program, parameters, { cwd: folder, detached: true, stdio: ['ignore', log, log] });
}

async function answering(process: ChildProcess, folder: string, greet: () => Promise<void>): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await greet();
    } catch (error) {
      if (process.exitCode !== null || tries > 300) throw new Error(readFileSync(`${folder}.log`, 'utf8'), { cause: error });
      await sleep(100);
    }
  }
}
