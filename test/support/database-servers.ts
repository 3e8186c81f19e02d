import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, globSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './installation.ts';

/** A server that was started in a folder; it runs until somebody ends it. */
export interface Started {
  readonly url: string;
  readonly process: ChildProcess;
}

/** In the server's own words. */
export type Settings = Readonly<Record<string, string>>;

const postgresPrograms = globSync('/usr/lib/postgresql/*/bin').sort().at(-1) ?? '';

export function postgresProgram(name: string): string {
  return postgresPrograms === '' ? name : join(postgresPrograms, name);
}

/** As another user, where we are root, whom no database server runs as. */
export function as(user: string, folder: string, command: readonly string[]): readonly [string, ...string[]] {
  if (process.getuid?.() !== 0) return command as [string, ...string[]];
  const [uid, gid] = [idOf('-u', user), idOf('-g', user)];
  chownSync(folder, uid, gid);
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', ...command];
}

function idOf(flag: '-u' | '-g', user: string): number {
  return Number(execFileSync('id', [flag, user], { encoding: 'utf8' }));
}

export const startPostgres = (folder: string) => startPostgresWith(folder, {});

export async function startEncryptedPostgres(folder: string) {
  const files = certificatesIn(folder);
  const started = await startPostgresWith(
    folder,
    { ssl: 'on', ssl_cert_file: files.cert, ssl_key_file: files.key, ssl_ca_file: files.ca },
    { hba: ['hostssl all certified all cert', 'hostssl all all all trust'] },
  );
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: started.url, ssl: { ca: readFileSync(files.ca, 'utf8') } });
  await client.connect();
  await client.query('create role certified login superuser');
  await client.end();
  return started;
}

/** For `localhost` by an authority of its own, with a client's for the user `certified`; all of them in the folder. */
function certificatesIn(folder: string) {
  const at = (name: string) => join(folder, name);
  const openssl = (...parameters: readonly string[]) => execFileSync('openssl', parameters, { cwd: folder, stdio: 'pipe' });
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=Authority of a test');
  for (const [name, subject] of [
    ['server', 'localhost'],
    ['client', 'certified'],
  ] as const) {
    openssl('req', ...ec, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${subject}`);
    writeFileSync(at(`${name}.ext`), `subjectAltName=DNS:${subject}\n`);
    const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', `${name}.ext`];
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...by);
  }
  if (process.getuid?.() === 0) chownSync(at('server.key'), idOf('-u', 'nobody'), idOf('-g', 'nobody'));
  return { ca: at('ca.pem'), cert: at('server.pem'), key: at('server.key') };
}

interface Place {
  /** Where it listens; any that is free. */
  readonly port?: number;
  /** Lines of `pg_hba.conf`. */
  readonly hba?: readonly string[];
}

export async function startPostgresWith(folder: string, more: Settings, { port, hba = [] }: Place = {}): Promise<Started> {
  const data = join(folder, 'data');
  if (existsSync(data)) return await startPostgresIn(folder, more, port);
  const [program, ...parameters] = as('nobody', folder, [postgresProgram('initdb'), '-D', data, '-U', 'gatehouse']);
  execFileSync(program, [...parameters, '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'], { cwd: folder, stdio: 'pipe' });
  if (hba.length > 0) writeFileSync(join(data, 'pg_hba.conf'), `${hba.join('\n')}\n`);
  return await startPostgresIn(folder, more, port);
}

/** Where a data folder is already. */
export async function startPostgresIn(folder: string, more: Settings, given?: number): Promise<Started> {
  const data = join(folder, 'data');
  const port = given ?? (await freePort());
  const options = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: folder,
    fsync: 'off',
    full_page_writes: 'off',
    max_connections: 300,
    shared_buffers: '64MB',
    ...more,
  };
  const settings = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const process = launch(folder, as('nobody', folder, [postgresProgram('postgres'), '-D', data, ...settings]));
  const url = `postgres://gatehouse@${more.ssl === 'on' ? 'localhost' : '127.0.0.1'}:${port}/postgres`;
  const ssl = more.ssl_ca_file === undefined ? false : { ca: readFileSync(more.ssl_ca_file, 'utf8') };
  await answering(process, folder, () => greetPostgres(url, ssl));
  return { url, process };
}

async function greetPostgres(connectionString: string, ssl: false | { readonly ca: string } = false): Promise<void> {
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString, ssl });
  client.on('error', () => {});
  await client.connect();
  await client.end();
}

