import { basename } from 'node:path';
import { Fault, isFault, type Level } from '#kernel';
import { bearerValue } from '#oauth';
import type { AgentKey } from '../agent-keys.ts';
import type { Context } from '../context.ts';
import { isInsideRun, registerProgram } from '../inside-run.ts';
import { findLocal, type Server } from '../server.ts';
import { awaitServer, type ServerProcess, spawnServer } from '../server-process.ts';
import { type Carrier, localCarrier, remoteCarrier } from './carrier.ts';
import { CannotStart, runProgram } from './child.ts';
import { createEnding, type Ending } from './ending.ts';
import { type ChildEnvironment, childEnvironment, type Variables } from './environment.ts';
import { makeRunFolder, type RunFolder } from './folder.ts';
import { openForwarder } from './forwarder.ts';
import { type Enclosure, type EnclosureInput, openEnclosure } from './isolate.ts';
import { standingOf } from './level.ts';
import { masterKeysIn } from './recognised.ts';
import { relayLine } from './relay-line.ts';
import { type RunSession, startRunSession } from './session.ts';

export interface RunOptions {
  readonly agent?: string;
  /** Provider → connection name. */
  readonly connections: Readonly<Record<string, string>>;
  readonly pass: readonly string[];
  readonly isolate: boolean;
  /** Isolated: who the program runs as when we are root. */
  readonly as?: string;
  readonly show: readonly string[];
  readonly write: readonly string[];
}

/** `gatehouse run -- command`: the program's own exit code, or that of what went wrong before it started. */
export async function run(context: Context, command: readonly [string, ...string[]], options: RunOptions): Promise<number> {
  refuseMasterKey(context);
  if (isInsideRun(context.io.env, context.folders().state)) return runWithin(context, command, options);
  const ending = createEnding();
  try {
    const server = await serverForRun(context, ending);
    const key = context.agentKey(options.agent);
    const folder = makeRunFolder(context.io.env);
    ending.add(() => folder.remove());
    const enclosure = options.isolate ? await openEnclosure(enclosureInput(context, command[0], folder, options)) : undefined;
    if (enclosure !== undefined) ending.add(() => enclosure.close());
    const { level, told } = await standingOf(context, { server, key, enclosure });
    const started = await prepareRun(context, { server, key, level, ending, options, folder, program: basename(command[0]) });
    if (enclosure !== undefined) folder.handOver(enclosure.user);
    context.speech.note(`gatehouse: ${level}: ${told}`);
    return await startProgram(context, { command, enclosure, ending, ...started });
  } catch (error) {
    if (!(error instanceof CannotStart)) throw error;
    context.speech.note(`gatehouse: ${error.message}: ${command[0]}`);
    return error.exitCode;
  } finally {
    await ending.all();
  }
}

/** SECURITY 1: what is in this process's environment can be read by every program of the same user. */
function refuseMasterKey(context: Context): void {
  const names = masterKeysIn(context.io.env);
  if (names.length > 0) throw new Fault('key_in_environment', { fields: Object.fromEntries(names.map((name) => [name, 'unset it'])) });
}

/** A program under `run` that starts another one the same way: it already has everything. */
async function runWithin(context: Context, [program, ...parameters]: readonly [string, ...string[]], options: RunOptions): Promise<number> {
  if (options.isolate || options.agent !== undefined) throw new Fault('inside_run');
  const env = Object.fromEntries(Object.entries(context.io.env).filter((entry): entry is [string, string] => entry[1] !== undefined));
  return runProgram({ command: program, parameters, env, cwd: context.io.cwd, terminal: context.io.stdin.isTTY === true });
}

/** The server found, or an embedded one as a process of its own that ends with the run. */
export async function serverForRun(context: Context, ending: Pick<Ending, 'add'>): Promise<Server> {
  const found = context.findServer();
  if (found !== undefined && (found.kind === 'remote' || (await answers(found)))) return found;
  const progress = context.speech.progress('starting a server for this run');
  try {
    const folders = context.folders();
    const child: ServerProcess = spawnServer({ bin: context.bin, folders, env: context.io.env, outlives: false });
    ending.add(() => child.stop());
    const find = () => findLocal({ settings: context.settings(), folders, clock: context.clock });
    return await awaitServer({ find, folders, exited: child.exited });
  } finally {
    progress.done();
  }
}

