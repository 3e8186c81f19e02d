import type { QueryResult } from 'kysely';
import type pg from 'pg';
import { Fault } from '#kernel';
import type { DatabaseAddress } from '../../database-url.ts';
import { StoreMisuse, UniqueViolation } from '../../errors.ts';
import { Conflict, Lost, type Pool, type Session } from '../server.ts';
import { fromStored, toStored } from './text.ts';

type Driver = typeof pg;

export interface PoolOptions {
  readonly schema: string;
  readonly size: number;
  readonly readOnly?: boolean;
  /** Its statements may take, and wait, as long as they need. */
  readonly patient?: boolean;
}

const idle = 300_000;
const connecting = 10_000;
const answering = 30_000;

/** What every session is told at its start. */
function sessionOptions({ schema, readOnly = false, patient = false }: Omit<PoolOptions, 'size'>): string {
  const options = {
    search_path: schema,
    default_transaction_read_only: readOnly ? 'on' : 'off',
    statement_timeout: patient ? 0 : 20_000,
    lock_timeout: patient ? 120_000 : 5_000,
    idle_in_transaction_session_timeout: patient ? 600_000 : 10_000,
  };
  return Object.entries(options)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ');
}

/** Text comes back as it was given, 64-bit integers as numbers, bytes as bytes. */
const parsers = new Map<number, (text: string) => unknown>([
  [20, (text) => Number(text)],
  [25, fromStored],
]);

/** What every connection is made with. */
export function clientConfig(driver: Driver, address: DatabaseAddress, options: Omit<PoolOptions, 'size'>): pg.ClientConfig {
  return {
    host: address.socket ?? address.host,
    ...(address.port === undefined ? {} : { port: address.port }),
    ...(address.user === undefined ? {} : { user: address.user }),
    ...(address.password === undefined ? {} : { password: address.password }),
    database: address.database,
    ssl: false,
    application_name: 'gatehouse',
    options: sessionOptions(options),
    connectionTimeoutMillis: connecting,
    ...(options.patient ? {} : { query_timeout: answering }),
    keepAlive: true,
    types: {
      getTypeParser: (id: number, format?: 'text' | 'binary') => parsers.get(id) ?? driver.types.getTypeParser(id, format as 'text'),
    },
  };
}

/** A pool of connections to one schema. */
export function openPool(driver: Driver, address: DatabaseAddress, options: PoolOptions): Pool {
  const pool = new driver.Pool({ ...clientConfig(driver, address, options), max: options.size, idleTimeoutMillis: idle });
  pool.on('error', () => {});
  return {
    async acquire() {
      const client = await pool.connect().catch((error: unknown) => {
        throw translate(driver, error);
      });
      return sessionOf(driver, client);
    },
    close: () => pool.end(),
  };
}

function sessionOf(driver: Driver, client: pg.PoolClient): Session {
  const ask = async (text: string, parameters?: readonly unknown[]): Promise<pg.QueryResult> => {
    try {
      return await (parameters === undefined ? client.query(text) : client.query(text, parameters.map(toParameter)));
    } catch (error) {
      throw translate(driver, error);
    }
  };
  const noticed = () => {};
  client.on('error', noticed);
  return {
    async run({ sql, parameters, each }) {
      if (each === undefined) return resultOf(await ask(sql, parameters));
      for (const one of each) await ask(sql, one);
      return { rows: [] };
    },
    async command(sql) {
      const answer: pg.QueryResult | pg.QueryResult[] = await ask(sql);
      return (Array.isArray(answer) ? answer.at(-1) : answer)?.rows ?? [];
    },
    release(discard) {
      client.off('error', noticed);
      client.release(discard);
    },
  };
}

function toParameter(value: unknown): unknown {
  if (typeof value === 'string') return toStored(value);
  if (value === null || typeof value === 'number') return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  throw new StoreMisuse(`a ${typeof value} is not a value of a column`);
}

const changing: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

function resultOf({ command, rowCount, rows }: pg.QueryResult): QueryResult<unknown> {
  return changing.has(command) ? { rows, numAffectedRows: BigInt(rowCount ?? 0) } : { rows };
}

const conflicts = /^(40001|40P01|55P03)$/;
const losses = /^(08...|57P0.|53300|25006)$/;
const exhausted = /^(53...|57014|58...|XX...)$/;
const misplaced = /^(28...|3D000)$/;

/** Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html. What is thrown has no values: the details of the server name rows. */
function translate(driver: Driver, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof StoreMisuse) return error;
  if (!(error instanceof driver.DatabaseError)) return new Lost('the connection to the database is gone', { cause: error });
  const code = error.code ?? '';
  const plain = new Error(`the database answered ${code}: ${error.message}`);
  if (code === '23505') return new UniqueViolation(columnsIn(error), plain);
  if (conflicts.test(code)) return new Conflict(plain.message);
  if (losses.test(code)) return new Lost(plain.message);
  if (exhausted.test(code)) return new Fault('unavailable', { cause: plain });
  if (code === '42501') return new Fault('store_refused', { cause: plain });
  if (misplaced.test(code)) return refusedBy(plain);
  return plain;
}

function refusedBy(cause: Error): Fault {
  const detail = 'GATEHOUSE_DATABASE_URL: the database server refuses the user, the password or the name of the database';
  return new Fault('invalid_setting', { detail, cause });
}

/** `Key (organization_id, email_key)=(…) already exists.`, in whatever language around it. */
function columnsIn({ table, detail }: pg.DatabaseError): readonly string[] {
  const [, names = ''] = /\(([^()]*)\)=\(/.exec(detail ?? '') ?? [];
  return names === '' ? [] : names.split(', ').map((name) => `${table}.${name.replaceAll('"', '')}`);
}
