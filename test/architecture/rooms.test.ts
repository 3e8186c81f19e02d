import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';
import { root, sourceFiles } from '../../tools/source/files.ts';
import { importsOf } from '../../tools/source/syntax.ts';

const files = sourceFiles('src', true);
const table = readTable(readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8'));

/** Room → rooms it may import, as ARCHITECTURE.md says; `undefined` for bin, which may import all. */
function readTable(text: string): ReadonlyMap<string, readonly string[] | undefined> {
  const rows = [...text.matchAll(/^\| ([a-z]+) \| [^|]+ \| ([^|]+) \|$/gm)];
  return new Map(rows.map(([, room, cell]) => [room as string, room === 'bin' ? undefined : names(cell as string)]));
}

function names(cell: string): readonly string[] {
  return cell
    .split(',')
    .map((name) => name.trim())
    .filter((name) => /^[a-z]+$/.test(name));
}

const roomOf = (path: string): string => path.split('/')[1] as string;
const isTest = (path: string): boolean => path.endsWith('.test.ts') || path.includes('/testing/');

test('every folder of src is a room of the table, and every room of the table has code', () => {
  expect([...new Set(files.map((file) => roomOf(file.path)))].sort()).toEqual([...table.keys()].sort());
});

test('a room imports only the rooms that the table gives it', () => {
  const wrong = files
    .filter((file) => !isTest(file.path))
    .flatMap((file) => {
      const allowed = table.get(roomOf(file.path));
      if (allowed === undefined) return [];
      return importsOf(file)
        .filter((name) => name.startsWith('#'))
        .map((name) => name.slice(1))
        .filter((name) => name !== 'kernel' && name !== roomOf(file.path) && !allowed.includes(name))
        .map((name) => `${file.path} imports #${name}`);
    });
  expect(wrong).toEqual([]);
});

test('a room is imported only by its front door', () => {
  const wrong = files.flatMap((file) =>
    importsOf(file)
      .filter((name) => name.includes('#') && name.includes('/'))
      .map((name) => `${file.path} imports ${name}`),
  );
  expect(wrong).toEqual([]);
});

test('a relative import stays inside its room', () => {
  const wrong = files
    .filter((file) => !isTest(file.path) && roomOf(file.path) !== 'bin')
    .flatMap((file) =>
      importsOf(file)
        .filter((name) => name.startsWith('.'))
        .map((name) => normalize(join(dirname(file.path), name)))
        .filter((target) => !target.startsWith(`src/${roomOf(file.path)}/`))
        .map((target) => `${file.path} imports ${target}`),
    );
  expect(wrong).toEqual([]);
});

test('only *.sql.ts files outside the store import the query builder', () => {
  const wrong = files
    .filter((file) => !isTest(file.path) && roomOf(file.path) !== 'store' && !file.path.endsWith('.sql.ts'))
    .filter((file) => importsOf(file).some((name) => name === 'kysely' || name.startsWith('kysely/')))
    .map((file) => file.path);
  expect(wrong).toEqual([]);
});

test('no dialect word stands outside the store backends', () => {
  const dialect = /node:sqlite|better-sqlite3|\bPRAGMA\b/;
  const wrong = files
    .filter((file) => !isTest(file.path) && !file.path.startsWith('src/store/backends/') && dialect.test(file.text))
    .map((file) => file.path);
  expect(wrong).toEqual([]);
});

test('every front door carries the comment that says what the room owns', () => {
  const wrong = files
    .filter(
      (file) => /^src\/[a-z]+\/index\.ts$/.test(file.path) && !/^\/\*\*[\s\S]*Owns:[\s\S]*Leans on:[\s\S]*Lives elsewhere:/.test(file.text),
    )
    .map((file) => file.path);
  expect(wrong).toEqual([]);
});

test('only the settings table names environment variables of ours, and only bin reads process.env', () => {
  const wrong = files
    .filter((file) => !isTest(file.path) && roomOf(file.path) !== 'bin' && /process\.env\b/.test(file.text))
    .map((file) => file.path);
  expect(wrong).toEqual([]);
});
