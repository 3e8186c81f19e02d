import type { OrganizationId, RunId } from '#kernel';
import type { Records } from '#store';
import type { Label, SealedCell, SealedColumn } from '#vault';
import { runQueries } from './runs.sql.ts';

export function authorityLabel(organization: OrganizationId): Label {
  return { owner: { kind: 'organization', organization }, key: `authorities/key/${organization}`, version: 1 };
}

export function placeholdersLabel(organization: OrganizationId, run: RunId): Label {
  return { owner: { kind: 'organization', organization }, key: `runs/placeholders/${run}`, version: 1 };
}

/** The sealed columns of this room, for a rotation that seals everything again. */
export function brokerSealedColumns(deps: { readonly records: Records }): readonly SealedColumn[] {
  const queries = runQueries(deps.records);
  return [
    {
      name: 'authorities.key_envelope',
      async list(after, limit) {
        const rows = await queries.authoritiesAfter(after ?? '', limit);
        return rows.map(
          (row): SealedCell => ({
            cursor: row.organization_id,
            label: authorityLabel(row.organization_id),
            envelope: row.key_envelope,
            update: (envelope) => queries.resealAuthority(row, envelope),
          }),
        );
      },
    },
    {
      name: 'runs.placeholders_envelope',
      async list(after, limit) {
        const rows = await queries.runsAfter(after ?? '', limit);
        return rows.map(
          (row): SealedCell => ({
            cursor: row.id,
            label: placeholdersLabel(row.organization_id, row.id),
            envelope: row.placeholders_envelope,
            update: (envelope) => queries.resealRun(row, envelope),
          }),
        );
      },
    },
  ];
}
