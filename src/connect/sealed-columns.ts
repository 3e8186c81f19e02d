import type { Records } from '#store';
import type { SealedCell, SealedColumn } from '#vault';
import { replaceSealedClient, sealedClients } from './clients.sql.ts';
import { pendingEnvelopes, replacePending } from './connections.sql.ts';
import { replaceSealedFlow, sealedFlows } from './flows.sql.ts';
import { clientLabel, flowLabel, pendingLabel } from './labels.ts';

/** The sealed columns of this room, for key rotation. */
export function connectSealedColumns({ records }: { readonly records: Records }): readonly SealedColumn[] {
  return [
    column('connections.pending_envelope', async (after, limit) =>
      (await pendingEnvelopes(records, after, limit)).flatMap((row) =>
        cell(row.row, pendingLabel(row, row.sealed_version), row.pending_envelope, (envelope) => replacePending(records, row, envelope)),
      ),
    ),
    column('flows.sealed_envelope', async (after, limit) =>
      (await sealedFlows(records, after, limit)).flatMap((row) =>
        cell(row.row, flowLabel(row), row.sealed_envelope, (envelope) => replaceSealedFlow(records, row, envelope)),
      ),
    ),
    column('provider_clients.secret_envelope', async (after, limit) =>
      (await sealedClients(records, after, limit)).flatMap((row) =>
        cell(row.row, clientLabel(row), row.secret_envelope, (envelope) => replaceSealedClient(records, row, envelope)),
      ),
    ),
  ];
}

function column(name: SealedColumn['name'], list: (after: number, limit: number) => Promise<readonly SealedCell[]>): SealedColumn {
  return { name, list: (after, limit) => list(after === undefined ? 0 : Number(after), limit) };
}

function cell(row: number, label: SealedCell['label'], envelope: Uint8Array | null, update: SealedCell['update']): readonly SealedCell[] {
  return envelope === null ? [] : [{ cursor: String(row), label, envelope, update }];
}
