import { expect, test } from 'vitest';
import { type SourceFile, sourceFiles } from '../../tools/source/files.ts';
import { childrenOf, isFunction, type Node, parse } from '../../tools/source/syntax.ts';

const files = sourceFiles('src').filter((file) => !file.path.includes('/testing/'));

/** Calls of a method by this name, as `file: function`. */
function callsOf(method: string): readonly string[] {
  return files.flatMap((file) => callsIn(file, method));
}

function callsIn(file: SourceFile, method: string): readonly string[] {
  const within: string[] = [];
  const found: string[] = [];
  const visit = (node: Node, parent: Node | undefined): void => {
    const name = functionName(node, parent);
    if (name !== undefined) within.push(name);
    if (isCallOf(node, method)) found.push(`${file.path}: ${within.at(-1) ?? '(top)'}`);
    for (const child of childrenOf(node)) visit(child, node);
    if (name !== undefined) within.pop();
  };
  visit(parse(file), undefined);
  return found;
}

function functionName(node: Node, parent: Node | undefined): string | undefined {
  if (!isFunction(node)) return undefined;
  const name =
    (node.id as Node | null | undefined)?.name ?? (parent?.id as Node | undefined)?.name ?? (parent?.key as Node | undefined)?.name;
  return typeof name === 'string' ? name : undefined;
}

function isCallOf(node: Node, method: string): boolean {
  const callee = node.callee as Node | undefined;
  return node.type === 'CallExpression' && callee?.type === 'MemberExpression' && (callee.property as Node).name === method;
}

const listed = (calls: readonly string[]): string => `${[...new Set(calls)].sort().join('\n')}\n`;

test('every place where a secret leaves its wrapping is listed: a new one is a decision', async () => {
  await expect(listed(callsOf('reveal'))).toMatchFileSnapshot('reveal-sites.txt');
});

test('every place that reads or writes beyond one organization is listed: a new one is a decision', async () => {
  await expect(listed(callsOf('platform'))).toMatchFileSnapshot('platform-sites.txt');
});
