import type { ConnectionId, FlowId, OrganizationId, VaultId } from '#kernel';
import { sha256 } from '#store';
import type { Label } from '#vault';

/** Associated data of `connections.pending_envelope`; the version is the one the value will have in its vault. */
export function pendingLabel(
  row: { readonly id: ConnectionId; readonly organization_id: OrganizationId; readonly vault_id: VaultId },
  version: number,
): Label {
  return {
    owner: { kind: 'vault', organization: row.organization_id, vault: row.vault_id },
    key: `connections/pending_envelope/${row.id}`,
    version,
  };
}

/** Associated data of `flows.sealed_envelope`. */
export function flowLabel(row: { readonly id: FlowId; readonly organization_id: OrganizationId }): Label {
  return { owner: { kind: 'organization', organization: row.organization_id }, key: `flows/sealed_envelope/${row.id}`, version: 1 };
}

/** Associated data of `provider_clients.secret_envelope`. */
export function clientLabel(row: { readonly provider_id: string; readonly organization_id: OrganizationId }): Label {
  return {
    owner: { kind: 'organization', organization: row.organization_id },
    key: `provider_clients/secret_envelope/${row.provider_id}`,
    version: 1,
  };
}

/** Associated data of a client that waits for a person's yes; `held` is the name it is found by. */
export function heldClientLabel(organization: OrganizationId, provider: string, held: string): Label {
  return { owner: { kind: 'organization', organization }, key: `held_client/${provider}/${sha256(held)}`, version: 1 };
}