export async function startPgbouncer(folder: string, target: string) {
  const { hostname, port: upstream, username, pathname } = new URL(target);
  const port = await freePort();
  const database = pathname.slice(1);
  const lines = [
    '[databases]',
    `${database} = host=${hostname} port=${upstream || 5432}`,
    '[pgbouncer]',
    'pool_mode = transaction',
    // Fewer than the tests open: sessions are mixed, and who leans on one is found out.
    'default_pool_size = 4',
    'max_client_conn = 500',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = trust',
    `auth_file = ${join(folder, 'users')}`,
  ];
  writeFileSync(join(folder, 'pgbouncer.ini'), `${lines.join('\n')}\n`);
  writeFileSync(join(folder, 'users'), `"${decodeURIComponent(username)}" ""\n`);
  const process = launch(folder, as('nobody', folder, ['pgbouncer', join(folder, 'pgbouncer.ini')]));
  const url = `postgres://${username}@127.0.0.1:${port}/${database}`;
  await answering(process, folder, () => greetPostgres(url));
  return { url, process };
}

export const startMariadb = (folder: string) => startMariadbWith(folder);

export async function startEncryptedMariadb(folder: string) {
  const files = certificatesIn(folder);
  const more = [`--ssl-ca=${files.ca}`, `--ssl-cert=${files.cert}`, `--ssl-key=${files.key}`, '--require-secure-transport=ON'];
  const started = await startMariadbWith(folder, more, { ssl: { ca: readFileSync(files.ca, 'utf8') } });
  const { createConnection } = await import('mysql2/promise');
  const { port } = new URL(started.url);
  const connection = await createConnection({
    host: 'localhost',
    port: Number(port),
    user: 'root',
    ssl: { ca: readFileSync(files.ca, 'utf8') },
  });
  await connection.query(`create user certified@'%' require subject '/CN=certified'`);
  await connection.query(`grant all on *.* to certified@'%'`);
  await connection.end();
  return started;
}

interface MariadbPlace {
  readonly port?: number;
  readonly ssl?: { readonly ca: string };
}

export async function startMariadbWith(folder: string, more: readonly string[] = [], given: MariadbPlace = {}): Promise<Started> {
  const data = join(folder, 'data');
  const [program, ...parameters] = as('nobody', folder, ['mariadb-install-db', '--no-defaults', `--datadir=${data}`]);
  const flags = ['--auth-root-authentication-method=normal', '--skip-test-db'];
  if (!existsSync(data)) execFileSync(program, [...parameters, ...flags], { cwd: folder, stdio: 'pipe' });
  const { ssl, port = await freePort() } = given;
  const options = [`--datadir=${data}`, `--socket=${join(folder, 'socket')}`, `--port=${port}`, '--bind-address=127.0.0.1'];
  const fast = ['--innodb-flush-log-at-trx-commit=0', '--innodb-doublewrite=0', '--innodb-buffer-pool-size=64M', '--max-connections=300'];
  const process = launch(folder, as('nobody', folder, ['mariadbd', '--no-defaults', ...options, ...fast, ...more, '--skip-name-resolve']));
  const host = ssl === undefined ? '127.0.0.1' : 'localhost';
  const url = `mariadb://root@${host}:${port}/mysql`;
  await answering(process, folder, async () => {
    const { createConnection } = await import('mysql2/promise');
    await (await createConnection({ host, port, user: 'root', ...(ssl === undefined ? {} : { ssl }) })).end();
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
