/** Rows by the segments of their pattern, so that a path is compared with the few that could match it. */
export interface SegmentTree<R> {
  /** Every row whose pattern could match the path (more may be among them). Letter case and slashes at the end do not matter. */
  candidates(path: string): readonly R[];
}

interface Node<R> {
  readonly literals: Map<string, Node<R>>;
  readonly endings: Map<string, Node<R>>;
  any: Node<R> | undefined;
  /** Patterns that end here. */
  readonly ends: R[];
  /** Patterns that go on with `**` from here. */
  readonly rests: R[];
}

function node<R>(): Node<R> {
  return { literals: new Map(), endings: new Map(), any: undefined, ends: [], rests: [] };
}

/** Builds the tree over rows with a pattern path: literals, `*`, `*ending`, a last `**`. */
export function segmentTree<R extends { readonly path: string }>(rows: readonly R[]): SegmentTree<R> {
  const root = node<R>();
  for (const row of rows) insert(root, row);
  return {
    candidates(path) {
      const found: R[] = [];
      collect(root, segmentsOf(path), 0, found);
      return found;
    },
  };
}

function segmentsOf(path: string): readonly string[] {
  return path
    .toLowerCase()
    .split('/')
    .filter((segment) => segment !== '');
}

function insert<R extends { readonly path: string }>(root: Node<R>, row: R): void {
  let at = root;
  for (const segment of segmentsOf(row.path)) {
    if (segment === '**') {
      at.rests.push(row);
      return;
    }
    at = childOf(at, segment);
  }
  at.ends.push(row);
}

function childOf<R>(at: Node<R>, segment: string): Node<R> {
  if (segment === '*') {
    at.any ??= node();
    return at.any;
  }
  const [map, key] = segment.startsWith('*') ? [at.endings, segment.slice(1)] : [at.literals, segment];
  const child = map.get(key) ?? node<R>();
  map.set(key, child);
  return child;
}

function collect<R>(at: Node<R>, segments: readonly string[], depth: number, found: R[]): void {
  found.push(...at.rests);
  const segment = segments[depth];
  if (segment === undefined) {
    found.push(...at.ends);
    return;
  }
  const literal = at.literals.get(segment);
  if (literal !== undefined) collect(literal, segments, depth + 1, found);
  if (at.any !== undefined) collect(at.any, segments, depth + 1, found);
  for (const [ending, child] of at.endings) if (segment.endsWith(ending)) collect(child, segments, depth + 1, found);
}
