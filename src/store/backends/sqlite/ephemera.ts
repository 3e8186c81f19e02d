import type { Clock } from '#kernel';
import { checkKey, checkTtl, checkValue } from '../../limits.ts';
import type { Ephemera } from '../../ports.ts';
import { type Connection, openConnection, whenFree } from './file.ts';

const pragmas = ['journal_mode = wal', 'synchronous = normal', 'temp_store = memory', 'trusted_schema = off'];

const schema = `create table if not exists ephemera
  (key text primary key not null, value text not null, expires_at integer not null) without rowid`;
const expiryIndex = 'create index if not exists ephemera_expires_at on ephemera (expires_at)';

const verbs = {
  get: 'select value from ephemera where key = ?1 and expires_at > ?2',
  put: `insert into ephemera (key, value, expires_at) values (?1, ?2, ?3)
    on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at`,
  claim: `insert into ephemera (key, value, expires_at) values (?1, ?2, ?3)
    on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at where ephemera.expires_at <= ?4
    returning 1 as won`,
  take: 'delete from ephemera where key = ?1 returning value, expires_at',
  drop: 'delete from ephemera where key = ?1 and value = ?2 and expires_at > ?3 returning 1 as held',
  bump: `insert into ephemera (key, value, expires_at) values (?1, '1', ?2)
    on conflict (key) do update set
      value = case when ephemera.expires_at <= ?3 then '1' else cast(cast(ephemera.value as integer) + 1 as text) end,
      expires_at = case when ephemera.expires_at <= ?3 then excluded.expires_at else ephemera.expires_at end
    returning cast(value as integer) as count`,
  ping: 'select 1',
  sweep: 'delete from ephemera where key in (select key from ephemera where expires_at <= ?1 order by expires_at limit 500) returning 1',
} as const;

/** Ephemera in a SQLite file of its own. Each verb is one statement, so each is atomic, in one process or several. */
export async function openSqliteEphemera(path: string, clock: Clock): Promise<Ephemera> {
  const connection = await whenFree(() => openConnection(path, pragmas));
  await whenFree(() => connection.run({ sql: schema, parameters: [] }));
  await whenFree(() => connection.run({ sql: expiryIndex, parameters: [] }));
  const run = (verb: keyof typeof verbs, ...parameters: readonly (string | number)[]) => execute(connection, verbs[verb], parameters);

  return Object.freeze({
    async get(key: string) {
      checkKey(key);
      const [row] = await run('get', key, clock.now());
      return row === undefined ? undefined : String(row.value);
    },
    async put(key: string, value: string, ttl: number) {
      check(key, value, ttl);
      await run('put', key, value, clock.now() + ttl);
    },
    async claim(key: string, value: string, ttl: number) {
      check(key, value, ttl);
      const now = clock.now();
      return (await run('claim', key, value, now + ttl, now)).length === 1;
    },
    async take(key: string) {
      checkKey(key);
      const [row] = await run('take', key);
      return row === undefined || Number(row.expires_at) <= clock.now() ? undefined : String(row.value);
    },
    async drop(key: string, value: string) {
      checkKey(key);
      return (await run('drop', key, value, clock.now())).length === 1;
    },
    async bump(key: string, ttl: number) {
      checkKey(key);
      checkTtl(ttl);
      const now = clock.now();
      const [row] = await run('bump', key, now + ttl, now);
      return Number(row?.count);
    },
    async since() {
      return 0;
    },
    async ping() {
      const began = performance.now();
      await run('ping');
      return performance.now() - began;
    },
    async sweep() {
      return (await run('sweep', clock.now())).length;
    },
    async close() {
      connection.close();
    },
  });
}

type Row = Readonly<Record<string, unknown>>;

async function execute(connection: Connection, sql: string, parameters: readonly unknown[]): Promise<readonly Row[]> {
  connection.assertThere();
  const { rows } = await whenFree(() => connection.run({ sql, parameters }));
  return rows as readonly Row[];
}

function check(key: string, value: string, ttl: number): void {
  checkKey(key);
  checkValue(value);
  checkTtl(ttl);
}
