import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { authSchema, injectionSchema, providerSchema } from '#connect';
import { root } from '../../tools/source/files.ts';

const read = (path: string) => readFileSync(join(root, path), 'utf8');

describe('docs/providers.md', () => {
  const text = read('docs/providers.md');
  const [definition, way] = [...text.matchAll(/```json\n([\s\S]*?)```/g)].map((block): unknown => JSON.parse(block[1] ?? ''));

  test('shows definitions that are valid', () => {
    expect(providerSchema.safeParse(definition).error).toBeUndefined();
    expect(authSchema.safeParse(way).error).toBeUndefined();
  });

  test('names every member of a definition, every way to authenticate and every injector', () => {
    const ways = authSchema.options.flatMap((option) => Object.keys(option.shape));
    const kinds = injectionSchema.options.map((option) => option.shape.kind.value);
    const host = Object.keys(providerSchema.shape.hosts.element.shape);
    const operation = Object.keys(providerSchema.shape.operations.unwrap().element.shape);
    const named = (member: string) => text.includes(member.endsWith('_endpoint') ? member.replace('_endpoint', '') : member);
    expect([...Object.keys(providerSchema.shape), ...ways, ...kinds, ...host, ...operation].filter((member) => !named(member))).toEqual([]);
  });
});

test('links between documents lead somewhere', () => {
  const documents = globSync(['*.md', 'docs/**/*.md'], { cwd: root });
  const broken = documents.flatMap((path) =>
    [...read(path).matchAll(/\]\(([^)#]+)[^)]*\)/g)]
      .map((link) => link[1] ?? '')
      .filter((to) => !to.includes(':') && !existsSync(join(root, dirname(path), to)))
      .map((to) => `${path}: ${to}`),
  );
  expect(broken).toEqual([]);
});

test('files that ARCHITECTURE.md names are there', () => {
  const named = [...read('ARCHITECTURE.md').matchAll(/`((?:src|test|tools|docs|providers)\/[\w./-]+)`/g)].map((match) => match[1] ?? '');
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});
