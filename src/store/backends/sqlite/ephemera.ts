import type { Clock } from '#kernel';
import type { Ephemera } from '../../ports.ts';
import { type EphemeraRow, type EphemeraVerb, ephemeraIn, returningTable } from '../ephemera-table.ts';
import { createCheckpointer } from './checkpoint.ts';
import { type Connection, openConnection, whenFree } from './file.ts';

/** The log is copied by a thread when it is longer than this; never by a commit. */
const longestLog = 8 * 1024 * 1024;
const pragmas = ['journal_mode = wal', 'synchronous = normal', 'wal_autocheckpoint = 0', 'temp_store = memory', 'trusted_schema = off'];

const schema = `create table if not exists ephemera
  (key text primary key not null, value text not null, expires_at integer not null) without rowid`;
const expiryIndex = 'create index if not exists ephemera_expires_at on ephemera (expires_at)';

export const verbs = {
  get: 'select value from ephemera where key = ?1 and expires_at > ?2',
  put: `insert into ephemera (key, value, expires_at) values (?1, ?2, ?3 + ?4)
    on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at`,
  claim: `insert into ephemera (key, value, expires_at) values (?1, ?2, ?3 + ?4)
    on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at where ephemera.expires_at <= ?4
    returning 1 as won`,
  take: 'delete from ephemera where key = ?1 returning value, expires_at > ?2 as lives',
  drop: 'delete from ephemera where key = ?1 and value = ?2 and expires_at > ?3 returning 1 as held',
  bump: `insert into ephemera (key, value, expires_at) values (?1, '1', ?2 + ?3)
    on conflict (key) do update set
      value = case when ephemera.expires_at <= ?3 then '1' else cast(cast(ephemera.value as integer) + 1 as text) end,
      expires_at = case when ephemera.expires_at <= ?3 then excluded.expires_at else ephemera.expires_at end
    returning cast(value as integer) as count`,
  ping: 'select 1',
  sweep: 'delete from ephemera where key in (select key from ephemera where expires_at <= ?1 order by expires_at limit 500) returning 1',
} as const satisfies Record<EphemeraVerb, string>;

/** Ephemera in a SQLite file of its own. */
export async function openSqliteEphemera(path: string, clock: Clock): Promise<Ephemera> {
  const connection = await whenFree(() => openConnection(path, pragmas));
  await whenFree(() => connection.run({ sql: schema, parameters: [] }));
  await whenFree(() => connection.run({ sql: expiryIndex, parameters: [] }));
  const checkpointer = createCheckpointer(path, longestLog);
  const run = (verb: EphemeraVerb, ...parameters: readonly (string | number | null)[]) => {
    checkpointer.watch();
    return execute(connection, verbs[verb], parameters);
  };
  const close = async () => {
    await checkpointer.close();
    connection.close();
  };
  return ephemeraIn(returningTable<number>(run, close), clock.now);
}

async function execute(connection: Connection, sql: string, parameters: readonly unknown[]): Promise<readonly EphemeraRow[]> {
  connection.assertThere();
  const { rows } = await whenFree(() => connection.run({ sql, parameters }));
  return rows as readonly EphemeraRow[];
}
