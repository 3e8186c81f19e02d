import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../../test/support/store.ts';
import { archiveName, outlived, removeOutlived, timeOfArchive } from './folder.ts';

const now = Date.UTC(2026, 0, 31, 12);
const day = 86_400_000;

test('a name says when it was made, and names sort as times do', () => {
  expect(archiveName(now)).toBe('gatehouse-20260131T120000Z.age');
  expect(timeOfArchive(archiveName(now))).toBe(now);
  expect(archiveName(now - day) < archiveName(now)).toBe(true);
  for (const name of ['notes.txt', 'gatehouse-2026.age', `x${archiveName(now)}`, `${archiveName(now)}.partial`])
    expect(timeOfArchive(name)).toBeUndefined();
});

test('only archives that outlived their time are removed, and never the newest', async () => {
  const folder = temporaryFolder();
  const made = [9, 8, 7, 6].map((days) => archiveName(now - days * day));
  for (const name of [...made, 'notes.txt']) writeFileSync(join(folder, name), 'x');
  expect(await outlived(folder, 7 * day, now)).toEqual(made.slice(0, 2));
  expect(await removeOutlived(folder, 7 * day, now)).toEqual(made.slice(0, 2));
  expect(readdirSync(folder).sort()).toEqual([...made.slice(2), 'notes.txt']);
  expect(await removeOutlived(folder, 1, now)).toEqual([made[2]]);
  expect(await removeOutlived(folder, 1, now)).toEqual([]);
});

test('what a killed backup left is removed a day later', async () => {
  const folder = temporaryFolder();
  const [old, young] = [`${archiveName(now)}.partial`, `${archiveName(now + 1000)}.partial`].map((name) => join(folder, name)) as [
    string,
    string,
  ];
  for (const [path, at] of [
    [old, now - 2 * day],
    [young, now],
  ] as const) {
    writeFileSync(path, 'x');
    utimesSync(path, at / 1000, at / 1000);
  }
  await removeOutlived(folder, day, now);
  expect([existsSync(old), existsSync(young)]).toEqual([false, true]);
});
