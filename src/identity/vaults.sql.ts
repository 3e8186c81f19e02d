import type { OrganizationId, UserId, VaultId } from '#kernel';
import type { Reading, Writing } from '#store';

export interface NewVault {
  readonly id: VaultId;
  readonly organization: OrganizationId;
  readonly name: string;
  readonly owner: UserId | undefined;
}

/** Who a vault is bound to. `everyone` has no id. */
export type Holder = { readonly kind: 'user' | 'agent'; readonly id: string } | { readonly kind: 'everyone'; readonly id: '' };

export async function insertVault(tx: Writing, vault: NewVault, holder: Holder, isDefault: boolean, now: number): Promise<void> {
  await tx.db
    .insertInto('vaults')
    .values({
      id: vault.id,
      organization_id: vault.organization,
      name: vault.name,
      owner_kind: vault.owner === undefined ? 'organization' : 'user',
      owner_user_id: vault.owner ?? null,
      created_at: now,
      version: 1,
    })
    .execute();
  await tx.db
    .insertInto('vault_bindings')
    .values({
      organization_id: vault.organization,
      vault_id: vault.id,
      principal_kind: holder.kind,
      principal_id: holder.id,
      is_default: isDefault ? 1 : 0,
      created_at: now,
    })
    .execute();
}

/** Vaults bound to any of these, each once, oldest binding first; with whether it is the holder's default. */
export async function boundVaults(
  tx: Reading,
  organization: OrganizationId,
  holders: readonly Holder[],
): Promise<readonly { readonly vault: VaultId; readonly isDefault: boolean }[]> {
  const rows = await tx.db
    .selectFrom('vault_bindings')
    .select(['vault_id', 'is_default'])
    .where('organization_id', '=', organization)
    .where(({ or, and, eb }) =>
      or(holders.map((holder) => and([eb('principal_kind', '=', holder.kind), eb('principal_id', '=', holder.id)]))),
    )
    .orderBy('row')
    .execute();
  return rows.map((row) => ({ vault: row.vault_id, isDefault: row.is_default === 1 }));
}
