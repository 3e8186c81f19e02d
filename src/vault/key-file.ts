import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, type FileHandle, link, mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { type Clock, Fault, Secret, systemClock } from '#kernel';
import { generateMasterKey, type MasterKey, parseMasterKey } from './master-key.ts';

const fileSchema = z.strictObject({
  version: z.literal(1),
  keys: z
    .array(z.strictObject({ id: z.string(), key: z.string(), created_at: z.int().nonnegative() }))
    .min(1)
    .max(64),
});
type KeyFile = z.infer<typeof fileSchema>;

const largest = 64 * 1024;
const ownerOnly = 0o600;

/**
 * Reads a key file: `{version, keys: [{id, key, created_at}]}`, oldest first, or the plain text of one key.
 * Undefined when there is none. @throws {Fault} `master_key_malformed`, or `invalid_setting` when others can read it
 */
export async function readKeyFile(path: string, production: boolean): Promise<readonly MasterKey[] | undefined> {
  const text = await readPrivate(path);
  return text === undefined ? undefined : parseKeyFile(text, production);
}

/**
 * Makes a key file with one new key, unless there is one already: of any number of processes that start at once,
 * one makes it and all read the same. The folder is made too (0700).
 */
export async function makeKeyFile(path: string, clock: Clock): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = await writeTemporary(path, print([freshKey(clock)]));
  try {
    await placeOnce(temporary, path);
  } finally {
    await unlink(temporary);
  }
  await syncFolder(path);
}

/**
 * Adds a new master key at the end of the file, atomically; the old ones stay. Two at once add two.
 * Answers with the id of the new key. @throws {Fault} `master_key_missing`, `master_key_malformed`, `conflict`
 */
export async function addMasterKey(path: string, clock: Clock = systemClock): Promise<string> {
  const lock = await lockFile(path);
  try {
    const text = await readPrivate(path);
    if (text === undefined) throw new Fault('master_key_missing');
    const old = parseKeyFile(text, false);
    const made = freshKey(clock, Math.max(...old.map((key) => key.createdAt)));
    const temporary = await writeTemporary(path, print([...old.map(printable), made]));
    await rename(temporary, path);
    await syncFolder(path);
    return made.id;
  } finally {
    await lock.close();
    await unlink(`${path}.lock`);
  }
}

function parseKeyFile(text: Secret<string>, production: boolean): readonly MasterKey[] {
  const plain = text.reveal().trim();
  if (!plain.startsWith('{')) return [parseMasterKey(text, production)];
  return parseEntries(plain).map((entry) => {
    const key = parseMasterKey(new Secret(entry.key), production, entry.created_at);
    if (key.id !== entry.id) throw damaged('A key in the key file does not go with its id');
    return key;
  });
}

function parseEntries(text: string): KeyFile['keys'] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message quotes its input, which is the key.
    throw damaged('The key file is not JSON');
  }
  const file = fileSchema.safeParse(value);
  if (!file.success) throw damaged('The key file is not of the form {version, keys: [{id, key, created_at}]}');
  if (new Set(file.data.keys.map((key) => key.id)).size < file.data.keys.length) throw damaged('The key file holds a key twice');
  return file.data.keys;
}

function damaged(detail: string): Fault {
  return new Fault('master_key_malformed', { detail });
}

function freshKey(clock: Clock, after = 0): KeyFile['keys'][number] {
  const key = generateMasterKey();
  const createdAt = Math.max(clock.now(), after + 1);
  return { id: parseMasterKey(new Secret(key), false).id, key, created_at: createdAt };
}

function printable(master: MasterKey): KeyFile['keys'][number] {
  return { id: master.id, key: master.key.export().toString('hex'), created_at: master.createdAt };
}

function print(keys: KeyFile['keys']): string {
  return `${JSON.stringify({ version: 1, keys } satisfies KeyFile, null, 2)}\n`;
}

/** Reads a file that only its owner (we, or root) may read; judged on the opened file, so that it cannot be exchanged between. */
async function readPrivate(path: string): Promise<Secret<string> | undefined> {
  const file = await openIfPresent(path);
  if (file === undefined) return undefined;
  try {
    const facts = await file.stat();
    if (!facts.isFile()) throw new Fault('invalid_setting', { detail: 'The key file is not a file' });
    if (facts.size > largest) throw damaged('The key file is too large');
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

const lockPatience = 5_000;
const lockLife = 30_000;

/** One writer at a time. A lock left behind by a process that died is taken over after half a minute. */
async function lockFile(path: string): Promise<FileHandle> {
  const lock = `${path}.lock`;
  const start = performance.now();
  for (;;) {
    try {
      return await open(lock, 'wx', ownerOnly);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw new Fault('master_key_missing');
      if (codeOf(error) !== 'EEXIST') throw new Fault('invalid_setting', { detail: 'The key file cannot be changed', cause: error });
    }
    await dropStaleLock(lock);
    if (performance.now() - start > lockPatience) throw new Fault('conflict', { detail: 'Another process is changing the key file' });
    await wait(20);
  }
}

async function dropStaleLock(lock: string): Promise<void> {
  const facts = await stat(lock).catch(() => undefined);
  if (facts !== undefined && Date.now() - facts.mtimeMs > lockLife) await unlink(lock).catch(() => undefined);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
