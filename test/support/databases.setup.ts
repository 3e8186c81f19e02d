/** Gives a run of the tests one folder for database servers, and ends those that were started in it. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    readonly databases: string;
  }
}

export default function setup(project: TestProject): () => Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-databases-'));
  // The servers run as users of their own, who must find their folders in it.
  chmodSync(folder, 0o711);
  project.provide('databases', folder);
  return async () => {
    const pids = readdirSync(folder).filter((name) => name.endsWith('.pid'));
    for (const name of pids) await end(Number(readFileSync(join(folder, name), 'utf8')));
    rmSync(folder, { recursive: true, force: true });
  };
}

async function end(pid: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      process.kill(pid, tries < 50 ? 'SIGINT' : 'SIGKILL');
    } catch {
      return;
    }
    await sleep(100);
  }
}
