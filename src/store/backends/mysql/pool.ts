import { InsertQueryNode, type QueryResult, type RootOperationNode, TableNode, UpdateQueryNode } from 'kysely';
import type mysql from 'mysql2/promise';
import { Fault } from '#kernel';
import type { DatabaseServer, DatabaseTls } from '../../database-server.ts';
import { StoreMisuse, UniqueViolation } from '../../errors.ts';
import { distrustIn, refusedBy } from '../refusals.ts';
import { renewable } from '../renewable.ts';
import { Conflict, Lost, type Pool, type RenewablePool, type Session } from '../server.ts';

type Driver = typeof mysql;

export interface PoolOptions {
  readonly size: number;
  /** What every session is told at its start, besides what all are told. */
  readonly settings: readonly string[];
  /** What a change counts: rows that it found (the default), or rows that are different after it. */
  readonly counts?: 'found' | 'changed';
  /** Its statements may take, and wait, as long as they need. */
  readonly patient?: boolean;
}

const connecting = 10_000;
const answering = 30_000;

const settings = [
  `set session sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'`,
  'set session innodb_lock_wait_timeout = 5',
];

/** A pool of connections to one database. Values go into the statement as literals, which the session's `sql_mode` fits. */
export function openPool(driver: Driver, server: DatabaseServer, options: PoolOptions): RenewablePool {
  return renewable(() => openOnce(driver, server, options));
}

function openOnce(driver: Driver, { address, tls, idle }: DatabaseServer, options: PoolOptions): Pool {
  const pool = driver.createPool({
    ...(address.socket === undefined ? { host: address.host, port: address.port ?? 3306 } : { socketPath: address.socket }),
    ...(address.user === undefined ? {} : { user: address.user }),
    ...(address.password === undefined ? {} : { password: address.password }),
    ...(tls === undefined ? {} : { ssl: secured(tls) }),
    database: address.database,
    charset: 'utf8mb4_bin',
    flags: options.counts === 'changed' ? ['-FOUND_ROWS'] : [],
    // The driver looks for idle connections only where fewer may be idle than open. Pools of one are for work that queues.
    connectionLimit: Math.max(2, options.size),
    maxIdle: Math.max(1, options.size - 1),
    idleTimeout: idle,
    connectTimeout: connecting,
    enableKeepAlive: true,
  });
  const told = new WeakSet<object>();
  return {
    async acquire() {
      const connection = await pool.getConnection().catch((error: unknown) => {
        throw translate(error);
      });
      const session = sessionOf(connection, options.patient ? undefined : answering);
      if (told.has(connection.connection)) return session;
      try {
        for (const setting of [...settings, ...options.settings]) await session.command(setting);
      } catch (error) {
        session.release(true);
        throw error;
      }
      told.add(connection.connection);
      return session;
    },
    close: () => pool.end(),
  };
}

