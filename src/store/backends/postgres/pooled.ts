import type { Session } from '../server.ts';
import { type SessionOptions, sessionSettings } from './session-settings.ts';

const begins = /^begin\b[^;]*/;
const ends = /^(commit|rollback)$/;

/**
 * A session behind a pooler that lends a connection for one transaction: nothing that a session was told holds for the next
 * one, so each transaction is told anew, and a statement on its own becomes one.
 */
export function perTransaction(session: Session, schema: string, options: SessionOptions): Session {
  const told = tellingOf(schema, options);
  let within = false;

  async function command(sql: string): Promise<readonly unknown[]> {
    const beginning = begins.test(sql);
    within ||= beginning;
    if (ends.test(sql)) within = false;
    if (beginning) return await session.command(sql.replace(begins, (start) => `${start}; ${told}`));
    // Statements that are sent together are one transaction.
    return await session.command(within || ends.test(sql) ? sql : `${told}; ${sql}`);
  }

  return {
    ...session,
    command,
    async run(query) {
      if (within) return await session.run(query);
      await command('begin');
      try {
        const answer = await session.run(query);
        await command('commit');
        return answer;
      } catch (error) {
        await command('rollback').catch(() => {});
        throw error;
      }
    },
  };
}

function tellingOf(schema: string, options: SessionOptions): string {
  const { default_transaction_read_only: readOnly, ...settings } = sessionSettings(schema, options);
  const all = { ...settings, ...(readOnly === undefined ? {} : { transaction_read_only: readOnly }) };
  return Object.entries(all)
    .map(([name, value]) => `set local ${name} = '${value}'`)
    .join('; ');
}
