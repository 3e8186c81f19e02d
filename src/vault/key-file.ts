import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, type FileHandle, link, mkdir, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Fault, Secret } from '#kernel';
import { codeOf } from './key-lock.ts';
import { changing, type KeyPlace } from './key-place.ts';
import { damagedKeys } from './key-text.ts';

const largest = 64 * 1024;
const ownerOnly = 0o600;

/**
 * A file (0600, its folder 0700) that only its owner may read. It is made once however many processes start at once, and
 * changed by another taking its name. @throws {Fault} `invalid_setting` when others can read it
 */
export function keyFile(path: string): KeyPlace {
  const read = () => readPrivate(path);
  return Object.freeze({
    read,
    async make(text: string) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const temporary = await writeTemporary(path, text);
      try {
        await placeOnce(temporary, path);
      } finally {
        await unlink(temporary);
      }
      await syncFolder(path);
    },
    change: changing({ read }, `${path}.lock`, async (text) => {
      await rename(await writeTemporary(path, text), path);
      await syncFolder(path);
    }),
  });
}

/** Reads a file that only its owner (we, or root) may read; judged on the opened file, so that it cannot be exchanged between. */
async function readPrivate(path: string): Promise<Secret<string> | undefined> {
  const file = await openIfPresent(path);
  if (file === undefined) return undefined;
  try {
    const facts = await file.stat();
    if (!facts.isFile()) throw new Fault('invalid_setting', { detail: 'The key file is not a file' });
    if (facts.size > largest) throw damagedKeys('The key file is too large');
    refuseShared(facts.mode, facts.uid);
    return new Secret((await file.readFile()).toString('utf8'));
  } finally {
    await file.close();
  }
}

function refuseShared(mode: number, owner: number): void {
  if (process.platform === 'win32') return;
  if ((mode & 0o077) !== 0) {
    throw new Fault('invalid_setting', { detail: 'The key file can be read or written by others', hint: 'chmod 600 the key file' });
  }
  const us = process.geteuid?.();
  if (owner !== us && owner !== 0) {
    throw new Fault('invalid_setting', {
      detail: 'The key file belongs to another user',
      hint: 'chown the key file to the user of the server',
    });
  }
}

async function openIfPresent(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new Fault('invalid_setting', { detail: 'The key file cannot be read', hint: 'check its owner and its mode', cause: error });
  }
}

async function writeTemporary(path: string, text: string): Promise<string> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}`);
  const file = await open(temporary, 'wx', ownerOnly);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return temporary;
}

/** Gives the finished file its name, if the name is free. */
async function placeOnce(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return;
    await copyOnce(temporary, path);
  }
}

/** For file systems without hard links. */
async function copyOnce(temporary: string, path: string): Promise<void> {
  try {
    await copyFile(temporary, path, constants.COPYFILE_EXCL);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw new Fault('invalid_setting', { detail: 'The key file cannot be made', cause: error });
  }
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
