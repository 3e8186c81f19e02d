import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { testAsRoot } from '../../../test/support/need.ts';
import { temporaryFolder } from '../../../test/support/store.ts';
import { doStep } from './steps.ts';

const modeOf = (path: string) => statSync(path).mode & 0o7777;

test('the program is exchanged whole: files of the old version go, links and nested packages are left out', () => {
  const [from, path] = [temporaryFolder(), join(temporaryFolder(), 'lib', 'gatehouse')];
  mkdirSync(join(from, 'src', 'node_modules'), { recursive: true });
  for (const name of ['src/first.js', 'src/tool', 'src/node_modules/x']) writeFileSync(join(from, name), name);
  chmodSync(join(from, 'src', 'tool'), 0o700);
  chmodSync(join(from, 'src', 'first.js'), 0o666);
  symlinkSync('/etc/passwd', join(from, 'src', 'link'));
  const step = { kind: 'program', path, parts: [{ from: join(from, 'src'), to: 'src' }], runtime: join(from, 'src', 'tool') } as const;
  doStep(step);
  writeFileSync(join(path, 'src', 'of-the-old-version'), '');
  doStep(step);
  expect(readdirSync(join(path, 'src')).sort()).toEqual(['first.js', 'tool']);
  expect(readdirSync(join(path, '..'))).toEqual(['gatehouse']);
  expect(['', 'node', 'src/tool', 'src/first.js'].map((name) => modeOf(join(path, name)))).toEqual([0o755, 0o755, 0o755, 0o644]);
});

testAsRoot()('a folder gets its mode also where it was there, and a link in its place is refused', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'data');
  mkdirSync(path, { mode: 0o755 });
  doStep({ kind: 'folder', path, mode: 0o700, owner: 'root' });
  expect(modeOf(path)).toBe(0o700);
  symlinkSync('/etc', join(folder, 'link'));
  expect(() => doStep({ kind: 'folder', path: join(folder, 'link'), mode: 0o700, owner: 'root' })).toThrow();
});

testAsRoot()('a file that is kept stays as it is; another is replaced, and a link in its place is not followed', () => {
  const folder = temporaryFolder();
  const step = { kind: 'file', path: join(folder, 'file'), mode: 0o600, owner: 'root' } as const;
  for (const [text, keep] of [
    ['first', true],
    ['second', true],
  ] as const)
    doStep({ ...step, text, keep });
  expect([readFileSync(step.path, 'utf8'), modeOf(step.path)]).toEqual(['first', 0o600]);
  const other = join(folder, 'other');
  writeFileSync(other, 'other');
  doStep({ kind: 'remove', path: step.path });
  for (const path of [step.path, `${step.path}.new`]) symlinkSync(other, path);
  doStep({ ...step, text: 'third', keep: false });
  expect([readFileSync(step.path, 'utf8'), readFileSync(other, 'utf8')]).toEqual(['third', 'other']);
});

test('a command that fails says what it said; a step that removes may be repeated', () => {
  expect(() => doStep({ kind: 'command', command: ['sh', '-c', 'echo no such unit >&2; exit 5'] })).toThrow('no such unit');
  expect(() => doStep({ kind: 'command', command: ['no-such-program'] })).toThrow('no-such-program');
  const path = join(temporaryFolder(), 'gone');
  for (const _ of [1, 2]) doStep({ kind: 'remove', path });
  expect(existsSync(path)).toBe(false);
});
