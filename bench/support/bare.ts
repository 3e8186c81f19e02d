import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';
import pg from 'pg';
import type { EventRow } from '../../src/audit/events.sql.ts';
import { verbs as mysqlVerbs } from '../../src/store/backends/mysql/ephemera.ts';
import { poolSizes } from '../../src/store/backends/pool-sizes.ts';
import { verbs as postgresVerbs } from '../../src/store/backends/postgres/ephemera.ts';
import { bumpScript, dropScript, replaceScript } from '../../src/store/backends/redis/scripts.ts';
import { verbs as sqliteVerbs } from '../../src/store/backends/sqlite/ephemera.ts';
import { type Chain, movedBy, type SqlSteps, type Steps } from './steps.ts';

/** As many as ours has by itself. */
const connections = 10;

/** A driver alone: the same statements with nothing around them on as many connections, and what they say is read. */
export type Bare<S extends Steps = Steps> = S & { close(): Promise<void> };

const eventColumns = [
  ...['id', 'organization_id', 'writer', 'sequence', 'at', 'name', 'subject', 'actor', 'body_json', 'previous_hash', 'hash'],
] as const satisfies readonly (keyof EventRow)[];

/** Statements of Records, as one language writes them. */
function statementsIn(quote: string, place: (number: number) => string) {
  const inLanguage = (sql: string) => {
    let number = 0;
    return sql.replaceAll('"', quote).replaceAll('?', () => place(++number));
  };
  return {
    sealed: inLanguage('select "envelope", "version" from "sealed_values" where "key" = ?'),
    place: inLanguage('select "value" from "platform_facts" where "name" = ?'),
    replace: inLanguage('update "sealed_values" set "envelope" = ?, "version" = ? where "key" = ? and "version" = ?'),
    head: inLanguage('select "sequence", "hash" from "audit_heads" where "organization_id" = ? and "writer" = ?'),
    move: inLanguage('update "audit_heads" set "sequence" = ?, "hash" = ? where "organization_id" = ? and "writer" = ? and "sequence" = ?'),
    insert: inLanguage(
      `insert into "events" (${eventColumns.map((name) => `"${name}"`).join(', ')}) values (${eventColumns.map(() => '?').join(', ')})`,
    ),
  };
}

const placeOfSealed = 'sealed_values_on';

const valuesOf = (event: EventRow) => eventColumns.map((name) => event[name]);

/** Parameters that move a head, in the order of the statement. */
function moveValues(chain: Chain, events: readonly EventRow[]) {
  const { to, hash, organization, writer, sequence } = movedBy(chain, events);
  return [to, hash, organization, writer, sequence];
}

export async function openPg(url: string, schema: string): Promise<Bare<SqlSteps>> {
  const pool = (max: number) => {
    const made = new pg.Pool({ connectionString: url, options: `-c search_path=${schema}`, max });
    // The server may end before every connection has said goodbye.
    return made.on('error', () => {});
  };
  const sizes = poolSizes(connections, { kept: 1, ephemera: true });
  const [brief, reading, writing] = [pool(sizes.ephemera), pool(sizes.reading), pool(sizes.writing)];
  const sql = statementsIn('"', (number) => `$${number}`);
  const verbs = postgresVerbs;
  const first = async (from: pg.Pool, text: string, values: unknown[]) => (await from.query(text, values)).rows[0];
  const transaction = async (fn: (client: pg.PoolClient) => Promise<unknown>) => {
    const client = await writing.connect();
    await client.query('begin isolation level serializable; select pg_current_xact_id()::text as id');
    await fn(client);
    await client.query('commit');
    client.release();
  };
  return {
    get: async (key) => (await first(brief, verbs.get, [key, Date.now()]))?.value,
    put: (key, value, ttl) => brief.query(verbs.put, [key, value, ttl, Date.now()]),
    claim: async (key, value, ttl) => (await first(brief, verbs.claim, [key, value, ttl, Date.now()])) !== undefined,
    take: async (key) => (await first(brief, verbs.take, [key, Date.now()]))?.value,
    drop: async (key, value) => (await first(brief, verbs.drop, [key, value, Date.now()])) !== undefined,
    bump: async (key, ttl) => Number((await first(brief, verbs.bump, [key, ttl, Date.now()])).count),
    readSealed: (key) => first(reading, sql.sealed, [key]),
    replaceSealed: (key, envelope, expected) =>
      transaction(async (client) => {
        await client.query(sql.place, [placeOfSealed]);
        await client.query(sql.replace, [envelope, expected + 1, key, expected]);
      }),
    head: ({ organization, writer }) => first(reading, sql.head, [organization, writer]),
    append: (chain, events) =>
      transaction(async (client) => {
        await client.query(sql.head, [chain.organization, chain.writer]);
        for (const event of events) await client.query(sql.insert, valuesOf(event));
        await client.query(sql.move, moveValues(chain, events));
      }),
    close: async () => void (await Promise.all([brief.end(), reading.end(), writing.end()])),
  };
}

type MysqlRows = mysql.RowDataPacket[];

