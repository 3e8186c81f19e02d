import { sql } from 'kysely';
import type { Migration } from './index.ts';

/** Refresh tokens of clients that cannot prove who they are may be bound to a key. */
export const senders: Migration = {
  name: '0004-senders',
  async run(db, words) {
    await db.schema.alterTable('refresh_tokens').addColumn('confirmation_json', sql.raw(words.text)).execute();
  },
};
