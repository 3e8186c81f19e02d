import { sql } from 'kysely';
import type { RequestTable, Schema } from '../schema.ts';
import type { Migration } from './index.ts';
import { createTable, type TableShape } from './tables.ts';

/** Types of authorization details, and how long an organization lets what it issues live. */
export const requestTables = {
  authorization_details_types: {
    columns: {
      row: 'row',
      organization_id: 'key',
      created_at: 'integer',
      type: 'text',
      type_hash: 'key',
      definition_json: 'text',
      version: 'integer',
    },
    unique: [['organization_id', 'type_hash']],
  },
  issuer_lives: {
    columns: {
      row: 'row',
      organization_id: 'key',
      lives_json: 'text',
      updated_at: 'integer',
      version: 'integer',
    },
    unique: [['organization_id']],
  },
} as const satisfies { readonly [T in RequestTable]: TableShape<keyof Schema[T] & string> };

/** What a row of the release before does not say, it leaves null. */
const added = { sessions: 'amr', grants: 'granted_json', consents: 'details_json' } as const;

export const requests: Migration = {
  name: '0005-requests',
  async run(db, words) {
    for (const [name, shape] of Object.entries(requestTables)) await createTable(db, words, name, shape);
    for (const [table, column] of Object.entries(added)) await db.schema.alterTable(table).addColumn(column, sql.raw(words.text)).execute();
  },
};
