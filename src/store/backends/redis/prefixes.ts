/** What stands before the keys of each use. */
export interface Prefixes {
  readonly ephemera: string;
  readonly sealed: string;
  /** The channel on which changes are announced. */
  readonly changes: string;
}

/** Sealed values have their literal keys unless a prefix is set. */
export function prefixesOf(prefix: string | undefined): Prefixes {
  return { ephemera: `${prefix ?? 'gatehouse:'}ephemera:`, sealed: prefix ?? '', changes: `${prefix ?? 'gatehouse:'}changes` };
}
