import type { Schema } from './schema.ts';

type TenantTable = { [T in keyof Schema]: 'organization_id' extends keyof Schema[T] ? T : never }[keyof Schema];

/** Which column of a table says whose row it is. The compiler lists what is missing; a table that is not here belongs to no one. */
const tenantColumns = {
  organizations: 'id',
  organization_issuers: 'organization_id',
  users: 'organization_id',
  sessions: 'organization_id',
  login_failures: 'organization_id',
  upstreams: 'organization_id',
  sign_in_methods: 'organization_id',
  agents: 'organization_id',
  vaults: 'organization_id',
  vault_bindings: 'organization_id',
  provider_definitions: 'organization_id',
  provider_clients: 'organization_id',
  connections: 'organization_id',
  flows: 'organization_id',
  permissions: 'organization_id',
  confirmations: 'organization_id',
  runs: 'organization_id',
  authorities: 'organization_id',
  events: 'organization_id',
  audit_heads: 'organization_id',
  audit_checkpoints: 'organization_id',
  audit_keys: 'organization_id',
  jobs: 'organization_id',
  signing_keys: 'organization_id',
  clients: 'organization_id',
  client_secrets: 'organization_id',
  consents: 'organization_id',
  grants: 'organization_id',
  refresh_tokens: 'organization_id',
  endings: 'organization_id',
  authorization_details_types: 'organization_id',
  issuer_lives: 'organization_id',
  resources: 'organization_id',
  imported_keys: 'organization_id',
  backchannel_requests: 'organization_id',
  trusted_issuers: 'organization_id',
  registrations: 'organization_id',
  registration_tokens: 'organization_id',
  session_clients: 'organization_id',
  invitations: 'organization_id',
} as const satisfies Record<TenantTable | 'organizations', string>;

const columnOf: ReadonlyMap<string, string> = new Map(Object.entries(tenantColumns));

/** The column that names the organization, or undefined: the table is not anybody's. Databases fold the case of names, so we do. */
export function tenantColumn(table: string): string | undefined {
  return columnOf.get(table) ?? columnOf.get(table.toLowerCase());
}
