import type { Clock } from '#kernel';
import type { Ephemera } from '../../ports.ts';
import { type EphemeraRow, type EphemeraVerb, ephemeraIn, returningTable, toldTime } from '../ephemera-table.ts';
import { lendOnce, type Pool } from '../server.ts';

export const ephemeraTable = [
  'create table if not exists ephemera (key text collate "C" primary key, value text collate "C" not null, expires_at bigint not null)',
  'create index if not exists ephemera_expires_at on ephemera (expires_at)',
];

/** Milliseconds since 1970: what the parameter says, or else this server's own clock at the beginning of the statement. */
const time = (parameter: string) => `coalesce(${parameter}::bigint, (extract(epoch from statement_timestamp()) * 1000)::bigint)`;

export const verbs = {
  ping: 'select 1 as one',
  get: `select value from ephemera where key = $1 and expires_at > ${time('$2')}`,
  put: `insert into ephemera (key, value, expires_at) values ($1, $2, $3::bigint + ${time('$4')})
    on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at`,
  claim: `insert into ephemera (key, value, expires_at) values ($1, $2, $3::bigint + ${time('$4')})
    on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at where ephemera.expires_at <= ${time('$4')}
    returning 1 as won`,
  take: `delete from ephemera where key = $1 returning value, (expires_at > ${time('$2')})::int as lives`,
  drop: `delete from ephemera where key = $1 and value = $2 and expires_at > ${time('$3')} returning 1 as held`,
  bump: `insert into ephemera (key, value, expires_at) values ($1, '1', $2::bigint + ${time('$3')})
    on conflict (key) do update set
      value = case when ephemera.expires_at <= ${time('$3')} then '1' else (ephemera.value::bigint + 1)::text end,
      expires_at = case when ephemera.expires_at <= ${time('$3')} then excluded.expires_at else ephemera.expires_at end
    returning value::bigint as count`,
  sweep: `delete from ephemera where key in
    (select key from ephemera where expires_at <= ${time('$1')} order by expires_at limit 500 for update skip locked) returning 1 as swept`,
} as const satisfies Record<EphemeraVerb, string>;

/** Ephemera in a table of PostgreSQL, whose lives its server counts. */
export function createPostgresEphemera(pool: Pool, clock: Clock): Ephemera {
  const run = async (verb: EphemeraVerb, ...parameters: readonly (string | number | null)[]) => {
    const { rows } = await lendOnce(pool, (session) => session.run({ sql: verbs[verb], parameters }));
    return rows as readonly EphemeraRow[];
  };
  return ephemeraIn(returningTable(run, pool.close), toldTime(clock));
}
