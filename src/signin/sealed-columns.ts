import type { Records } from '#store';
import type { SealedCell, SealedColumn } from '#vault';
import { credentialLabel } from './upstreams/credentials.ts';
import { replaceSealedUpstream, sealedUpstreams } from './upstreams/upstreams.sql.ts';

/** The sealed columns of this room, for a rotation that seals everything again. */
export function signinSealedColumns({ records }: { readonly records: Records }): readonly SealedColumn[] {
  return [
    {
      name: 'upstreams.client_envelope',
      async list(after, limit) {
        const rows = await sealedUpstreams(records, after === undefined ? 0 : Number(after), limit);
        return rows.flatMap((row): SealedCell[] => {
          const { client_envelope: envelope } = row;
          if (envelope === null) return [];
          const update = (renewed: Uint8Array) => replaceSealedUpstream(records, row, renewed);
          return [{ cursor: String(row.row), label: credentialLabel(row), envelope, update }];
        });
      },
    },
  ];
}
