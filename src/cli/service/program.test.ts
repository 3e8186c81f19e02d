import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/store.ts';
import { programOf } from './program.ts';

/** Packages with what they need, in a folder of their own. */
function layOut(packages: Readonly<Record<string, readonly string[]>>): string {
  const folder = realpathSync(temporaryFolder());
  for (const [path, needs] of Object.entries(packages)) {
    const dependencies = Object.fromEntries(needs.map((name) => [name, '1.0.0']));
    put(join(folder, path, 'package.json'), JSON.stringify({ dependencies, devDependencies: { unwanted: '1.0.0' } }));
  }
  return folder;
}

function put(path: string, text = ''): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

const placed = (root: string, entry: string) => {
  const { parts, ...rest } = programOf([process.execPath, '--disable-sigusr1', put(join(root, entry))]);
  return { ...rest, parts: parts.map(({ to }) => to) };
};

test('an installation of its own is taken with what it needs, and what that needs, and nothing else', () => {
  const root = layOut({
    '.': ['direct', 'left-out-here'],
    'node_modules/direct': ['shared', 'nested'],
    'node_modules/direct/node_modules/nested': [],
    'node_modules/shared': [],
    'node_modules/unwanted': [],
  });
  put(join(root, 'notes.txt'));
  expect(placed(root, 'src/bin/gatehouse.ts')).toEqual({
    runtime: realpathSync(process.execPath),
    flags: ['--disable-sigusr1'],
    entry: 'src/bin/gatehouse.ts',
    parts: ['src', 'package.json', 'node_modules/direct', 'node_modules/direct/node_modules/nested', 'node_modules/shared'],
  });
});

test('one whose packages lie beside it keeps them beside it', () => {
  const base = layOut({ 'node_modules/gatehouse': ['direct'], 'node_modules/direct': [] });
  expect(placed(join(base, 'node_modules', 'gatehouse'), 'dist/bin/gatehouse.js')).toMatchObject({
    entry: 'node_modules/gatehouse/dist/bin/gatehouse.js',
    parts: ['node_modules/gatehouse/dist', 'node_modules/gatehouse/package.json', 'node_modules/direct'],
  });
});

test('one whose packages are linked from elsewhere is refused, with what to do', () => {
  const root = layOut({ '.': ['direct'], 'elsewhere/direct': [] });
  mkdirSync(join(root, 'node_modules'));
  symlinkSync(join(root, 'elsewhere', 'direct'), join(root, 'node_modules', 'direct'));
  expect(() => placed(root, 'dist/bin/gatehouse.js')).toThrow('linked from elsewhere');
});
