import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Folders } from '#config';
import { startOf } from './inside-run.ts';
import { writePrivateFile } from './private-folder.ts';

const shape = z.object({ pid: z.int().positive(), start: z.string(), workers: z.int(), restarts: z.int(), problem: z.string().optional() });

/** A process that keeps the workers of a service, and how its last restart of them ended. */
export type WorkersFacts = z.infer<typeof shape>;

const fileIn = (folders: Folders) => join(folders.state, 'workers.json');

/** Says that this process keeps workers. */
export function writeWorkers(folders: Folders, facts: Pick<WorkersFacts, 'workers' | 'restarts' | 'problem'>): Promise<void> {
  const { pid } = process;
  return writePrivateFile(fileIn(folders), JSON.stringify({ pid, start: startOf(pid), ...facts } satisfies WorkersFacts));
}

/** Who keeps the workers of the local server; undefined when nobody does. */
export function readWorkers(folders: Folders): WorkersFacts | undefined {
  try {
    const facts = shape.parse(JSON.parse(readFileSync(fileIn(folders), 'utf8')));
    process.kill(facts.pid, 0);
    return startOf(facts.pid) === facts.start ? facts : undefined;
  } catch {
    return undefined;
  }
}

export function forgetWorkers(folders: Folders): void {
  rmSync(fileIn(folders), { force: true });
}
