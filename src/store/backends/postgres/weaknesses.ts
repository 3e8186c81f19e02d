import type { Session } from '../server.ts';

const sql = `select current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit`;

/** Settings of the server by which a crash of its host could undo what was committed. */
export async function postgresWeaknesses(session: Session): Promise<readonly string[]> {
  const { rows } = await session.run({ sql, parameters: [] });
  const facts = rows[0] as Readonly<Record<'fsync' | 'synchronous_commit', string>>;
  return [...(facts.fsync === 'off' ? ['fsync = off'] : []), ...(facts.synchronous_commit === 'off' ? ['synchronous_commit = off'] : [])];
}
