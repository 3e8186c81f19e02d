import type { GrantSourceTable, Schema } from '../schema.ts';
import type { Migration } from './index.ts';
import { createTable, type TableShape } from './tables.ts';

/** What clients asked of people who are not at their browser, and whose assertions are taken for tokens. */
export const grantSourceTables = {
  backchannel_requests: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      client_id: 'key',
      user_id: 'key',
      request_hash: 'key',
      scopes_json: 'text',
      resources_json: 'text',
      binding_message: 'text?',
      address: 'text',
      expires_at: 'integer',
      status: 'text',
      authenticated_at: 'integer?',
      user_epoch: 'integer?',
      organization_epoch: 'integer?',
      grant_id: 'key?',
      version: 'integer',
    },
    unique: [['id'], ['request_hash']],
    indexes: [['user_id'], ['expires_at']],
  },
  trusted_issuers: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      issuer: 'text',
      keys_json: 'text',
      client_id: 'key',
      user_id: 'key?',
      subjects_json: 'text',
      claims_json: 'text',
      version: 'integer',
    },
    unique: [['id']],
    indexes: [['organization_id', 'row'], ['client_id']],
  },
} as const satisfies { readonly [T in GrantSourceTable]: TableShape<keyof Schema[T] & string> };

export const grantSources: Migration = {
  name: '0006-grants',
  async run(db, words) {
    for (const [name, shape] of Object.entries(grantSourceTables)) await createTable(db, words, name, shape);
  },
};
