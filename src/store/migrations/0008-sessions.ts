import { sql } from 'kysely';
import type { Schema, SessionTables } from '../schema.ts';
import type { Migration } from './index.ts';
import { createTable, type TableShape } from './tables.ts';

/** What hangs on a person's sessions, and who is invited to have one. */
export const sessionTables = {
  session_clients: {
    columns: {
      row: 'row',
      organization_id: 'key',
      sid: 'key',
      client_id: 'key',
      user_id: 'key',
      created_at: 'integer',
    },
    indexes: [['sid'], ['created_at']],
  },
  invitations: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      email: 'text',
      role: 'text',
      token_hash: 'key',
      expires_at: 'integer',
      ended_at: 'integer?',
      version: 'integer',
    },
    unique: [['id'], ['token_hash']],
    indexes: [['organization_id', 'row']],
  },
} as const satisfies { readonly [T in SessionTables]: TableShape<keyof Schema[T] & string> };

export const sessions: Migration = {
  name: '0008-sessions',
  async run(db, words) {
    await db.schema.alterTable('sessions').addColumn('sid', sql.raw(words.key)).execute();
    await db.schema.createIndex('sessions_sid').on('sessions').columns(['sid']).execute();
    await db.schema.alterTable('grants').addColumn('sid', sql.raw(words.key)).execute();
    await db.schema.createIndex('grants_sid').on('grants').columns(['sid']).execute();
    await db.schema.alterTable('consents').addColumn('declined_json', sql.raw(words.text)).execute();
    for (const [name, shape] of Object.entries(sessionTables)) await createTable(db, words, name, shape);
  },
};
