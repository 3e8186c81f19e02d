import type { Schema } from '../schema.ts';

type Keys = { readonly [T in keyof Schema]: readonly (keyof Schema[T] & string)[] };

/**
 * The columns by which each table is read in order, the same order on every database: its row id, or its primary key.
 * The compiler lists a table that is missing.
 */
const keys = {
  migrations: ['name'],
  generations: ['topic'],
  sealed_values: ['row'],
  data_keys: ['row'],
  master_key_marks: ['id'],
  organizations: ['row'],
  organization_issuers: ['issuer'],
  users: ['row'],
  sessions: ['row'],
  login_failures: ['row'],
  upstreams: ['row'],
  sign_in_methods: ['row'],
  platform_facts: ['name'],
  agents: ['row'],
  vaults: ['row'],
  vault_bindings: ['row'],
  provider_definitions: ['row'],
  provider_clients: ['row'],
  connections: ['row'],
  flows: ['row'],
  permissions: ['row'],
  confirmations: ['row'],
  runs: ['row'],
  authorities: ['row'],
  events: ['row'],
  audit_heads: ['organization_id', 'writer'],
  audit_checkpoints: ['row'],
  audit_keys: ['row'],
  jobs: ['row'],
  spent_values: ['hash'],
  signing_keys: ['row'],
  clients: ['row'],
  client_secrets: ['row'],
  consents: ['row'],
  grants: ['row'],
  refresh_tokens: ['row'],
  endings: ['row'],
  authorization_details_types: ['row'],
  issuer_lives: ['row'],
  resources: ['row'],
  imported_keys: ['row'],
  backchannel_requests: ['row'],
  trusted_issuers: ['row'],
  registrations: ['row'],
  registration_tokens: ['row'],
  session_clients: ['row'],
  invitations: ['row'],
} as const satisfies Keys;

export type TableName = Exclude<keyof Schema, 'migrations'>;

/** A table that is moved, and how it is read in order. */
export interface MovedTable {
  readonly name: TableName;
  readonly keys: readonly string[];
  /** It has an integer row id, which the database goes on giving. */
  readonly numbered: boolean;
}

/** Every table but the ledger of migrations, which each database writes itself. */
export const movedTables: readonly MovedTable[] = Object.entries(keys)
  .filter(([name]) => name !== 'migrations')
  .map(([name, columns]) => ({ name: name as TableName, keys: columns, numbered: columns[0] === 'row' }));
