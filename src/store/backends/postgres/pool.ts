import type { ConnectionOptions } from 'node:tls';
import type { QueryResult } from 'kysely';
import type pg from 'pg';
import { Fault } from '#kernel';
import type { DatabaseServer, DatabaseTls } from '../../database-server.ts';
import { StoreMisuse, UniqueViolation } from '../../errors.ts';
import { distrustIn, refusedBy } from '../refusals.ts';
import { renewable } from '../renewable.ts';
import { Conflict, Lost, type RenewablePool, type Session } from '../server.ts';
import { perTransaction } from './pooled.ts';
import { type SessionOptions, sessionSettings } from './session-settings.ts';
import { fromStored, toStored } from './text.ts';

type Driver = typeof pg;

export interface PoolOptions extends SessionOptions {
  readonly size: number;
}

const connecting = 10_000;
const answering = 30_000;

function startOptions(settings: Readonly<Record<string, string | number>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ');
}

/** Text comes back as it was given, 64-bit integers as numbers, bytes as bytes. */
const parsers = new Map<number, (text: string) => unknown>([
  [20, (text) => Number(text)],
  [25, fromStored],
]);

/** What every connection is made with. */
export function clientConfig(driver: Driver, { address, schema, tls, pooler }: DatabaseServer, options: SessionOptions): pg.ClientConfig {
  return {
    host: address.socket ?? address.host,
    ...(address.port === undefined ? {} : { port: address.port }),
    ...(address.user === undefined ? {} : { user: address.user }),
    ...(address.password === undefined ? {} : { password: address.password }),
    database: address.database,
    ssl: tls === undefined ? false : secured(tls),
    application_name: 'gatehouse',
    ...(pooler === undefined ? { options: startOptions(sessionSettings(schema, options)) } : {}),
    connectionTimeoutMillis: connecting,
    ...(options.patient ? {} : { query_timeout: answering }),
    keepAlive: true,
    types: {
      getTypeParser: (id: number, format?: 'text' | 'binary') => parsers.get(id) ?? driver.types.getTypeParser(id, format as 'text'),
    },
  };
}

function secured({ authority, name, ca, cert, key }: DatabaseTls): ConnectionOptions {
  return {
    rejectUnauthorized: authority,
    ...(name ? {} : { checkServerIdentity: () => undefined }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert, key }),
  };
}

/** A pool of connections to one schema. */
export function openPool(driver: Driver, server: DatabaseServer, options: PoolOptions): RenewablePool {
  return renewable(() => {
    const config = { ...clientConfig(driver, server, options), max: options.size, idleTimeoutMillis: server.idle };
    const pool = new driver.Pool(config);
    pool.on('error', () => {});
    return {
      async acquire() {
        const client = await pool.connect().catch((error: unknown) => {
          throw translate(driver, error);
        });
        const session = sessionOf(driver, client);
        return server.pooler === undefined ? session : perTransaction(session, server.schema, options);
      },
      close: () => pool.end(),
    };
  });
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
/** 0A000: a standby has no serializable transactions, and we ask for nothing else that a server could lack. */
const losses = /^(08...|57P0.|53300|25006|0A000)$/;
const exhausted = /^(53...|57014|58...|XX...)$/;
const misplaced = /^(28...|3D000)$/;

/** Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html. What is thrown has no values: the details of the server name rows. */
function translate(driver: Driver, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof StoreMisuse) return error;
  if (!(error instanceof driver.DatabaseError))
    return distrustIn(error) ?? new Lost('the connection to the database is gone', { cause: error });
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

/** `Key (organization_id, email_key)=(…) already exists.`, in whatever language around it. */
function columnsIn({ table, detail }: pg.DatabaseError): readonly string[] {
  const [, names = ''] = /\(([^()]*)\)=\(/.exec(detail ?? '') ?? [];
  return names === '' ? [] : names.split(', ').map((name) => `${table}.${name.replaceAll('"', '')}`);
}
