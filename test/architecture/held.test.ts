import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root, type SourceFile, sourceFiles } from '../../tools/source/files.ts';
import { childrenOf, isFunction, type Node, parse, walk } from '../../tools/source/syntax.ts';

const files = sourceFiles('src').filter(({ path }) => !path.includes('/testing/') && !path.endsWith('.test.ts'));
const listed = sectionOf(readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8'));

/** What the page says under "State and its lifetimes". */
function sectionOf(text: string): string {
  return text.slice(text.indexOf('## State and its lifetimes'), text.indexOf('## How to add'));
}

const collections: ReadonlySet<unknown> = new Set(['Map', 'Set', 'WeakMap', 'WeakSet']);
const changing: ReadonlySet<unknown> = new Set(['set', 'add']);
const timers: ReadonlySet<unknown> = new Set(['setInterval', 'setTimeout']);
const temporary: ReadonlySet<unknown> = new Set(['mkdtemp', 'mkdtempSync']);

const nameOf = (node: unknown): unknown => (node as Node | null | undefined)?.name;

/** A function, or the module, with what is declared right in it. */
interface Level {
  readonly outer: Level | undefined;
  /** Collections that are declared here, by name. */
  readonly held: Set<unknown>;
}

/** Collections that outlive the call that fills them: of the module, of an instance, or of a function around the one that adds to them. */
function outliving(file: SourceFile): readonly string[] {
  const found: string[] = [];
  const visit = (node: Node, level: Level): void => {
    const inner = isFunction(node) ? { outer: level, held: new Set<unknown>() } : level;
    if (node.type === 'VariableDeclarator' && isCollection(node.init)) inner.held.add(nameOf(node.id));
    if (node.type === 'PropertyDefinition' && isCollection(node.value)) found.push(String(nameOf(node.key)));
    const filled = filledBy(node);
    if (filled !== undefined && !inner.held.has(filled) && holds(inner, filled)) found.push(String(filled));
    if (filled !== undefined && inner.outer === undefined && inner.held.has(filled)) found.push(String(filled));
    for (const child of childrenOf(node)) visit(child, inner);
  };
  visit(parse(file), { outer: undefined, held: new Set() });
  return [...new Set(found)];
}

/** `new Map()`, also behind `??` and in a conditional. */
function isCollection(node: unknown): boolean {
  const { type, callee } = (node ?? {}) as Node;
  return type === 'NewExpression' && collections.has(nameOf(callee));
}

/** The name of what a call adds to. */
function filledBy(node: Node): unknown {
  const callee = node.callee as Node | undefined;
  if (node.type !== 'CallExpression' || callee?.type !== 'MemberExpression' || !changing.has(nameOf(callee.property))) return undefined;
  return nameOf(callee.object);
}

function holds(level: Level, name: unknown): boolean {
  return level.held.has(name) || (level.outer !== undefined && holds(level.outer, name));
}

/** Timers that call back, and folders made for a while; not a pause that somebody awaits. */
function callsOf(file: SourceFile, names: ReadonlySet<unknown>): boolean {
  const promised = /import \{[^}]*\b(setTimeout|setInterval)\b[^}]*\} from 'node:timers\/promises'/.exec(file.text);
  for (const [node] of walk(parse(file)))
    if (
      node.type === 'CallExpression' &&
      names.has(nameOf(node.callee)) &&
      !isPause(node) &&
      (promised === null || promised[0].includes(' as '))
    )
      return true;
  return false;
}

function isPause(call: Node): boolean {
  const [first] = call.arguments as readonly Node[];
  return first?.type === 'Identifier' && /^resolve$/.test(String(nameOf(first)));
}

/** Their collections end with the call that made them, though a function inside it fills them. */
const ofOneCall: ReadonlySet<string> = new Set([
  'src/connect/checks.ts',
  'src/http/mount.ts',
  'src/store/backends/redis/sealed.ts',
  'src/store/archive/lines.ts',
]);

const isListed = (path: string) => listed.includes(`\`${path}\``);

/** Commands end with what they hold: the page is about processes that stay. */
const stays = ({ path }: SourceFile) => !/^src\/cli\/(?!run\/)/.test(path);

describe('what a process keeps is on the page, with its bound', () => {
  test('every map and set that outlives the call that fills it', () => {
    const missing = files.filter(stays).filter(({ path }) => !isListed(path) && !ofOneCall.has(path));
    expect(missing.map((file) => ({ path: file.path, holds: outliving(file) })).filter(({ holds }) => holds.length > 0)).toEqual([]);
  });

  test('every timer', () => {
    expect(
      files
        .filter(stays)
        .filter((file) => callsOf(file, timers) && !isListed(file.path))
        .map(({ path }) => path),
    ).toEqual([]);
  });

  test('every folder made for a while', () => {
    expect(files.filter((file) => callsOf(file, temporary) && !isListed(file.path)).map(({ path }) => path)).toEqual([]);
  });

  const made = (text: string): SourceFile => ({ path: 'src/x/made.ts', text }) as SourceFile;
  test.each([
    ['of the module', 'const kept = new Map(); export function keep(a) { kept.set(a, 1); }', ['kept']],
    ['of a factory', 'export function create() { const kept = new Set(); return { add: (a) => kept.add(a) }; }', ['kept']],
    ['of an instance', 'class Kept { #kept = new Map(); }', ['kept']],
    ['filled as the module loads', 'const kept = new Map(); kept.set(1, 2);', ['kept']],
    ['a table', "const words = new Set(['a']); export const has = (a) => words.has(a);", []],
    ['of one call', 'export function once(all) { const seen = new Set(); for (const one of all) seen.add(one); return seen; }', []],
  ])('it finds one %s', (_, text, expected) => {
    expect(outliving(made(text))).toEqual(expected);
  });

  test('it finds timers and folders, and no pause that is awaited', () => {
    expect(callsOf(made('setTimeout(() => {}, 5);'), timers)).toBe(true);
    expect(callsOf(made("import { setTimeout } from 'node:timers/promises'; await setTimeout(5);"), timers)).toBe(false);
    expect(callsOf(made("mkdtempSync('x');"), temporary)).toBe(true);
  });
});
