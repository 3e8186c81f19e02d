import { Fault } from '#kernel';
import type { Pattern } from './vocabulary.ts';

/**
 * One segment of a compiled pattern. `any` is `*`: one segment that is not empty. `ending` is `*` with a literal
 * after it (`*.json`, `*:batchUpdate`): one segment that is longer than its ending.
 */
type SegmentRule =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'ending'; readonly text: string };

/** A pattern, parsed once. Opaque to its users. */
export interface CompiledPattern {
  /** Empty: any method. */
  readonly methods: readonly string[];
  readonly segments: readonly SegmentRule[];
  /** The pattern ended in `**`. */
  readonly rest: boolean;
}

/**
 * Parses a pattern: literal segments, `*` for one segment (also before a literal ending), a last `**` for the rest,
 * also none. @throws {Fault} `invalid_request` for a `*` anywhere else.
 */
export function compilePattern(pattern: Pattern): CompiledPattern {
  if (!pattern.path.startsWith('/')) throw malformed('a path pattern starts with a slash');
  const texts = pattern.path.slice(1).split('/');
  const rest = texts.at(-1) === '**';
  if (rest) texts.pop();
  return Object.freeze({ methods: [...pattern.methods], segments: texts.map(segmentRule), rest });
}

/**
 * Whether a request falls under the pattern. `path` is the raw target without query: nothing is decoded, so an encoded
 * character is only ever itself, and segments are compared whole.
 */
export function matchPattern(pattern: CompiledPattern, method: string, path: string): boolean {
  if (pattern.methods.length > 0 && !pattern.methods.includes(method)) return false;
  return matchSegments(pattern, path);
}

/**
 * Whether a request might be read by some upstream as falling under the pattern: letter case, percent-encoding, empty
 * segments, `;parameters` and a trailing slash make no difference. For rules that forbid; never for rules that allow.
 */
export function couldMatchPattern(pattern: CompiledPattern, method: string, path: string): boolean {
  if (pattern.methods.length > 0 && !pattern.methods.includes(method.toUpperCase())) return false;
  if (matchSegments(pattern, path)) return true;
  return matchSegments(loosened(pattern), loosePath(path));
}

function segmentRule(text: string): SegmentRule {
  if (text === '*') return { kind: 'any' };
  const star = text.indexOf('*');
  if (star === -1) return { kind: 'literal', text };
  if (star === 0 && !text.includes('*', 1)) return { kind: 'ending', text: text.slice(1) };
  throw malformed('in a path pattern * stands for a whole segment or its beginning, and ** only at the end');
}

function malformed(detail: string): Fault {
  return new Fault('invalid_request', { detail });
}

/** Walks path and segments together, without making an array of the path. */
function matchSegments(pattern: CompiledPattern, path: string): boolean {
  if (path.charCodeAt(0) !== slash) return false;
  const { segments, rest } = pattern;
  if (segments.length === 0) return rest || path === '/';
  let start = 1;
  for (const rule of segments) {
    if (start > path.length) return false;
    const next = path.indexOf('/', start);
    const end = next === -1 ? path.length : next;
    if (!matchSegment(rule, path, start, end)) return false;
    start = end + 1;
  }
  return rest || start > path.length;
}

function matchSegment(rule: SegmentRule, path: string, start: number, end: number): boolean {
  if (rule.kind === 'any') return end > start;
  if (rule.kind === 'literal') return end - start === rule.text.length && path.startsWith(rule.text, start);
  return end - start > rule.text.length && path.startsWith(rule.text, end - rule.text.length);
}

const slash = 0x2f;
const loose = new WeakMap<CompiledPattern, CompiledPattern>();

function loosened(pattern: CompiledPattern): CompiledPattern {
  const known = loose.get(pattern);
  if (known !== undefined) return known;
  const segments = pattern.segments
    .filter((rule) => rule.kind !== 'literal' || rule.text !== '')
    .map((rule) => (rule.kind === 'any' ? rule : { kind: rule.kind, text: looseText(rule.text) }));
  const made = { methods: pattern.methods, segments, rest: pattern.rest };
  loose.set(pattern, made);
  return made;
}

/** The path as the most lenient upstream would read it. */
function loosePath(path: string): string {
  const kept: string[] = [];
  for (const segment of looseText(path).replaceAll('\\', '/').split('/')) {
    const bare = segment.split(';', 1)[0] ?? '';
    if (bare === '' || bare === '.') continue;
    if (bare === '..') kept.pop();
    else kept.push(bare);
  }
  return `/${kept.join('/')}`;
}

/** Percent-decoded until it no longer changes (bounded), in lower case. What does not decode stays as it is. */
function looseText(text: string): string {
  let current = text;
  for (let round = 0; round < 4 && current.includes('%'); round++) {
    const decoded = current.replace(/(?:%[0-9a-fA-F]{2})+/g, decodeRun);
    if (decoded === current) break;
    current = decoded;
  }
  return current.toLowerCase();
}

function decodeRun(run: string): string {
  return Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8');
}
