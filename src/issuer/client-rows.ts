import type { ClientId, OrganizationId } from '#kernel';
import { sha256 } from '#store';
import { clientDefaults } from './client-metadata.ts';
import type { ClientRow, SecretRow } from './clients.sql.ts';
import type { Client, ClientMetadata } from './contract.ts';
import { ownScopes } from './scopes.ts';

/** The id of its row, short enough for a part of any key: the client's own, or what stands for its URL in this organization. */
export function rowOf(organization: OrganizationId, id: ClientId): string {
  return id.startsWith('https://') ? `doc_${sha256(`${organization} ${id}`)}` : id;
}

export function clientOf(row: ClientRow, secrets: readonly SecretRow[]): Client {
  const metadata = JSON.parse(row.metadata_json) as ClientMetadata;
  return Object.freeze({
    ...clientDefaults,
    ...metadata,
    ...scopesOf(row.source, metadata),
    id: (metadata.url ?? row.id) as ClientId,
    organization: row.organization_id,
    source: row.source,
    name: row.name,
    authentication: row.authentication as Client['authentication'],
    createdAt: row.created_at,
    secrets: secrets
      .filter((secret) => secret.client_id === row.id)
      .map((secret) => ({
        id: secret.id,
        hash: secret.secret_hash,
        createdAt: secret.created_at,
        expiresAt: secret.expires_at ?? undefined,
      })),
  });
}

/**
 * A client that describes itself may ask for scopes that are everybody's, those that it names or any; for those of an open resource it
 * asks together with that, as every client may. Where it named none it is given none unasked.
 */
function scopesOf(source: Client['source'], { scopes }: ClientMetadata): Pick<Client, 'scopes' | 'assumedScopes'> {
  if (source === 'static') return { scopes, assumedScopes: scopes };
  const everybodys = Object.keys(ownScopes);
  return { scopes: scopes.length === 0 ? everybodys : scopes.filter((scope) => everybodys.includes(scope)), assumedScopes: scopes };
}
