import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { Fault, isFault } from '#kernel';
import { addCommand, type CommandHost, settingsFile } from '../command.ts';
import type { Context } from '../context.ts';
import type { ServeOptions, SettingsFile } from '../contract.ts';
import { findLocal, type Server } from '../server.ts';
import { awaitServer, endProcess, healthOf, logFile, rememberedProcess, rememberProcess, spawnServer, tail } from '../server-process.ts';
import { readWorkers, type WorkersFacts } from '../workers-file.ts';

/** The server itself: serve, start, stop, status, logs, setup-link. */
export function serverCommands(program: Command, host: CommandHost): void {
  addCommand<ServeFlags>(program, host, {
    usage: 'serve',
    tells: 'run the server in this terminal',
    example: 'gatehouse serve',
    options: [
      ['--dev', 'keep what lives briefly in memory; loopback only'],
      ['--workers <count>', 'processes that serve together, instead of GATEHOUSE_WORKERS'],
      settingsFile,
    ],
    action: (context, _given, options) => context.bin.serve(serveOptions(options)),
  });
  addCommand(program, host, {
    usage: 'start',
    tells: 'start the server in the background',
    example: 'gatehouse start',
    action: start,
  });
  addCommand(program, host, { usage: 'stop', tells: 'stop the server that start started', example: 'gatehouse stop', action: stop });
  addCommand(program, host, {
    usage: 'restart',
    tells: 'start the server anew: workers one by one, without losing a call; a lone server that start started, by stopping it',
    example: 'gatehouse restart',
    action: restart,
  });
  addCommand(program, host, {
    usage: 'status',
    tells: 'say whether the server answers',
    example: 'gatehouse status --json',
    action: status,
  });
  addCommand<{ readonly lines: string; readonly follow?: boolean }>(program, host, {
    usage: 'logs',
    tells: 'show what the server in the background wrote',
    example: 'gatehouse logs --follow',
    options: [
      ['-n, --lines <count>', 'so many lines', '100'],
      ['-f, --follow', 'go on as lines come'],
    ],
    action: logs,
  });
  addCommand(program, host, {
    usage: 'setup-link',
    tells: 'print a new link for the first administrator; the old one ends',
    example: 'gatehouse setup-link',
    action: setupLink,
  });
}

interface ServeFlags extends SettingsFile {
  readonly dev?: boolean;
  readonly workers?: string;
}

function serveOptions({ dev, envFile, workers }: ServeFlags): ServeOptions {
  const count = workers === undefined ? undefined : Number(workers);
  if (count !== undefined && !(Number.isInteger(count) && count >= 1 && count <= 64))
    throw new Fault('invalid_usage', { hint: '--workers takes a number from 1 to 64' });
  return { dev: dev === true, envFile, ...(count === undefined ? {} : { workers: count }) };
}

/** The local server, if it answers. */
async function answeringLocal(context: Context): Promise<Server | undefined> {
  const server = local(context);
  return server !== undefined && (await healthOf(server)) !== undefined ? server : undefined;
}

function local(context: Context): Server | undefined {
  return findLocal({ settings: context.settings(), folders: context.folders(), clock: context.clock });
}

/** Starts the server in the background unless it runs; the set-up link when one is needed. */
export async function startServer(context: Context): Promise<{ readonly started: boolean; readonly server: Server }> {
  const running = await answeringLocal(context);
  if (running !== undefined) return { started: false, server: running };
  const folders = context.folders();
  const progress = context.speech.progress('starting the server');
  try {
    const child = spawnServer({ bin: context.bin, folders, env: context.io.env, outlives: true });
    // It may itself wait for its database.
    const patience = (30 + context.settings().waitSeconds) * 1000;
    const server = await awaitServer({ find: () => local(context), folders, exited: child.exited, patience });
    await rememberProcess(folders, child.pid);
    return { started: true, server };
  } finally {
    progress.done();
  }
}

async function start(context: Context): Promise<undefined> {
  const { started, server } = await startServer(context);
  const link = await setupLinkIfNeeded(server);
  const pid = rememberedProcess(context.folders());
  if (context.speech.json) context.speech.value({ started, pid, ...(link === undefined ? {} : { setup_url: link }) });
  else {
    context.speech.fact(started ? `the server is ready (process ${pid}); its log: gatehouse logs` : 'the server runs already');
    if (link !== undefined) context.speech.fact(`set it up here, once, within an hour:\n\n  ${link}\n`);
  }
  return undefined;
}

/** A link for the first administrator while there is none yet. */
export async function setupLinkIfNeeded(server: Server): Promise<string | undefined> {
  return (await waitsForSetup(server)) ? (await server.person.call('setup_link')).url : undefined;
}

