import type { OrganizationId, VaultId } from '#kernel';
import { cacheByGeneration, pageLimit, pageOf, rowOfCursor } from '#store';
import { type ConnectionRow, searchConnections, visibleConnections } from './connections.sql.ts';
import type { Connection, ConnectionQuery } from './contract.ts';
import type { ConnectDeps } from './deps.ts';
import type { Providers } from './providers.ts';
import { seen } from './standing.ts';

type Deps = ConnectDeps & { readonly providers: Providers };

/** Connections as they are listed and chosen from. */
export function createListing(deps: Deps) {
  const cache = cacheByGeneration<readonly ConnectionRow[]>(deps.changes, 'connections', 20_000);

  return Object.freeze({
    /**
     * Those of a provider that these vaults show, or that are shared: own before shared, the default first, then by name.
     * The order is the same in every process. No I/O when warm.
     */
    async candidates(organization: OrganizationId, vaults: readonly VaultId[], provider: string): Promise<readonly Connection[]> {
      const key = `${organization} ${provider} ${vaults.join(' ')}`;
      const load = async () => {
        const rows = await deps.records.in(organization).read((tx) => visibleConnections(tx, organization, vaults, provider));
        return rows.map((row) => asSeenFrom(vaults, row)).sort(preference(vaults));
      };
      const rows = (await cache.get(key, load)) ?? [];
      const definition = (await deps.providers.of(organization)).byId.get(provider);
      return rows.map((row) => seen(row, definition));
    },

    async search(organization: OrganizationId, vaults: readonly VaultId[], query: ConnectionQuery) {
      const limit = pageLimit(query.limit);
      const rows = await deps.records.in(organization).read((tx) =>
        searchConnections(tx, organization, {
          vaults,
          provider: query.provider,
          status: query.status,
          text: query.text?.trim() || undefined,
          after: query.cursor === undefined ? undefined : rowOfCursor(query.cursor),
          limit: limit + 1,
        }),
      );
      const { byId } = await deps.providers.of(organization);
      return pageOf(rows, limit, (row) => seen(row, byId.get(row.provider_id)));
    },

    close: cache.close,
  });
}

/** The default of somebody else's vault is not the default of whom it is shared with. */
function asSeenFrom(vaults: readonly VaultId[], row: ConnectionRow): ConnectionRow {
  return vaults.includes(row.vault_id) ? row : { ...row, is_default: 0 };
}

/** Own before shared by others; then the default, the order of the vaults, the name. */
function preference(vaults: readonly VaultId[]): (a: ConnectionRow, b: ConnectionRow) => number {
  const rank = (row: ConnectionRow) => {
    const at = vaults.indexOf(row.vault_id);
    return at === -1 ? vaults.length : at;
  };
  const foreign = (row: ConnectionRow) => (rank(row) === vaults.length ? 1 : 0);
  return (a, b) =>
    foreign(a) - foreign(b) || b.is_default - a.is_default || rank(a) - rank(b) || compare(a.name, b.name) || compare(a.id, b.id);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
