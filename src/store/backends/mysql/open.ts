import { createHash } from 'node:crypto';
import { type Kysely, MysqlAdapter, MysqlIntrospector, MysqlQueryCompiler, sql, type TableMetadata } from 'kysely';
import { Fault } from '#kernel';
import type { ColumnWords } from '../../backend.ts';
import type { DatabaseServer } from '../../database-server.ts';
import type { Language } from '../handle.ts';
import { loadDriver } from '../load-driver.ts';
import { idleWithin, partOf, poolSizes } from '../pool-sizes.ts';
import { renewTogether } from '../renewable.ts';
import {
  createServerRecords,
  lend,
  type OpenOptions,
  persist,
  type RenewablePool,
  type Session,
  type SqlDatabase,
  type Transactions,
} from '../server.ts';
import { createMysqlEphemera, ephemeraTable } from './ephemera.ts';
import { openPool, type PoolOptions } from './pool.ts';
import { mysqlWeaknesses } from './weaknesses.ts';

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

/** Opens Records in one database of MySQL or MariaDB, and Ephemera if they are kept there. No table is made. */
export async function openMysql(server: DatabaseServer, { clock, processes, ephemera: keeps }: OpenOptions): Promise<SqlDatabase> {
  const driver = await loadDriver('mysql2', () => import('mysql2/promise'));
  const changing = openPool(driver.default, server, {
    size: 1,
    settings: ['set session transaction isolation level read committed'],
    patient: true,
  });
  const pools: RenewablePool[] = [changing];
  try {
    const facts = await persist(() => lend(changing, factsOf));
    const weaknesses = await persist(() => lend(changing, mysqlWeaknesses));
    const sizes = poolSizes(partOf(server.connections, processes), { kept: 0, ephemera: keeps });
    const quick = { ...server, idle: idleWithin(server.idle, facts.waitTimeout) };
    const pool = (size: number, isolation: string, more: Partial<PoolOptions> = {}) => {
      pools.push(openPool(driver.default, quick, { size, settings: [`set session transaction ${isolation}`], ...more }));
      return pools.at(-1) as RenewablePool;
    };
    const [reading, writing] = [pool(sizes.reading, 'read only'), pool(sizes.writing, 'isolation level serializable')];
    const looking = pool(sizes.schema, 'isolation level repeatable read', { patient: true });
    const ephemera = keeps
      ? createMysqlEphemera(pool(sizes.ephemera, 'isolation level read committed', { counts: 'changed' }), clock)
      : undefined;
    renewTogether(pools);
    const alone = <T>(fn: (session: Session) => Promise<T>) => lend(changing, (session) => aloneIn(server.address.database, session, fn));
    const columns = columnsIn(facts.collation);
    const records = createServerRecords({
      columns,
      language,
      reading,
      looking,
      writing,
      transactions,
      renumber: async () => {},
      alone,
      isStandby,
      close: changing.close,
    });
    return { records, ephemera, weaknesses };
  } catch (error) {
    await Promise.all(pools.map((one) => one.close()));
    throw error;
  }
}

/** What the server is set to, without making anything. */
export async function inspectMysql(server: DatabaseServer): Promise<readonly string[]> {
  const driver = await loadDriver('mysql2', () => import('mysql2/promise'));
  const pool = openPool(driver.default, server, { size: 1, settings: [] });
  return await persist(() => lend(pool, mysqlWeaknesses)).finally(() => pool.close());
}

async function isStandby(session: Session): Promise<boolean> {
  const [row] = (await session.command('select @@global.read_only as standby')) as { readonly standby: unknown }[];
  return Number(row?.standby) !== 0;
}

interface Facts {
  /** Text whose trailing spaces count, which the two systems call by different names. */
  readonly collation: string;
  /** Milliseconds after which the server closes an idle connection. */
  readonly waitTimeout: number;
}

async function factsOf(session: Session): Promise<Facts> {
  const [row] = await session.command('select version() as version, @@session.wait_timeout as waits');
  const { version, waits } = row as { readonly version: string; readonly waits: unknown };
  return { collation: /mariadb/i.test(version) ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin', waitTimeout: Number(waits) * 1000 };
}

function columnsIn(collation: string): ColumnWords {
  return {
    row: 'bigint auto_increment',
    key: 'varbinary(512)',
    text: `longtext character set utf8mb4 collate ${collation}`,
    integer: 'bigint',
    bytes: 'longblob',
    ephemera: [ephemeraTable(collation)],
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
