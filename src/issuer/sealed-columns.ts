import type { OrganizationId, SigningKeyId } from '#kernel';
import type { Records } from '#store';
import type { Label, SealedCell, SealedColumn } from '#vault';
import { replaceSealedKey, sealedSigningKeys } from './keys.sql.ts';

export function signingKeyLabel(organization: OrganizationId, id: SigningKeyId): Label {
  return { owner: { kind: 'organization', organization }, key: `signing_keys/key/${id}`, version: 1 };
}

/** The sealed columns of this room, for a rotation that seals everything again. */
export function issuerSealedColumns({ records }: { readonly records: Records }): readonly SealedColumn[] {
  return [
    {
      name: 'signing_keys.key_envelope',
      async list(after, limit) {
        const rows = await sealedSigningKeys(records, after === undefined ? 0 : Number(after), limit);
        return rows.map(
          (row): SealedCell => ({
            cursor: String(row.row),
            label: signingKeyLabel(row.organization_id, row.id),
            envelope: row.key_envelope,
            update: (envelope) => replaceSealedKey(records, row, envelope),
          }),
        );
      },
    },
  ];
}
