import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inject } from 'vitest';
import { type Clock, fakeClock, silentLog } from '#kernel';
import { openStore, type Store, type StoreOptions } from '#store';
import {
  postgresProgram,
  type Started,
  startEncryptedMariadb,
  startEncryptedPostgres,
  startMariadb,
  startPgbouncer,
  startPostgres,
} from './database-servers.ts';
import { openTestStore, type TestStore, temporaryFolder, twice } from './store.ts';

/** A kind of database server that the suites run over. */
export interface Kind {
  readonly name: 'postgresql' | 'mariadb' | 'mysql';
  /** Programs that a test of it needs. */
  readonly needs: readonly string[];
}

export type Database = NonNullable<StoreOptions['database']>;

const postgresUrl = process.env.GATEHOUSE_TEST_POSTGRES_URL;
const mariadbUrl = process.env.GATEHOUSE_TEST_MARIADB_URL;
const mysqlUrl = process.env.GATEHOUSE_TEST_MYSQL_URL;

const postgresql: Kind = { name: 'postgresql', needs: postgresUrl === undefined ? [postgresProgram('postgres')] : [] };
const mariadb: Kind = { name: 'mariadb', needs: mariadbUrl === undefined ? ['mariadbd'] : [] };

/** What the suites run over, besides SQLite. MySQL only where a setting names one: no Debian package brings it. */
export const kinds: readonly Kind[] = [postgresql, mariadb, ...(mysqlUrl === undefined ? [] : [{ name: 'mysql' as const, needs: [] }])];

const made = new Map<string, Promise<Database>>();

function once(name: string, make: () => Promise<Database>): Promise<Database> {
  const known = made.get(name);
  if (known !== undefined) return known;
  const making = make();
  made.set(name, making);
  return making;
}

/** A database of this test file's own, with nothing in it but what its tests put there. */
export function databaseOf(kind: Kind): Promise<Database> {
  return once(kind.name, () => newDatabase(kind));
}

/** One on a server that takes TLS alone, for `localhost`; started for the tests whatever a setting names. */
export async function newEncryptedDatabase({ name }: Kind): Promise<Database & { readonly tls: { readonly ca: string } }> {
  const own = `t_${randomBytes(6).toString('hex')}`;
  const url =
    name === 'postgresql' ? await server('postgresql-tls', startEncryptedPostgres) : await server('mariadb-tls', startEncryptedMariadb);
  const ca = readFileSync(join(inject('databases'), `${name}-tls`, 'ca.pem'), 'utf8');
  if (name === 'postgresql') return { url, schema: own, tls: { ca } };
  await createDatabase(url, own, ca);
  return { url: replaced(url, own), schema: 'gatehouse', tls: { ca } };
}

/** Those of which the tests start an encrypted server. */
export const encryptedKinds: readonly Kind[] = kinds
  .filter(({ name }) => name !== 'mysql')
  .map(({ name }) => ({ name, needs: [name === 'postgresql' ? postgresProgram('postgres') : 'mariadbd', 'openssl'] }));

export const pooledNeeds: readonly string[] = [...postgresql.needs, 'pgbouncer'];

/** One of this test file's own. */
export const encryptedDatabaseOf = (kind: Kind): Promise<Database> => once(`${kind.name}-tls`, () => newEncryptedDatabase(kind));
export const pooledDatabase = (): Promise<Database> => once('pgbouncer', newPooledDatabase);

/** One behind pgbouncer, which lends a connection for one transaction. */
export async function newPooledDatabase(): Promise<Database> {
  const { url, schema } = await newDatabase(postgresql);
  const pooled = await server('pgbouncer', (folder) => startPgbouncer(folder, url));
  return { url: pooled, schema, pooler: 'transaction' };
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

async function createDatabase(url: string, name: string, ca?: string): Promise<void> {
  const { createConnection } = await import('mysql2/promise');
  const { hostname, port, username, password } = new URL(url);
  const options = {
    host: hostname,
    port: Number(port || 3306),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    ...(ca === undefined ? {} : { ssl: { ca } }),
  };
  const connection = await createConnection(options);
  // Another character set than ours: nothing may depend on it.
  await connection.query(`create database ${name} character set latin1 collate latin1_swedish_ci`);
  await connection.end();
}

/** Two stores on one database, which has no row when they open. */
export async function openPair<C extends Clock>(place: Kind | Database, clock: C | 'fake' | 'system' = 'fake') {
  const database = 'url' in place ? place : await databaseOf(place);
  await empty(database);
  return await openTwo(database, clock);
}

/** Two stores on one database, as it is. */
export async function openTwo<C extends Clock>(database: Database, clock: C | 'fake' | 'system' = 'system') {
  return await twice(() => openOn(database, clock));
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

type Start = (folder: string) => Promise<Started>;

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