async function answers(server: Server): Promise<boolean> {
  try {
    await server.issuer();
    return true;
  } catch (error) {
    if (isFault(error, 'server_unreachable')) return false;
    throw error;
  }
}

interface Prepared {
  readonly session: RunSession;
  readonly environment: ChildEnvironment;
}

interface PrepareInput {
  readonly server: Server;
  readonly key: AgentKey;
  readonly level: Level;
  readonly program: string;
  readonly options: Pick<RunOptions, 'connections' | 'pass'>;
  readonly ending: Pick<Ending, 'add'>;
  readonly folder: RunFolder;
  /** Where the forwarder listens; default: a free port of loopback. */
  readonly listen?: { readonly host: string; readonly port: number };
  /** How the program names the forwarder; default: the address it listens on. */
  readonly reachedBy?: string;
  /** What the program inherits; default: our own environment. */
  readonly parent?: Variables;
}

export async function prepareRun(context: Context, input: PrepareInput): Promise<Prepared> {
  const { server, key, ending, options, level } = input;
  const pass = options.pass.filter((name) => (context.io.env[name] ?? '') !== '');
  const session = await startRunSession({
    agent: await server.agent(key),
    request: { level, program: input.program.slice(0, 255), connections: { ...options.connections }, passed: pass },
    now: () => context.clock.now(),
    onNewRun: () =>
      context.speech.note(
        'gatehouse: the server no longer knew this run; started a new one (restart the program if placeholders are refused)',
      ),
  });
  ending.add(() => session.end('exited'));
  for (const warning of session.started.warnings) context.speech.note(`gatehouse: ${warning}`);
  const carrier = carrierTo(context, server, key, session);
  ending.add(() => carrier.close());
  const childCredential = bearerValue(16);
  const { credential, renew } = session;
  const forwarder = await openForwarder({ childCredential, carrier, runCredential: credential, renew }, input.listen);
  ending.add(() => forwarder.close());
  const { folder } = input;
  const proxy = { host: input.reachedBy ?? forwarder.host, port: forwarder.port, credential: childCredential };
  folder.fill({ authorityPem: session.started.authority_pem, proxy, now: context.clock.now() });
  const environment = childEnvironment({
    parent: input.parent ?? context.io.env,
    provided: session.started.variables,
    pass,
    run: session.started.run,
    level,
    proxy,
    files: folder.files,
    java: folder.java,
  });
  return { session, environment };
}

function carrierTo(context: Context, server: Server, key: AgentKey, session: RunSession): Carrier {
  if (server.kind === 'local') return localCarrier(session.started.proxy_socket ?? context.folders().proxySocket);
  return remoteCarrier(() => relayLine(server, key));
}

function enclosureInput(context: Context, command: string, folder: RunFolder, options: RunOptions): EnclosureInput {
  const { home, config, state, masterKey } = context.folders();
  const keyFile = context.settings().masterKeyFile;
  return {
    secret: [home, config, state, masterKey, ...(keyFile === undefined ? [] : [keyFile])],
    command,
    folder: folder.path,
    cwd: context.io.cwd,
    env: context.io.env,
    show: options.show,
    write: options.write,
    ...(options.as === undefined ? {} : { as: options.as }),
  };
}

async function startProgram(
  context: Context,
  input: Prepared & {
    readonly command: readonly [string, ...string[]];
    readonly enclosure: Enclosure | undefined;
    readonly ending: Ending;
  },
): Promise<number> {
  const { environment, enclosure } = input;
  if (environment.removed.length > 0) {
    context.speech.note(`gatehouse: kept from the program: ${environment.removed.join(', ')} (hand one over with --pass NAME)`);
  }
  const [program, ...parameters] = input.command;
  const given = { command: program, parameters, env: environment.env, cwd: context.io.cwd, terminal: context.io.stdin.isTTY === true };
  if (enclosure !== undefined) return enclosure.start(given);
  const strikeOut: (() => void)[] = [];
  const onStart = (pid: number) => {
    void registerProgram(context.folders().state, pid).then((strike) => strikeOut.push(strike));
  };
  try {
    return await runProgram({ ...given, onStart });
  } finally {
    for (const strike of strikeOut) strike();
  }
}
