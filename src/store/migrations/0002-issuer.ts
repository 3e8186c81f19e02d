import type { AddedColumn, IssuerTable, Schema } from '../schema.ts';
import type { Migration } from './index.ts';
import { createTable, type TableShape } from './tables.ts';

/** Columns that came with a later migration. */
type LaterColumn = 'confirmation_json' | 'sid' | 'declined_json';

/** The tables of the authorization server. */
export const issuerTables = {
  signing_keys: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      algorithm: 'key',
      sequence: 'integer',
      public_jwk_json: 'text',
      key_envelope: 'bytes',
      signs_from: 'integer',
      version: 'integer',
    },
    unique: [['id'], ['organization_id', 'algorithm', 'sequence']],
  },
  clients: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      name: 'text',
      source: 'text',
      authentication: 'text',
      metadata_json: 'text',
      ended_at: 'integer?',
      version: 'integer',
    },
    unique: [['id']],
    indexes: [['organization_id', 'row']],
  },
  client_secrets: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      client_id: 'key',
      secret_hash: 'key',
      expires_at: 'integer?',
      ended_at: 'integer?',
    },
    unique: [['id'], ['secret_hash']],
    indexes: [['client_id']],
  },
  consents: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      user_id: 'key',
      client_id: 'key',
      redirect_host: 'text',
      about_hash: 'key',
      scopes_json: 'text',
      resources_json: 'text',
      version: 'integer',
    },
    unique: [['id'], ['about_hash']],
    indexes: [['user_id'], ['client_id']],
  },
  grants: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      client_id: 'key',
      user_id: 'key',
      scopes_json: 'text',
      resources_json: 'text',
      authenticated_at: 'integer',
      user_epoch: 'integer',
      organization_epoch: 'integer',
      expires_at: 'integer',
      ended_at: 'integer?',
      end_reason: 'text?',
      version: 'integer',
    },
    unique: [['id']],
    indexes: [['user_id'], ['client_id'], ['expires_at']],
  },
  refresh_tokens: {
    columns: {
      row: 'row',
      organization_id: 'key',
      grant_id: 'key',
      token_hash: 'key',
      predecessor_hash: 'key?',
      created_at: 'integer',
      expires_at: 'integer',
      spent_at: 'integer?',
      grace_answer: 'bytes?',
      version: 'integer',
    },
    unique: [['token_hash'], ['predecessor_hash']],
    indexes: [['grant_id']],
  },
  endings: {
    columns: {
      row: 'row',
      organization_id: 'key',
      subject: 'key',
      expires_at: 'integer',
      created_at: 'integer',
    },
    unique: [['subject']],
    indexes: [['expires_at']],
  },
} as const satisfies { readonly [T in IssuerTable]: TableShape<Exclude<keyof Schema[T] & string, LaterColumn | AddedColumn>> };

export const issuer: Migration = {
  name: '0002-issuer',
  async run(db, words) {
    for (const [name, shape] of Object.entries(issuerTables)) await createTable(db, words, name, shape);
  },
};
