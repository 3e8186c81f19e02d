import { z } from 'zod';
import { Fault, type FlowId, Secret } from '#kernel';
import type { Place } from '#vault';
import type { ConnectionRow } from './connections.sql.ts';
import type { Connection, ConnectionStatus } from './contract.ts';

/** The sealed value of a connection. */
const credentialSchema = z.object({
  parts: z.record(z.string(), z.string()),
  refresh_token: z.string().optional(),
  /** How new tokens are had: by the refresh token, or by asking again as the client itself. */
  renewal: z.enum(['none', 'refresh_token', 'client_credentials']),
  /** A client that belongs to this connection alone. */
  client: z.object({ id: z.string(), secret: z.string().optional() }).optional(),
  obtained_at: z.number(),
});
export type StoredCredential = z.infer<typeof credentialSchema>;

export function sealable(credential: StoredCredential): Secret<string> {
  return new Secret(JSON.stringify(credential));
}

/** @throws {Fault} `sealed_value_unreadable` */
export function parseCredential(value: Secret<string>): StoredCredential {
  const parsed = credentialSchema.safeParse(JSON.parse(value.reveal()));
  if (!parsed.success) throw new Fault('sealed_value_unreadable');
  return parsed.data;
}

/** What the owner of a connection agreed to (SECURITY 7). */
const pinnedSchema = z.object({
  /** Digest of the part of the definition that decides where a credential goes. */
  digest: z.string(),
  origins: z.array(z.string()),
  endpoints: z.record(z.string(), z.string()),
  /** The account's own names below the tenant suffixes of the provider. */
  hosts: z.array(z.string()).default([]),
  /** Client id at the provider; null: there is none. */
  client: z.string().nullable(),
  /** The flow that made the credential, which is what the owner confirmed. */
  flow: z.string().optional(),
});
export type Pinned = z.infer<typeof pinnedSchema>;

const pins = new WeakMap<object, Pinned>();

export function pinnedOf(row: Pick<ConnectionRow, 'pinned_json'>): Pinned {
  const known = pins.get(row);
  if (known !== undefined) return known;
  const pinned = pinnedSchema.parse(JSON.parse(row.pinned_json));
  pins.set(row, pinned);
  return pinned;
}

const statusSchema: z.ZodType<ConnectionStatus> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('connected') }),
  z.object({ kind: z.literal('interrupted'), since: z.number() }),
  z.object({
    kind: z.literal('needs_attention'),
    reason: z.enum(['invalid_grant', 'rejected', 'expired', 'interrupted', 'provider_changed', 'unreadable', 'unconfirmed']),
    since: z.number(),
  }),
  z.object({ kind: z.literal('disconnected'), since: z.number() }),
]);

const connected: ConnectionStatus = Object.freeze({ kind: 'connected' });

export function statusOf(row: Pick<ConnectionRow, 'status_json'>): ConnectionStatus {
  return row.status_json === connectedJson ? connected : statusSchema.parse(JSON.parse(row.status_json));
}

/** The member `kind` comes first, so that a query by status can look at the beginning. */
export function statusJson(status: ConnectionStatus): string {
  const { kind, ...rest } = status;
  return JSON.stringify({ kind, ...rest });
}

export const connectedJson = statusJson({ kind: 'connected' });

/** The row as others see it. */
export function connectionOf(row: ConnectionRow): Connection {
  return Object.freeze({
    id: row.id,
    organization: row.organization_id,
    vault: row.vault_id,
    provider: row.provider_id,
    name: row.name,
    isDefault: row.is_default === 1,
    shared: row.shared === 1,
    owner: row.owner_user_id ?? undefined,
    kind: row.kind,
    status: statusOf(row),
    account: z.record(z.string(), z.string()).parse(JSON.parse(row.account_json)),
    scopes: z.array(z.string()).parse(JSON.parse(row.scopes_json)),
    hosts: pinnedOf(row).hosts,
    flow: pinnedOf(row).flow as FlowId | undefined,
    expiresAt: row.expires_at ?? undefined,
    createdAt: row.created_at,
    refreshedAt: row.refreshed_at ?? undefined,
    version: row.version,
  });
}

/** Connected outside its owner's browser, and not yet said yes to there: used by nobody (SECURITY 4). */
export function rests({ status }: Pick<Connection, 'status'>): boolean {
  return status.kind === 'needs_attention' && status.reason === 'unconfirmed';
}

/** Where the credential of a connection is sealed. */
export function placeOf(row: Pick<ConnectionRow, 'organization_id' | 'vault_id' | 'provider_id' | 'name'>): Place {
  return { organization: row.organization_id, vault: row.vault_id, provider: row.provider_id, kind: 'connection', name: row.name };
}
