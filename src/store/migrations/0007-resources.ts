import type { ResourceTable, Schema } from '../schema.ts';
import type { Migration } from './index.ts';
import { createTable, type TableShape } from './tables.ts';

/** Registered resources, and verification keys of an earlier system. */
export const resourceTables = {
  resources: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      identifier: 'text',
      identifier_hash: 'key',
      name: 'text',
      scopes_json: 'text',
      token_format: 'text',
      algorithm: 'text',
      is_open: 'integer',
      version: 'integer',
    },
    unique: [['id'], ['organization_id', 'identifier_hash']],
  },
  imported_keys: {
    columns: {
      row: 'row',
      organization_id: 'key',
      created_at: 'integer',
      kid: 'key',
      algorithm: 'text',
      public_jwk_json: 'text',
      retires_at: 'integer?',
    },
    unique: [['organization_id', 'kid']],
  },
} as const satisfies { readonly [T in ResourceTable]: TableShape<keyof Schema[T] & string> };

export const resources: Migration = {
  name: '0007-resources',
  async run(db, words) {
    for (const [name, shape] of Object.entries(resourceTables)) await createTable(db, words, name, shape);
  },
};
