import { parseAst } from 'vite';
import type { SourceFile } from './files.ts';

/** A node of the syntax tree (ESTree with TypeScript). */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

const parsed = new WeakMap<SourceFile, Node>();

/** The syntax tree of a file, parsed once. */
export function parse(file: SourceFile): Node {
  const known = parsed.get(file);
  if (known !== undefined) return known;
  const tree = parseAst(file.text, { lang: 'ts' }, file.path) as unknown as Node;
  parsed.set(file, tree);
  return tree;
}

/** The nodes directly below a node. */
export function childrenOf(node: Node): readonly Node[] {
  return Object.values(node).flatMap((value) => (Array.isArray(value) ? value : [value]).filter(isNode));
}

/** Every node, outermost first, with its parent. */
export function* walk(node: Node, parent?: Node): Generator<readonly [Node, Node | undefined]> {
  yield [node, parent];
  for (const child of childrenOf(node)) yield* walk(child, node);
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string' && 'start' in value;
}

const importing = new Set(['ImportDeclaration', 'ExportNamedDeclaration', 'ExportAllDeclaration', 'ImportExpression', 'TSImportType']);

export function isFunction(node: Node): boolean {
  return /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type);
}

/** What a file imports, `import type` and `import()` too. */
export function importsOf(file: SourceFile): readonly string[] {
  return [...walk(parse(file))].flatMap(([node]) => {
    if (!importing.has(node.type)) return [];
    const source = (node.source ?? node.argument) as Node | null | undefined;
    const value = source?.value ?? (source?.literal as Node | undefined)?.value;
    return typeof value === 'string' ? [value] : [];
  });
}

export interface FunctionLength {
  readonly path: string;
  readonly line: number;
  readonly name: string;
  readonly lines: number;
}

/** The length of every function of a file, in lines. A factory counts without the functions inside it. */
export function functionLengths(file: SourceFile): readonly FunctionLength[] {
  const lineOf = lineIndex(file.text);
  return [...walk(parse(file))].flatMap(([node, parent]) => {
    if (!isFunction(node)) return [];
    const inner = nested(node).reduce((sum, child) => sum + lineOf(child.end) - lineOf(child.start), 0);
    return [
      { path: file.path, line: lineOf(node.start), name: nameOf(node, parent), lines: lineOf(node.end) - lineOf(node.start) + 1 - inner },
    ];
  });
}

/** Functions directly inside a function. */
function nested(outer: Node): readonly Node[] {
  const found: Node[] = [];
  const visit = (node: Node): void => {
    for (const child of childrenOf(node)) {
      if (isFunction(child)) found.push(child);
      else visit(child);
    }
  };
  visit(outer);
  return found;
}

function nameOf(node: Node, parent: Node | undefined): string {
  const own = (node.id as Node | null | undefined)?.name;
  const given = (parent?.id as Node | undefined)?.name ?? (parent?.key as Node | undefined)?.name;
  return String(own ?? given ?? '(anonymous)');
}

function lineIndex(text: string): (offset: number) => number {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  };
}
