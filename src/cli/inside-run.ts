import { readdirSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '#config';
import { Fault } from '#kernel';
import { ensurePrivateFolder, writePrivateFile } from './private-folder.ts';

/**
 * Refuses a command that administers when it is typed by a program under `run`. The mark in the environment can be
 * unset by the program, so its ancestors are looked at too: for the same mark, and for programs that runs registered.
 * @throws {Fault} `inside_run`
 */
export function refuseInsideRun(env: Environment, stateFolder: string): void {
  if (isInsideRun(env, stateFolder)) throw new Fault('inside_run');
}

export function isInsideRun(env: Environment, stateFolder: string): boolean {
  if ((env.GATEHOUSE_RUN ?? '') !== '') return true;
  const registered = registeredPrograms(stateFolder);
  return ancestors().some((pid) => registered.has(`${pid}:${startOf(pid)}`) || isMarked(pid));
}

const folderName = 'programs';

/** Writes down that this process is the program of a run; returns how to strike it out. */
export async function registerProgram(stateFolder: string, pid: number): Promise<() => void> {
  const folder = join(stateFolder, folderName);
  ensurePrivateFolder(stateFolder);
  const path = join(folder, `${pid}:${startOf(pid)}`);
  await writePrivateFile(path, '');
  return () => {
    try {
      unlinkSync(path);
    } catch {
      // Somebody cleared the folder: nothing is left to strike out.
    }
  };
}

function registeredPrograms(stateFolder: string): ReadonlySet<string> {
  try {
    return new Set(readdirSync(join(stateFolder, folderName)));
  } catch {
    return new Set();
  }
}

function isMarked(pid: number): boolean {
  return /(^|\0)GATEHOUSE_RUN=[^\0]/.test(textOf(`/proc/${pid}/environ`));
}

/** This process's parent, its parent, and so on (Linux). */
function ancestors(): readonly number[] {
  const pids: number[] = [];
  for (let pid = process.ppid; pid > 1 && pids.length < 64; pid = Number(statOf(pid)[1] ?? 0)) pids.push(pid);
  return pids;
}

/** When the process started, in ticks since boot: with the number, its name for good. */
export function startOf(pid: number): string {
  return statOf(pid)[19] ?? '';
}

/** Fields of `/proc/<pid>/stat` after the name, which may hold anything (proc(5)): state, parent, … */
function statOf(pid: number): readonly string[] {
  const text = textOf(`/proc/${pid}/stat`);
  return text
    .slice(text.lastIndexOf(')') + 1)
    .trim()
    .split(' ');
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
