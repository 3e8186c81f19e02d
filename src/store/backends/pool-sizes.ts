/** Connections of one process to a database server. */
export interface PoolSizes {
  readonly reading: number;
  readonly writing: number;
  readonly schema: number;
  readonly ephemera: number;
}

/**
 * Ten at most, of a service as a whole where its processes are few: each needs one of every kind. Writes of a process run one
 * at a time; the schema has a connection of its own, which may take long.
 */
export function poolSizes(processes = 1): PoolSizes {
  const part = (whole: number) => Math.max(1, Math.floor(whole / processes));
  return { reading: part(5), writing: 1, schema: 1, ephemera: part(3) };
}