function secured({ authority, name, ca, cert, key }: DatabaseTls): mysql.SslOptions {
  return {
    rejectUnauthorized: authority,
    verifyIdentity: name,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

function sessionOf(connection: mysql.PoolConnection, timeout: number | undefined): Session {
  const ask = async (sql: string, parameters: readonly unknown[] = []): Promise<QueryResult<unknown>> => {
    const [answer, fields] = await connection.query<mysql.RowDataPacket[] | mysql.ResultSetHeader>({
      sql,
      values: parameters.map(toLiteral),
      ...(timeout === undefined ? {} : { timeout }),
    });
    return Array.isArray(answer) ? { rows: rowsOf(answer, fields) } : changed(answer);
  };
  const askPlainly = async (sql: string, parameters?: readonly unknown[], node?: RootOperationNode): Promise<QueryResult<unknown>> => {
    try {
      return await ask(sql, parameters);
    } catch (error) {
      if (isTaken(error)) throw new UniqueViolation(await columnsOf(ask, error, node).catch(() => []), plain(error));
      throw translate(error);
    }
  };
  return {
    async run({ sql, parameters, each, query }) {
      if (each === undefined) return await askPlainly(sql, parameters, query);
      for (const one of each) await askPlainly(sql, one, query);
      return { rows: [] };
    },
    async command(sql) {
      return (await askPlainly(sql)).rows;
    },
    release(discard) {
      if (discard) connection.destroy();
      else connection.release();
    },
  };
}

function toLiteral(value: unknown): unknown {
  if (typeof value === 'string' || value === null) return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  throw new StoreMisuse(`a ${typeof value} is not a value of a column`);
}

function changed({ affectedRows, insertId }: mysql.ResultSetHeader): QueryResult<unknown> {
  return { rows: [], numAffectedRows: BigInt(affectedRows), insertId: BigInt(insertId) };
}

/** Column types: VARCHAR and VARBINARY. */
const short: ReadonlySet<number | undefined> = new Set([15, 253]);

/** Keys are kept as bytes, so that they are compared as bytes, and come back as the text they are. */
function rowsOf(rows: mysql.RowDataPacket[], fields: readonly mysql.FieldPacket[]): unknown[] {
  const keys = fields.filter(({ columnType }) => short.has(columnType)).map(({ name }) => name);
  for (const row of rows) {
    for (const name of keys) if (Buffer.isBuffer(row[name])) row[name] = row[name].toString('utf8');
  }
  return rows;
}

interface ServerError extends Error {
  readonly errno: number;
  readonly sqlState: string;
}

function isServerError(error: unknown): error is ServerError {
  return error instanceof Error && 'sqlState' in error && typeof error.sqlState === 'string' && 'errno' in error;
}

function isTaken(error: unknown): error is ServerError {
  return isServerError(error) && error.errno === 1062;
}

const conflicts: ReadonlySet<number> = new Set([1020, 1205, 1213]);
const losses: ReadonlySet<number> = new Set([1040, 1053, 1077, 1079, 1290, 1317, 1836, 1927, 3032]);
const exhausted: ReadonlySet<number> = new Set([1021, 1037, 1041, 1114, 1206, 1969, 3024]);
const unprivileged: ReadonlySet<number> = new Set([1142, 1143, 1227, 1370]);
const misplaced: ReadonlySet<number> = new Set([1044, 1045, 1049, 1698, 3159]);

/** Numbers: https://mariadb.com/docs/server/reference/error-codes. What is thrown has neither values nor the statement, which holds some. */
function translate(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof StoreMisuse) return error;
  if (!isServerError(error)) return distrustIn(error) ?? new Lost('the connection to the database is gone', { cause: codeOf(error) });
  const cause = plain(error);
  if (conflicts.has(error.errno)) return new Conflict(cause.message);
  if (losses.has(error.errno)) return new Lost(cause.message);
  if (exhausted.has(error.errno)) return new Fault('unavailable', { cause });
  if (unprivileged.has(error.errno)) return new Fault('store_refused', { cause });
  if (misplaced.has(error.errno)) return refusedBy(cause);
  return cause;
}

function plain({ errno, sqlState }: ServerError): Error {
  return Object.assign(new Error(`the database answered ${errno} (${sqlState})`), { errno });
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.name;
}

type Ask = (sql: string, parameters: readonly unknown[]) => Promise<QueryResult<unknown>>;

const columnsOfIndex = `select column_name as name from information_schema.statistics
  where table_schema = database() and table_name = ? and index_name = ? order by seq_in_index`;

/** The columns of the index that the message names, last and in quotes; the statement knows the table. */
async function columnsOf(ask: Ask, error: ServerError, node: RootOperationNode | undefined): Promise<readonly string[]> {
  const [, named = ''] = /'([^']*)'[^']*$/.exec(error.message) ?? [];
  const table = tableOf(node);
  if (table === undefined) return [];
  const { rows } = await ask(columnsOfIndex, [table, named.slice(named.lastIndexOf('.') + 1)]);
  return (rows as { readonly name: string }[]).map(({ name }) => `${table}.${name}`);
}

function tableOf(node: RootOperationNode | undefined): string | undefined {
  if (node === undefined) return undefined;
  const table = InsertQueryNode.is(node) ? node.into : UpdateQueryNode.is(node) ? node.table : undefined;
  return table !== undefined && TableNode.is(table) ? table.table.identifier.name : undefined;
}
