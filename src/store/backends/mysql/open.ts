import { createHash } from 'node:crypto';
import { type Kysely, MysqlAdapter, MysqlIntrospector, MysqlQueryCompiler, sql, type TableMetadata } from 'kysely';
import { Fault } from '#kernel';
import type { ColumnWords } from '../../backend.ts';
import type { DatabaseAddress } from '../../database-url.ts';
import type { Language } from '../handle.ts';
import { loadDriver } from '../load-driver.ts';
import { poolSizes } from '../pool-sizes.ts';
import { createServerRecords, lend, type OpenOptions, persist, type Session, type SqlDatabase, type Transactions } from '../server.ts';
import { createMysqlEphemera, ephemeraTable } from './ephemera.ts';
import { openPool, type PoolOptions } from './pool.ts';

const language: Language = {
  compiler: new MysqlQueryCompiler(),
  adapter: new MysqlAdapter(),
  introspector: (db) => new OwnTables(db),
};

/** The tables of the database. */
class OwnTables extends MysqlIntrospector {
  readonly #db: Kysely<unknown>;

  constructor(db: Kysely<unknown>) {
    super(db);
    this.#db = db;
  }

  override async getTables(): Promise<TableMetadata[]> {
    const names = sql<{ name: string }>`select table_name as name from information_schema.tables
      where table_schema = database() and table_type = 'BASE TABLE' order by table_name`;
    return (await names.execute(this.#db)).rows.map(({ name }) => ({ name, isView: false, isForeign: false, columns: [] }));
  }
}

const transactions: Transactions = {
  async begin(session) {
    await session.command('start transaction');
    return undefined;
  },
  look: async (session) => void (await session.command('start transaction with consistent snapshot, read only')),
  outcome: async () => 'unknown',
};

/** Opens Records and Ephemera in one database of MySQL or MariaDB. No table is made. */
export async function openMysql(address: DatabaseAddress, { clock, processes }: OpenOptions): Promise<SqlDatabase> {
  const sizes = poolSizes(processes);
  const driver = await loadDriver('mysql2', () => import('mysql2/promise'));
  const pool = (size: number, isolation: string, more: Partial<PoolOptions> = {}) =>
    openPool(driver.default, address, { size, settings: [`set session transaction ${isolation}`], ...more });
  const [reading, writing] = [pool(sizes.reading, 'read only'), pool(sizes.writing, 'isolation level serializable')];
  const looking = pool(sizes.schema, 'isolation level repeatable read', { patient: true });
  const changing = pool(sizes.schema, 'isolation level read committed', { patient: true });
  const brief = pool(sizes.ephemera, 'isolation level read committed', { counts: 'changed' });
  try {
    const columns = await persist(() => lend(changing, columnsFor));
    const alone = <T>(fn: (session: Session) => Promise<T>) => lend(changing, (session) => aloneIn(address.database, session, fn));
    const server = { columns, language, reading, looking, writing, transactions, renumber: async () => {}, alone };
    return { records: createServerRecords({ ...server, close: changing.close }), ephemera: createMysqlEphemera(brief, clock) };
  } catch (error) {
    await Promise.all([reading, looking, writing, changing, brief].map((one) => one.close()));
    throw error;
  }
}

/** Text whose trailing spaces count, which the two systems call by different names. */
async function columnsFor(session: Session): Promise<ColumnWords> {
  const { rows } = await session.run({ sql: 'select version() as version', parameters: [] });
  const { version } = rows[0] as { readonly version: string };
  const collation = /mariadb/i.test(version) ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin';
  return {
    row: 'bigint auto_increment',
    key: 'varbinary(512)',
    text: `longtext character set utf8mb4 collate ${collation}`,
    integer: 'bigint',
    bytes: 'longblob',
    ephemera: [ephemeraTable],
    ending: `engine = InnoDB default character set utf8mb4 collate ${collation} row_format = dynamic`,
  };
}

const waiting = 120;
/** Table, column or index is there, or is gone: what an interrupted migration leaves for the next one. */
const done: ReadonlySet<number> = new Set([1050, 1060, 1061, 1091]);

/**
 * Under a lock of the server that bears the database's name. Every change of the schema commits by itself here, so an
 * interrupted migration is begun again, and steps that it had done are passed over.
 */
async function aloneIn<T>(database: string, session: Session, fn: (session: Session) => Promise<T>): Promise<T> {
  const name = `gatehouse:${createHash('sha256').update(database).digest('hex').slice(0, 32)}`;
  const { rows } = await session.run({ sql: 'select get_lock(?, ?) as held', parameters: [name, waiting] });
  if (Number((rows[0] as { readonly held: unknown }).held) !== 1)
    throw new Fault('unavailable', { detail: 'another process has held the lock of the schema for two minutes' });
  try {
    return await fn(passingOver(session));
  } finally {
    await session.run({ sql: 'select release_lock(?) as given', parameters: [name] }).catch(() => {});
  }
}

/** The same session, to which a step that was done before is no failure. */
function passingOver(session: Session): Session {
  return {
    ...session,
    async run(query) {
      try {
        return await session.run(query);
      } catch (error) {
        if (error instanceof Error && 'errno' in error && done.has(Number(error.errno))) return { rows: [] };
        throw error;
      }
    },
  };
}
