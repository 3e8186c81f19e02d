import type { Clock } from '#kernel';
import { checkKey, checkTtl, checkValue } from '../../limits.ts';
import type { Ephemera } from '../../ports.ts';
import { lendOnce, type Pool } from '../server.ts';

export const ephemeraTable = `create table if not exists ephemera
  (key text collate "C" primary key, value text collate "C" not null, expires_at bigint not null);
  create index if not exists ephemera_expires_at on ephemera (expires_at)`;

const verbs = {
  ping: 'select 1 as one',
  get: 'select value from ephemera where key = $1 and expires_at > $2',
  put: `insert into ephemera (key, value, expires_at) values ($1, $2, $3)
    on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at`,
  claim: `insert into ephemera (key, value, expires_at) values ($1, $2, $3)
    on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at where ephemera.expires_at <= $4
    returning 1 as won`,
  take: 'delete from ephemera where key = $1 returning value, expires_at',
  drop: 'delete from ephemera where key = $1 and value = $2 and expires_at > $3 returning 1 as held',
  bump: `insert into ephemera (key, value, expires_at) values ($1, '1', $2)
    on conflict (key) do update set
      value = case when ephemera.expires_at <= $3 then '1' else (ephemera.value::bigint + 1)::text end,
      expires_at = case when ephemera.expires_at <= $3 then excluded.expires_at else ephemera.expires_at end
    returning value::bigint as count`,
  sweep: `delete from ephemera where key in
    (select key from ephemera where expires_at <= $1 order by expires_at limit 500 for update skip locked) returning 1 as swept`,
} as const;

type Row = Readonly<Record<string, unknown>>;

/** Ephemera in a table of PostgreSQL. Each verb is one statement, so each is atomic, in one process or several. */
export function createPostgresEphemera(pool: Pool, clock: Clock): Ephemera {
  const run = async (verb: keyof typeof verbs, ...parameters: readonly (string | number)[]): Promise<readonly Row[]> => {
    const { rows } = await lendOnce(pool, (session) => session.run({ sql: verbs[verb], parameters }));
    return rows as readonly Row[];
  };

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
    close: () => pool.close(),
  });
}

function check(key: string, value: string, ttl: number): void {
  checkKey(key);
  checkValue(value);
  checkTtl(ttl);
}
