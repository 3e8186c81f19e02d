import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type BrowserOptions, createBrowser, type Page } from './browser.ts';

const root = join(import.meta.dirname, '..', '..');
/** The command, from the sources. */
export const gatehouse: readonly [string, ...string[]] = [
  process.execPath,
  '--conditions=gatehouse-source',
  '--disable-warning=ExperimentalWarning',
  join(root, 'src', 'bin', 'gatehouse.ts'),
];

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly cwd?: string;
  /** Milliseconds. */
  readonly timeout?: number;
  /** Told of the output as it comes, and given the process. */
  readonly watch?: (output: string, child: ChildProcess) => void;
}

/** A whole installation of its own: real processes, folders and ports of its own. */
export interface Installation {
  readonly folder: string;
  readonly home: string;
  /** Keys and sessions. */
  readonly config: string;
  readonly url: string;
  readonly port: number;
  readonly proxyPort: number;
  readonly env: Readonly<Record<string, string>>;
  readonly browser: Browser;
  /** Of the server that runs now. */
  pid(): number | undefined;
  /** What the server printed so far. */
  output(): string;
  start(): Promise<void>;
  /** Ends the server and waits. @returns its exit code, null when a signal ended it, undefined when there was none */
  stop(signal?: NodeJS.Signals): Promise<number | null | undefined>;
  /** Runs a command to its end. */
  command(parameters: readonly string[], options?: CommandOptions): Promise<Ended>;
  close(): Promise<void>;
}

export const owner = { email: 'owner@example.test', name: 'Olive Owner', password: 'correct horse battery staple' };

export interface InstallationOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly parameters?: readonly string[];
  readonly browser?: BrowserOptions;
  /** A program that starts the server in its place, as `unshare` does. */
  readonly within?: readonly string[];
}

export interface ServerProcess {
  readonly pid: number;
  /** What it printed so far. */
  output(): string;
  /** Sends the signal and waits for the end. @returns its exit code, null when a signal ended it */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts `gatehouse serve` and waits until it is ready. */
export async function startServer(
  env: Readonly<Record<string, string>>,
  cwd: string,
  parameters: readonly string[] = [],
  hear: (text: string) => void = () => {},
  within: readonly string[] = [],
  ready = /gatehouse is ready|the set-up link is in a file/,
): Promise<ServerProcess> {
  const [program, ...first] = [...within, ...gatehouse] as [string, ...string[]];
  const child = spawn(program, [...first, 'serve', ...parameters], { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (part: Buffer) => {
      printed += part.toString('utf8');
      hear(part.toString('utf8'));
    });
  }
  await until(
    () => ready.test(printed) || child.exitCode !== null,
    180_000,
    () => `the server did not start: ${printed}`,
  );
  if (child.exitCode !== null) throw new Error(`the server ended: ${printed}`);
  return {
    pid: child.pid as number,
    output: () => printed,
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
}

/** Starts a server on an empty store. */
export async function install(options: InstallationOptions = {}): Promise<Installation> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-e2e-'));
  const [port, proxyPort] = [await freePort(), await freePort()];
  const home = join(folder, 'home');
  for (const name of ['home', 'config', 'runtime', 'user']) mkdirSync(join(folder, name), { mode: 0o700 });
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: join(folder, 'user'),
    XDG_CONFIG_HOME: join(folder, 'config'),
    XDG_RUNTIME_DIR: join(folder, 'runtime'),
    GATEHOUSE_HOME: home,
    GATEHOUSE_PORT: String(port),
    GATEHOUSE_PROXY_PORT: String(proxyPort),
    ...options.env,
  };
  let server: ServerProcess | undefined;
  let printed = '';
  const self: Installation = {
    folder,
    home,
    config: join(folder, 'config', 'gatehouse'),
    url: `http://localhost:${port}`,
    port,
    proxyPort,
    env,
    browser: createBrowser(options.browser),
    pid: () => server?.pid,
    output: () => printed,
    async start() {
      const hear = (text: string) => {
        printed += text;
      };
      server = await startServer(env, folder, options.parameters, hear, options.within);
    },
    async stop(signal = 'SIGTERM') {
      const running = server;
      server = undefined;
      return running?.stop(signal);
    },
    command: (parameters, given = {}) =>
      execute([...gatehouse, ...parameters], { ...given, env: { ...env, ...given.env }, cwd: given.cwd ?? folder }),
    async close() {
      await self.stop('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await self.start();
  return self;
}

/** Opens the link, as printed or in its file, and makes the first administrator. */
export async function setUp(installation: Pick<Installation, 'output' | 'browser' | 'env'>): Promise<Page> {
  const file = join(installation.env.XDG_CONFIG_HOME ?? '', 'gatehouse', 'setup-link');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : installation.output();
  const link = /https?:\/\/\S+\/setup\?token=\S+/.exec(text)?.[0];
  if (link === undefined) throw new Error(`no set-up link: ${installation.output()}`);
  const page = await installation.browser.open(link);
  return installation.browser.submit(page, '/setup', owner);
}

/** Runs a program to its end. */
export function execute([program, ...parameters]: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  const child = spawn(program as string, parameters, { env: { ...options.env }, cwd: options.cwd, stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  const hear = (part: Buffer, keep: (text: string) => void): void => {
    keep(part.toString('utf8'));
    options.watch?.(stdout + stderr, child);
  };
  child.stdout.on('data', (part: Buffer) => hear(part, (text) => (stdout += text)));
  child.stderr.on('data', (part: Buffer) => hear(part, (text) => (stderr += text)));
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeout ?? 60_000);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? -1, stdout, stderr });
    });
  });
}

/** Waits until `holds`, looking every 20 ms. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  patience = 10_000,
  told: () => string = () => 'it did not come to be in time',
): Promise<void> {
  const end = performance.now() + patience;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(told());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A port that nobody listens on right now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
