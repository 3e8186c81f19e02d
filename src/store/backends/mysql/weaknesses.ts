import type { Session } from '../server.ts';

const sql = `select @@global.innodb_flush_log_at_trx_commit as flush_log, @@global.log_bin as log_bin, @@global.sync_binlog as sync_binlog`;

/** Settings of the server by which a crash of its host could undo what was committed. The binary log counts where there is one. */
export async function mysqlWeaknesses(session: Session): Promise<readonly string[]> {
  const { rows } = await session.run({ sql, parameters: [] });
  const facts = rows[0] as Readonly<Record<'flush_log' | 'log_bin' | 'sync_binlog', unknown>>;
  return [
    ...(Number(facts.flush_log) === 1 ? [] : [`innodb_flush_log_at_trx_commit = ${Number(facts.flush_log)}`]),
    ...(Number(facts.log_bin) === 1 && Number(facts.sync_binlog) === 0 ? ['sync_binlog = 0'] : []),
  ];
}
