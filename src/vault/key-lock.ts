import { type FileHandle, open, stat, unlink } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { Fault } from '#kernel';

const patience = 5_000;
const life = 30_000;

/**
 * Does work on the master keys alone among processes, by a file that only one can make. One left behind by a process
 * that died is taken over after half a minute. @throws {Fault} `conflict`, `master_key_missing` where there is no folder
 */
export async function alone<T>(lock: string, work: () => Promise<T>): Promise<T> {
  const held = await take(lock);
  try {
    return await work();
  } finally {
    await held.close();
    await unlink(lock);
  }
}

async function take(lock: string): Promise<FileHandle> {
  const start = performance.now();
  for (;;) {
    try {
      return await open(lock, 'wx', 0o600);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw new Fault('master_key_missing');
      if (codeOf(error) !== 'EEXIST') throw new Fault('invalid_setting', { detail: 'The master keys cannot be changed', cause: error });
    }
    await dropStale(lock);
    if (performance.now() - start > patience) throw new Fault('conflict', { detail: 'Another process is changing the master keys' });
    await wait(20);
  }
}

async function dropStale(lock: string): Promise<void> {
  const facts = await stat(lock).catch(() => undefined);
  if (facts !== undefined && Date.now() - facts.mtimeMs > life) await unlink(lock).catch(() => undefined);
}

/** The code of an error of the system. */
export function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