/** There is no administrator yet, so nothing else is answered (SECURITY 23). Only of a local server: at a remote one nobody may be signed in. */
export async function waitsForSetup(server: Server): Promise<boolean> {
  if (server.kind !== 'local') return false;
  try {
    await server.person.call('whoami');
    return false;
  } catch (error) {
    if (isFault(error, 'setup_required')) return true;
    throw error;
  }
}

async function stop(context: Context): Promise<undefined> {
  const progress = context.speech.progress('letting exchanges end');
  const pid = await stopRemembered(context).finally(() => progress.done());
  if (context.speech.json) context.speech.value({ stopped: true, pid });
  else context.speech.fact('the server has stopped');
  return undefined;
}

/** Ends the server that `start` started. @returns its process id @throws {Fault} `server_unreachable`, `busy` */
async function stopRemembered(context: Context): Promise<number> {
  const folders = context.folders();
  const pid = rememberedProcess(folders);
  if (pid === undefined) {
    const runs = (await answeringLocal(context)) !== undefined;
    throw new Fault('server_unreachable', {
      detail: runs ? 'The server that answers was not started with start' : 'No server runs',
      hint: runs ? 'stop it where it was started' : 'start one with: gatehouse start',
    });
  }
  const patience = (context.settings().shutdownSeconds + 10) * 1000;
  if (await endProcess(folders, pid, patience)) return pid;
  throw new Fault('busy', { detail: 'The server has not ended yet', hint: `look at: gatehouse logs; its process is ${pid}` });
}

async function restart(context: Context): Promise<undefined> {
  const folders = context.folders();
  const kept = readWorkers(folders);
  if (kept !== undefined) await restartWorkers(context, kept);
  else {
    const progress = context.speech.progress('starting the server anew');
    await stopRemembered(context).finally(() => progress.done());
    await startServer(context);
  }
  const workers = kept?.workers ?? 1;
  if (context.speech.json) context.speech.value({ restarted: true, workers });
  else context.speech.fact(workers === 1 ? 'the server was restarted' : `${workers} workers were restarted, one by one`);
  return undefined;
}

/** Each takes at most as long as one may take to start and one to end. */
async function restartWorkers(context: Context, { pid, workers, restarts }: WorkersFacts): Promise<void> {
  const progress = context.speech.progress('restarting the workers one by one');
  const until = performance.now() + workers * (context.settings().shutdownSeconds + 60) * 1000;
  process.kill(pid, 'SIGUSR2');
  try {
    while (performance.now() < until) {
      const now = readWorkers(context.folders());
      if (now === undefined) throw new Fault('server_unreachable', { detail: 'The server ended meanwhile' });
      if (now.restarts > restarts && now.problem === undefined) return;
      if (now.restarts > restarts)
        throw new Fault('unavailable', {
          detail: `The workers were not restarted: ${now.problem}`,
          hint: 'see why in the log of the server',
        });
      await sleep(100);
    }
  } finally {
    progress.done();
  }
  throw new Fault('busy', { detail: 'The workers have not all been restarted yet', hint: 'look into the log of the server' });
}

async function status(context: Context): Promise<number> {
  const server = context.findServer();
  const health = server === undefined ? undefined : await healthOf(server);
  const pid = server?.kind === 'local' ? rememberedProcess(context.folders()) : undefined;
  const facts = { answers: health !== undefined, server: server?.shown, version: health?.version, pid };
  if (context.speech.json) context.speech.value(facts);
  else if (health === undefined) {
    const silent = server === undefined ? 'no server answers' : `${server.shown} does not answer`;
    context.speech.fact(`${silent}; start one with: gatehouse start`);
  } else
    context.speech.fact(`${server?.shown} answers, version ${health.version ?? 'unknown'}${pid === undefined ? '' : `, process ${pid}`}`);
  if (server !== undefined && health !== undefined && (await waitsForSetup(server)))
    context.speech.note('it is not set up yet: gatehouse setup-link prints the link for that');
  return health === undefined ? 9 : 0;
}

async function logs(context: Context, _given: readonly string[], options: { readonly lines: string; readonly follow?: boolean }) {
  const count = Number(options.lines);
  if (!Number.isInteger(count) || count < 0) throw new Fault('invalid_usage', { hint: '--lines takes a number' });
  const path = logFile(context.folders());
  if (options.follow) return follow(path, count);
  for (const line of tail(path, count)) context.speech.fact(line);
  return undefined;
}

function follow(path: string, count: number): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn('tail', ['-n', String(count), '-F', path], { stdio: ['ignore', 'inherit', 'ignore'] });
    child.once('error', () => resolve(1));
    child.once('exit', () => resolve(0));
    process.once('SIGINT', () => child.kill());
  });
}

async function setupLink(context: Context): Promise<undefined> {
  const server = local(context);
  if (server === undefined) throw new Fault('server_unreachable');
  const link = await server.person.call('setup_link');
  if (context.speech.json) context.speech.value(link);
  else context.speech.fact(link.url);
  return undefined;
}
