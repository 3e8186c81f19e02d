import type { Clock } from '#kernel';
import type { Ephemera } from '../../ports.ts';
import { type EphemeraTable, ephemeraIn, toldTime } from '../ephemera-table.ts';
import { lendOnce, type Pool } from '../server.ts';

/** Keys and values are bytes: they are compared as such. */
export const ephemeraTable = (collation: string) => `create table if not exists ephemera
  (\`key\` varbinary(512) not null primary key, value mediumblob not null, expires_at bigint not null, key ephemera_expires_at (expires_at))
  engine = InnoDB default character set utf8mb4 collate ${collation} row_format = dynamic`;

/** Milliseconds since 1970: what the parameter says, or else this server's own clock at the beginning of the statement. */
const time = "coalesce(?, timestampdiff(microsecond, '1970-01-01', utc_timestamp(3)) div 1000)";

/** Assignments happen from left to right, so the life, which the others look at, comes last. */
export const verbs = {
  ping: 'select 1 as one',
  get: `select value from ephemera where \`key\` = ? and expires_at > ${time}`,
  put: `insert into ephemera (\`key\`, value, expires_at) values (?, ?, ? + ${time})
    on duplicate key update value = values(value), expires_at = values(expires_at)`,
  claim: `insert into ephemera (\`key\`, value, expires_at) values (?, ?, ? + ${time})
    on duplicate key update
      value = if(expires_at <= ${time}, values(value), value),
      expires_at = if(expires_at <= ${time}, values(expires_at), expires_at)`,
  look: `select value, expires_at, expires_at > ${time} as lives from ephemera where \`key\` = ?`,
  remove: 'delete from ephemera where `key` = ? and value = ? and expires_at = ?',
  drop: `delete from ephemera where \`key\` = ? and value = ? and expires_at > ${time}`,
  bump: `insert into ephemera (\`key\`, value, expires_at) values (?, '1', ? + ${time})
    on duplicate key update
      value = last_insert_id(if(expires_at <= ${time}, 1, cast(cast(value as char) as unsigned) + 1)),
      expires_at = if(expires_at <= ${time}, values(expires_at), expires_at)`,
  sweep: `delete from ephemera where expires_at <= ${time} order by expires_at limit 500`,
} as const;

interface Row {
  readonly value: Buffer;
  readonly expires_at: number;
  readonly lives: number;
}

/** Ephemera in a table of MySQL or MariaDB, whose lives its server counts. Whatever decides is one statement. */
export function createMysqlEphemera(pool: Pool, clock: Clock): Ephemera {
  const run = (verb: keyof typeof verbs, ...parameters: readonly (string | number | Buffer | null)[]) =>
    lendOnce(pool, (session) => session.run({ sql: verbs[verb], parameters }));
  const look = async (verb: 'get' | 'look', ...parameters: readonly (string | number | null)[]) =>
    (await run(verb, ...parameters)).rows[0] as Row | undefined;
  /** How many rows are different now; an insert that met a row and changed it counts two. */
  const change = async (...given: Parameters<typeof run>) => Number((await run(...given)).numAffectedRows);

  /** Looks, then removes exactly what it saw: of all who saw it, one does. */
  async function take(key: string, now: number | null) {
    for (;;) {
      const row = await look('look', now, key);
      if (row === undefined) return undefined;
      if ((await change('remove', key, row.value, row.expires_at)) === 1)
        return Number(row.lives) === 1 ? row.value.toString('utf8') : undefined;
    }
  }

  const table: EphemeraTable<number | null> = {
    get: async (key, now) => (await look('get', key, now))?.value.toString('utf8'),
    put: (key, value, ttl, now) => run('put', key, value, ttl, now),
    claim: async (key, value, ttl, now) => (await change('claim', key, value, ttl, now, now, now)) > 0,
    take,
    drop: async (key, value, now) => (await change('drop', key, value, now)) === 1,
    async bump(key, ttl, now) {
      const { numAffectedRows, insertId } = await run('bump', key, ttl, now, now, now);
      return numAffectedRows === 1n ? 1 : Number(insertId);
    },
    ping: () => run('ping'),
    sweep: (now) => change('sweep', now),
    close: pool.close,
  };
  return ephemeraIn(table, toldTime(clock));
}