export async function openMysql2(url: string): Promise<Bare<SqlSteps>> {
  const pool = (connectionLimit: number) => mysql.createPool({ uri: url, connectionLimit, charset: 'utf8mb4_bin', flags: ['-FOUND_ROWS'] });
  const sizes = poolSizes(connections, { kept: 0, ephemera: true });
  const [brief, reading, writing] = [pool(sizes.ephemera), pool(sizes.reading), pool(sizes.writing)];
  const sql = statementsIn('`', () => '?');
  const verbs = mysqlVerbs;
  const first = async (from: mysql.Pool, text: string, values: unknown[]) => (await from.query<MysqlRows>(text, values))[0][0];
  const change = async (text: string, values: unknown[]) => (await brief.query<mysql.ResultSetHeader>(text, values))[0];
  const transaction = async (fn: (connection: mysql.PoolConnection) => Promise<unknown>) => {
    const connection = await writing.getConnection();
    await connection.query('start transaction');
    await fn(connection);
    await connection.query('commit');
    connection.release();
  };
  return {
    get: async (key) => (await first(brief, verbs.get, [key, Date.now()]))?.value.toString(),
    put: (key, value, ttl) => change(verbs.put, [key, value, ttl, Date.now()]),
    claim: async (key, value, ttl) => {
      const now = Date.now();
      return (await change(verbs.claim, [key, value, ttl, now, now, now])).affectedRows > 0;
    },
    async take(key) {
      const row = await first(brief, verbs.look, [Date.now(), key]);
      await change(verbs.remove, [key, row?.value, row?.expires_at]);
      return row?.value.toString();
    },
    drop: async (key, value) => (await change(verbs.drop, [key, value, Date.now()])).affectedRows === 1,
    bump: async (key, ttl) => {
      const now = Date.now();
      return (await change(verbs.bump, [key, ttl, now, now, now])).insertId;
    },
    readSealed: (key) => first(reading, sql.sealed, [key]),
    replaceSealed: (key, envelope, expected) =>
      transaction(async (connection) => {
        await connection.query(sql.place, [placeOfSealed]);
        await connection.query(sql.replace, [envelope, expected + 1, key, expected]);
      }),
    head: ({ organization, writer }) => first(reading, sql.head, [organization, writer]),
    append: (chain, events) =>
      transaction(async (connection) => {
        await connection.query(sql.head, [chain.organization, chain.writer]);
        for (const event of events) await connection.query(sql.insert, valuesOf(event));
        await connection.query(sql.move, moveValues(chain, events));
      }),
    close: async () => void (await Promise.all([brief.end(), reading.end(), writing.end()])),
  };
}

/** The two files that the store has made. */
export async function openNodeSqlite(home: string): Promise<Bare<SqlSteps>> {
  const [reader, writer, brief] = [open(`${home}/gatehouse.db`, true), open(`${home}/gatehouse.db`), open(`${home}/ephemera.db`)];
  writer.exec('pragma synchronous = full; pragma wal_autocheckpoint = 0');
  brief.exec('pragma synchronous = normal; pragma wal_autocheckpoint = 0');
  const sql = statementsIn('"', () => '?');
  const verbs = preparedIn(brief, sqliteVerbs);
  const reading = preparedIn(reader, { sealed: sql.sealed, head: sql.head });
  const writing = preparedIn(writer, { ...sql, begin: 'begin immediate', commit: 'commit' });
  const transaction = (fn: () => void) => {
    writing.begin.run();
    fn();
    writing.commit.run();
  };
  return {
    get: (key) => verbs.get.get(key, Date.now())?.value,
    put: (key, value, ttl) => verbs.put.run(key, value, ttl, Date.now()),
    claim: (key, value, ttl) => verbs.claim.get(key, value, ttl, Date.now()) !== undefined,
    take: (key) => verbs.take.get(key, Date.now())?.value,
    drop: (key, value) => verbs.drop.get(key, value, Date.now()) !== undefined,
    bump: (key, ttl) => Number(verbs.bump.get(key, ttl, Date.now())?.count),
    readSealed: (key) => reading.sealed.get(key),
    replaceSealed: (key, envelope, expected) =>
      transaction(() => {
        writing.place.get(placeOfSealed);
        writing.replace.run(envelope, expected + 1, key, expected);
      }),
    head: ({ organization, writer: name }) => reading.head.get(organization, name),
    append: (chain, events) =>
      transaction(() => {
        writing.head.get(chain.organization, chain.writer);
        for (const event of events) writing.insert.run(...(valuesOf(event) as SQLInputValue[]));
        writing.move.run(...(moveValues(chain, events) as SQLInputValue[]));
      }),
    async close() {
      for (const database of [reader, writer, brief]) database.close();
    },
  };
}

const open = (path: string, readOnly = false) => new DatabaseSync(path, { readOnly, timeout: 5_000 });

function preparedIn<K extends string>(database: DatabaseSync, statements: Readonly<Record<K, string>>): Record<K, StatementSync> {
  const prepared = Object.entries<string>(statements).map(([name, text]) => [name, database.prepare(text)]);
  return Object.fromEntries(prepared) as Record<K, StatementSync>;
}

export async function openIoredis(url: string): Promise<Bare> {
  const redis = new Redis(url);
  for (const { text } of [bumpScript, dropScript, replaceScript]) await redis.script('LOAD', text);
  return {
    get: (key) => redis.get(key),
    put: (key, value, ttl) => redis.set(key, value, 'PX', ttl),
    claim: (key, value, ttl) => redis.set(key, value, 'PX', ttl, 'NX'),
    take: (key) => redis.getdel(key),
    drop: (key, value) => redis.evalsha(dropScript.hash, 1, key, value),
    bump: (key, ttl) => redis.evalsha(bumpScript.hash, 1, key, ttl, '1'),
    async readSealed(key) {
      const held = (await redis.getBuffer(key)) ?? Buffer.alloc(0);
      const space = held.indexOf(' ');
      return { version: Number(held.toString('latin1', 1, space)), envelope: held.subarray(space + 1) };
    },
    replaceSealed: (key, envelope, expected) =>
      redis.evalsha(replaceScript.hash, 1, key, expected, Buffer.concat([Buffer.from(`1${expected + 1} `), envelope])),
    async close() {
      redis.disconnect();
    },
  };
}
