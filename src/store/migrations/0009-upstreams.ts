import type { Schema, SignInTable } from '../schema.ts';
import type { Migration } from './index.ts';
import { createTable, type TableShape } from './tables.ts';

/** The tables of signing in through others. */
export const signInTables = {
  upstreams: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      name: 'key',
      kind: 'text',
      label: 'text',
      issuer: 'text',
      source: 'text',
      client_id: 'text',
      client_envelope: 'bytes?',
      scopes_json: 'text',
      domains_json: 'text',
      sign_up: 'integer',
      version: 'integer',
    },
    unique: [['id'], ['organization_id', 'name']],
  },
  sign_in_methods: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      user_id: 'key',
      kind: 'text',
      authority: 'key',
      subject_hash: 'key',
      label: 'text',
      details_json: 'text',
      used_at: 'integer',
      version: 'integer',
    },
    unique: [['id'], ['organization_id', 'authority', 'subject_hash']],
    indexes: [['user_id'], ['authority']],
  },
} as const satisfies { readonly [T in SignInTable]: TableShape<keyof Schema[T] & string> };

export const upstreams: Migration = {
  name: '0009-upstreams',
  async run(db, words) {
    for (const [name, shape] of Object.entries(signInTables)) await createTable(db, words, name, shape);
  },
};
