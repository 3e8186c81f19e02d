import type { Clock } from '#kernel';
import { checkEntry, checkKey, checkTtl } from '../../limits.ts';
import type { Ephemera } from '../../ports.ts';
import { lendOnce, type Pool } from '../server.ts';

/** Keys and values are bytes: they are compared as such. */
export const ephemeraTable = (collation: string) => `create table if not exists ephemera
  (\`key\` varbinary(512) not null primary key, value mediumblob not null, expires_at bigint not null, key ephemera_expires_at (expires_at))
  engine = InnoDB default character set utf8mb4 collate ${collation} row_format = dynamic`;

/** Assignments happen from left to right, so the life, which the others look at, comes last. */
const verbs = {
  ping: 'select 1 as one',
  get: 'select value from ephemera where `key` = ? and expires_at > ?',
  put: `insert into ephemera (\`key\`, value, expires_at) values (?, ?, ?)
    on duplicate key update value = values(value), expires_at = values(expires_at)`,
  claim: `insert into ephemera (\`key\`, value, expires_at) values (?, ?, ?)
    on duplicate key update
      value = if(expires_at <= ?, values(value), value),
      expires_at = if(expires_at <= ?, values(expires_at), expires_at)`,
  look: 'select value, expires_at from ephemera where `key` = ?',
  remove: 'delete from ephemera where `key` = ? and value = ? and expires_at = ?',
  drop: 'delete from ephemera where `key` = ? and value = ? and expires_at > ?',
  bump: `insert into ephemera (\`key\`, value, expires_at) values (?, '1', ?)
    on duplicate key update
      value = last_insert_id(if(expires_at <= ?, 1, cast(cast(value as char) as unsigned) + 1)),
      expires_at = if(expires_at <= ?, values(expires_at), expires_at)`,
  sweep: 'delete from ephemera where expires_at <= ? order by expires_at limit 500',
} as const;

interface Row {
  readonly value: Buffer;
  readonly expires_at: number;
}

/** Ephemera in a table of MySQL or MariaDB. Whatever decides is one statement, so each verb is atomic, in one process or several. */
export function createMysqlEphemera(pool: Pool, clock: Clock): Ephemera {
  const run = (verb: keyof typeof verbs, ...parameters: readonly (string | number | Buffer)[]) =>
    lendOnce(pool, (session) => session.run({ sql: verbs[verb], parameters }));
  /** How many rows are different now; an insert that met a row and changed it counts two. */
  const change = async (verb: keyof typeof verbs, ...parameters: readonly (string | number | Buffer)[]) =>
    Number((await run(verb, ...parameters)).numAffectedRows);

  /** Looks, then removes exactly what it saw: of all who saw it, one does. */
  async function take(key: string): Promise<string | undefined> {
    for (;;) {
      const [row] = (await run('look', key)).rows as Row[];
      if (row === undefined) return undefined;
      const removed = await change('remove', key, row.value, row.expires_at);
      if (removed === 1) return row.expires_at <= clock.now() ? undefined : row.value.toString('utf8');
    }
  }

  return Object.freeze({
    async get(key: string) {
      checkKey(key);
      const [row] = (await run('get', key, clock.now())).rows as Row[];
      return row?.value.toString('utf8');
    },
    async put(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      await run('put', key, value, clock.now() + ttl);
    },
    async claim(key: string, value: string, ttl: number) {
      checkEntry(key, value, ttl);
      const now = clock.now();
      return (await change('claim', key, value, now + ttl, now, now)) > 0;
    },
    async take(key: string) {
      checkKey(key);
      return await take(key);
    },
    async drop(key: string, value: string) {
      checkKey(key);
      return (await change('drop', key, value, clock.now())) === 1;
    },
    async bump(key: string, ttl: number) {
      checkKey(key);
      checkTtl(ttl);
      const now = clock.now();
      const { numAffectedRows, insertId } = await run('bump', key, now + ttl, now, now);
      return numAffectedRows === 1n ? 1 : Number(insertId);
    },
    async since() {
      return 0;
    },
    async ping() {
      const began = performance.now();
      await run('ping');
      return performance.now() - began;
    },
    sweep: () => change('sweep', clock.now()),
    close: () => pool.close(),
  });
}
