import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, type Stats } from 'node:fs';
import { link, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Fault } from '#kernel';

/** Makes a folder that only its owner can look into, or checks that it is one. @throws {Fault} `unsafe_folder` */
export function ensurePrivateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  checkPrivateFolder(path);
}

/** Somebody else's folder, or one that others may change, could hold anything (SECURITY 25). @throws {Fault} `unsafe_folder` */
export function checkPrivateFolder(path: string): void {
  const facts = factsOf(path);
  if (facts === undefined || process.getuid === undefined) return;
  if (!facts.isDirectory() || facts.uid !== process.getuid() || (facts.mode & 0o077) !== 0) {
    throw new Fault('unsafe_folder', { hint: `make it yours alone: chmod 700 ${path}` });
  }
}

/** Whether a socket is there and belongs to this user. @throws {Fault} `unsafe_folder` */
export function ownSocket(path: string): boolean {
  const facts = factsOf(path);
  if (facts === undefined) return false;
  if (!facts.isSocket() || (process.getuid !== undefined && facts.uid !== process.getuid())) {
    throw new Fault('unsafe_folder', { hint: `remove what is not yours: ${path}` });
  }
  return true;
}

function factsOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** Writes a 0600 file whole or not at all, in place of an older one. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  await rename(await draftOf(path, text), path);
}

/** Makes a 0600 file unless there is one; false when there was. Of two callers at once one makes it. */
export async function createPrivateFile(path: string, text: string): Promise<boolean> {
  const draft = await draftOf(path, text);
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(draft);
  }
}

async function draftOf(path: string, text: string): Promise<string> {
  ensurePrivateFolder(dirname(path));
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return draft;
}
