import type { RegistrationTable, Schema } from '../schema.ts';
import type { Migration } from './index.ts';
import { createTable, type TableShape } from './tables.ts';

/** Clients that no administrator registered, and what lets a client register itself. */
export const registrationTables = {
  registrations: {
    columns: {
      row: 'row',
      organization_id: 'key',
      client_id: 'key',
      created_at: 'integer',
      token_hash: 'key?',
      registration_token_id: 'key?',
      used_at: 'integer?',
      expires_at: 'integer',
      version: 'integer',
    },
    unique: [['client_id'], ['token_hash']],
    indexes: [['organization_id', 'row'], ['expires_at']],
  },
  registration_tokens: {
    columns: {
      row: 'row',
      id: 'key',
      organization_id: 'key',
      created_at: 'integer',
      name: 'text',
      token_hash: 'key',
      uses_left: 'integer?',
      used_at: 'integer?',
      expires_at: 'integer?',
      ended_at: 'integer?',
      version: 'integer',
    },
    unique: [['id'], ['token_hash']],
    indexes: [['organization_id', 'row']],
  },
} as const satisfies { readonly [T in RegistrationTable]: TableShape<keyof Schema[T] & string> };

export const registrations: Migration = {
  name: '0003-registrations',
  async run(db, words) {
    for (const [name, shape] of Object.entries(registrationTables)) await createTable(db, words, name, shape);
  },
};
