import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

const shape = /^gatehouse-(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z\.age$/;
const leftover = /^gatehouse-\d{8}T\d{6}Z\.age\.partial$/;
const day = 86_400_000;

/** The name of an archive of this time: names sort as the times do. */
export function archiveName(at: number): string {
  return `gatehouse-${new Date(at).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z.age`;
}

/** When an archive of this name was made; undefined for any other file. */
export function timeOfArchive(name: string): number | undefined {
  const match = shape.exec(name);
  if (match === null) return undefined;
  const [year = 0, month = 1, date = 1, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  return Date.UTC(year, month - 1, date, hour, minute, second);
}

/** The archives of a folder that are older than `keep` milliseconds; never the newest one. */
export async function outlived(folder: string, keep: number, now: number): Promise<readonly string[]> {
  const archives = (await readdir(folder)).filter((name) => timeOfArchive(name) !== undefined).sort();
  return archives.slice(0, -1).filter((name) => now - (timeOfArchive(name) ?? now) > keep);
}

/** Removes them, and what a killed backup left a day ago or earlier; which ones. */
export async function removeOutlived(folder: string, keep: number, now: number): Promise<readonly string[]> {
  const names = await outlived(folder, keep, now);
  for (const name of names) await rm(join(folder, name), { force: true });
  for (const name of (await readdir(folder)).filter((one) => leftover.test(one))) {
    const path = join(folder, name);
    const facts = await stat(path).catch(() => undefined);
    if (facts !== undefined && now - facts.mtimeMs > day) await rm(path, { force: true });
  }
  return names;
}
