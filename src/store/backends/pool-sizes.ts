/** How the connections of one process are shared out. */
export interface PoolSizes {
  readonly reading: number;
  /** Writes run one at a time. */
  readonly writing: number;
  /** The schema has a connection of its own, which may take long. */
  readonly schema: number;
  readonly ephemera: number;
}

/** What one process may open of what a service may open as a whole: never fewer than it has uses for. */
export function partOf(connections: number, processes = 1): number {
  return Math.max(6, Math.floor(connections / processes));
}

/** Shares out `total`, at least 6, of which `kept` are spoken for. What lives briefly needs none where it is kept elsewhere. */
export function poolSizes(total: number, { kept, ephemera }: { readonly kept: number; readonly ephemera: boolean }): PoolSizes {
  const free = total - kept - 2;
  const brief = ephemera ? Math.max(free > 3 ? 2 : 1, Math.floor(free * 0.4)) : 0;
  return { reading: free - brief, writing: 1, schema: 1, ephemera: brief };
}

/** Before the server would close a connection for being idle, we do: one that it closes could be just in use. */
export function idleWithin(wanted: number, limit: number): number {
  return limit > 0 ? Math.max(1_000, Math.min(wanted, limit / 2)) : wanted;
}
