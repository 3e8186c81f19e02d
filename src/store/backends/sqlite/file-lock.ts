import { closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fault } from '#kernel';

const tryEvery = 20;
const locked = 5;

/**
 * Does `work` alone among all who name the same file, in this process and in others. The lock is the kernel's: it goes with the
 * process that holds it, so that none is ever left behind, and none is taken from who is slow. The file is empty and stays, because
 * who removes a file removes it from under those who wait for it.
 * @param patience milliseconds @throws {Fault} `conflict` when that has passed; what the system says where there can be no such file
 */
export async function aloneByFile<T>(path: string, patience: number, work: () => Promise<T>): Promise<T> {
  const lock = await take(path, performance.now() + patience);
  try {
    return await work();
  } finally {
    lock.close();
  }
}

async function take(path: string, until: number): Promise<DatabaseSync> {
  for (;;) {
    const lock = tryToTake(path);
    if (lock !== undefined) return lock;
    if (performance.now() > until) throw new Fault('conflict');
    await sleep(tryEvery);
  }
}

function tryToTake(path: string): DatabaseSync | undefined {
  makeOnce(path);
  const lock = new DatabaseSync(path, { timeout: 0 });
  try {
    lock.exec('begin exclusive');
    return lock;
  } catch (error) {
    lock.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === locked) return undefined;
    throw error;
  }
}

/** For its owner alone. A file that is there is not opened: to close it would give up what this process has locked on it. */
function makeOnce(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}
