import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Folders } from '#config';
import { Fault, isFault } from '#kernel';
import type { BinCommands } from './contract.ts';
import { startOf } from './inside-run.ts';
import { ensurePrivateFolder, writePrivateFile } from './private-folder.ts';
import type { Server } from './server.ts';
import { transport } from './transport.ts';

/** Where the local server writes, and how it is known. */
export const logFile = (folders: Folders) => join(folders.home, 'gatehouse.log');
const pidFile = (folders: Folders) => join(folders.home, 'server.pid');

const pidShape = z.object({ pid: z.int().positive(), start: z.string() });
const health = z.object({ status: z.string(), version: z.string().optional() });

export interface ServerProcess {
  readonly pid: number;
  /** Resolves with what it ended with. */
  readonly exited: Promise<number | null>;
  stop(): Promise<void>;
}

export interface SpawnInput {
  readonly bin: BinCommands;
  readonly folders: Folders;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Lives on after this command. */
  readonly outlives: boolean;
  readonly parameters?: readonly string[];
}

/** Starts the server as a process of its own; what it says goes to its log. */
export function spawnServer({ bin, folders, env, outlives, parameters = [] }: SpawnInput): ServerProcess {
  ensurePrivateFolder(folders.home);
  setAsideLongLog(logFile(folders));
  const log = openSync(logFile(folders), 'a', 0o600);
  const [program, ...first] = bin.self;
  // A group of its own: an interrupt typed for the program must not end the server that carries its calls.
  // PORT in a shell is meant for the program that somebody works on there.
  const { PORT: _, ...own } = env;
  const child = spawn(program, [...first, 'serve', ...parameters], {
    detached: true,
    env: own,
    cwd: folders.home,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => resolve(code));
    child.once('error', () => resolve(null));
  });
  if (outlives) child.unref();
  const stop = async () => {
    child.kill('SIGTERM');
    await exited;
  };
  return { pid: child.pid ?? 0, exited, stop };
}

const longLog = 16 * 1024 * 1024;

function setAsideLongLog(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size > longLog) renameSync(path, `${path}.1`);
}

/** Waits until the server answers. @throws {Fault} `server_unreachable`, with the last lines of its log */
export async function awaitServer(input: {
  readonly find: () => Server | undefined;
  readonly folders: Folders;
  readonly exited: Promise<number | null>;
  readonly patience?: number;
}): Promise<Server> {
  let gone = false;
  void input.exited.then(() => {
    gone = true;
  });
  const until = performance.now() + (input.patience ?? 30_000);
  while (!gone && performance.now() < until) {
    const server = input.find();
    if (server !== undefined && (await healthOf(server)) !== undefined) return server;
    await sleep(40);
  }
  throw new Fault('server_unreachable', {
    detail: gone ? 'The server ended while it started' : 'The server did not start in time',
    hint: `see what it says with: gatehouse logs${lastWords(input.folders)}`,
  });
}

function lastWords(folders: Folders): string {
  const lines = tail(logFile(folders), 3);
  return lines.length === 0 ? '' : `\n  ${lines.join('\n  ')}`;
}

/** The last lines of a file. */
export function tail(path: string, count: number): readonly string[] {
  try {
    const lines = readFileSync(path, 'utf8').split('\n');
    return lines.filter((line) => line !== '').slice(-count);
  } catch {
    return [];
  }
}

/** What `GET /health` says, or undefined when nobody answers. */
export async function healthOf({ address }: Pick<Server, 'address'>): Promise<z.infer<typeof health> | undefined> {
  try {
    const answer = await transport(address)({ method: 'GET', path: '/health', headers: {}, body: undefined });
    return health.safeParse(JSON.parse(answer.body)).data;
  } catch (error) {
    if (isFault(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export function rememberProcess(folders: Folders, pid: number): Promise<void> {
  return writePrivateFile(pidFile(folders), JSON.stringify({ pid, start: startOf(pid) }));
}

/** The process that `start` started, while it is still the same one. */
export function rememberedProcess(folders: Folders): number | undefined {
  try {
    const { pid, start } = pidShape.parse(JSON.parse(readFileSync(pidFile(folders), 'utf8')));
    process.kill(pid, 0);
    return startOf(pid) === start ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Asks the process to end and waits. True once it is gone. */
export async function endProcess(folders: Folders, pid: number, patience: number): Promise<boolean> {
  process.kill(pid, 'SIGTERM');
  const until = performance.now() + patience;
  while (performance.now() < until) {
    if (rememberedProcess(folders) === undefined) {
      rmSync(pidFile(folders), { force: true });
      return true;
    }
    await sleep(50);
  }
  return false;
}
