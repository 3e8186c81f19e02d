import { rmSync } from 'node:fs';
import { forgetWorkers, writeWorkers } from '#cli';
import { type Environment, foldersOf, type Settings } from '#config';
import { clearStaleSocket } from '#http';
import type { Log } from '#kernel';
import { homeOf, privateFolder } from './places.ts';
import { keepWorkers } from './workers.ts';

export interface ServiceContext {
  readonly settings: Settings;
  readonly env: Environment;
  readonly log: Log;
  /** Processes that serve. */
  readonly count: number;
  /** What each of them runs. */
  readonly program: string;
}

/** A service of several processes: this one serves nothing, and keeps those that do. @returns the exit code */
export async function keepService({ settings, env, log, count, program }: ServiceContext): Promise<number> {
  const folders = foldersOf(homeOf(settings), env);
  for (const folder of [folders.home, folders.state]) privateFolder(folder);
  // They listen there together, so none of them may take the place for a left-over.
  await clearStaleSocket(folders.serverSocket);
  rmSync(folders.proxySocket, { force: true });
  await writeWorkers(folders, { workers: count, restarts: 0 });
  const restarted = (restarts: number, problem: string | undefined) =>
    void writeWorkers(folders, { workers: count, restarts, ...(problem === undefined ? {} : { problem }) }).catch((cause: unknown) =>
      log.warn('how the restart ended could not be written', { cause }),
    );
  try {
    return await keepWorkers({
      count,
      program,
      parameters: process.argv.slice(2),
      deadline: settings.shutdownSeconds * 1000,
      log,
      restarted,
    });
  } finally {
    forgetWorkers(folders);
  }
}
