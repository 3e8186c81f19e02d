import { type CompiledPattern, compilePattern, couldMatchPattern, matchPattern } from '#api';
import type { MatchedOperation } from './contract.ts';
import type { HostEntry, Operation, Provider } from './provider.ts';
import { type SegmentTree, segmentTree } from './segment-tree.ts';

interface Row {
  readonly operation: MatchedOperation;
  readonly path: string;
  readonly pattern: CompiledPattern;
  readonly mints: boolean;
  /** The more literal, the more specific. */
  readonly weight: number;
}

interface Compiled {
  readonly rows: readonly Row[];
  readonly tree: SegmentTree<Row>;
}

const compiled = new WeakMap<Provider, Map<HostEntry, Compiled>>();

/**
 * The operation this call is: the most specific pattern wins. What could be read as a `mint-credential` operation by a
 * lenient upstream is that operation, whatever else matches (SECURITY 9). A `plain` path has one reading and nothing encoded.
 */
export function operationOf(
  provider: Provider,
  entry: HostEntry,
  method: string,
  path: string,
  plain: boolean,
): MatchedOperation | undefined {
  const { rows, tree } = compiledFor(provider, entry);
  let best: Row | undefined;
  for (const row of plain ? tree.candidates(path) : rows) {
    if (row.mints ? !couldMatchPattern(row.pattern, method, path) : !matchPattern(row.pattern, method, path)) continue;
    if (best === undefined || (row.mints && !best.mints) || (row.mints === best.mints && row.weight > best.weight)) best = row;
  }
  return best?.operation;
}

function compiledFor(provider: Provider, entry: HostEntry): Compiled {
  const byEntry = compiled.get(provider) ?? new Map<HostEntry, Compiled>();
  compiled.set(provider, byEntry);
  const known = byEntry.get(entry);
  if (known !== undefined) return known;
  const rows = compileRows(provider, entry);
  const made = { rows, tree: segmentTree(rows) };
  byEntry.set(entry, made);
  return made;
}

function compileRows(provider: Provider, entry: HostEntry): readonly Row[] {
  return provider.operations
    .filter((operation) => isFoundOn(operation, entry))
    .flatMap((operation) => operation.match.map((pattern) => rowOf(operation, pattern)));
}

function isFoundOn(operation: Operation, entry: HostEntry): boolean {
  return operation.hosts === undefined ? entry.inject === undefined : operation.hosts.includes(entry.host);
}

function rowOf(operation: Operation, pattern: Operation['match'][number]): Row {
  return {
    operation: Object.freeze({ id: operation.id, classes: operation.classes }),
    path: pattern.path,
    pattern: compilePattern(pattern),
    mints: operation.classes.includes('mint-credential'),
    weight: weightOf(pattern),
  };
}

/**
 * A literal segment outweighs any number of stars to its right, the end of the path outweighs `**`, and a named method
 * breaks a tie. Twelve segments and the end are counted.
 */
function weightOf(pattern: Operation['match'][number]): number {
  const segments = pattern.path.slice(1).split('/');
  const digits = segments.map((segment) => (segment === '**' ? 0 : segment === '*' ? 1 : segment.startsWith('*') ? 2 : 3));
  if (segments.at(-1) !== '**') digits.push(3);
  let weight = 0;
  for (let at = 0; at < 13; at++) weight = weight * 4 + (digits[at] ?? 0);
  return weight * 2 + (pattern.methods.length > 0 ? 1 : 0);
}
