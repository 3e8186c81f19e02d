import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { createCli } from '#cli';
import { type Folders, foldersOf, readSettings } from '#config';
import type { Clock } from '#kernel';
import { installationCommands, migrateCommand } from '../../src/bin/installation.ts';
import { post, type Serving, type SignedIn } from './serving.ts';
import { temporaryFolder } from './store.ts';

const version = '1.2.3';

/** What a command ended with. */
export interface Typed {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  json<T = Record<string, unknown>>(): T;
}

export interface Given {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Told of standard output and error as they come. */
  readonly watch?: (said: string) => void;
}

/** A person's machine: folders of its own, and commands typed in this process. */
export interface Machine {
  readonly home: string;
  readonly folders: Folders;
  type(parameters: readonly string[], given?: Given): Promise<Typed>;
}

export interface MachineOptions {
  readonly clock: Clock;
  /** What stands for our own command where it starts a server. */
  readonly self?: readonly [string, ...string[]];
}

export function openMachine({ clock, self = [process.execPath, '-e', 'process.exit(3)'] }: MachineOptions): Machine {
  const home = temporaryFolder();
  const env = { HOME: home, GATEHOUSE_HOME: join(home, 'data'), XDG_CONFIG_HOME: join(home, 'config'), PATH: process.env.PATH ?? '' };
  const folders = foldersOf(env.GATEHOUSE_HOME, env);
  mkdirSync(folders.state, { recursive: true, mode: 0o700 });
  return {
    home,
    folders,
    async type(parameters, given = {}) {
      let [out, err] = ['', ''];
      const sink = (keep: (text: string) => void) =>
        new Writable({
          write(part, _encoding, done) {
            keep(String(part));
            given.watch?.(out + err);
            done();
          },
        });
      const stdin = new PassThrough();
      stdin.end(given.input ?? '');
      const all = { ...env, ...given.env };
      const stdout = sink((text) => {
        out += text;
      });
      const stderr = sink((text) => {
        err += text;
      });
      const cli = createCli({
        io: { stdin, stdout, stderr, env: all, cwd: given.cwd ?? home },
        clock,
        version,
        bin: {
          self,
          serve: async () => 0,
          checkSettings: async () => readSettings({ env: all, aliases: true }),
          redisAcl: async () => [],
          installation: installationCommands({ env: all, clock, version }),
          migrate: (options) => migrateCommand({ env: all, clock, version }, options),
          databaseWarnings: async () => undefined,
          readSettings: (options) => readSettings({ env: all, aliases: options.for === 'server' }),
        },
      });
      const code = await cli.run(parameters);
      return { code, out, err, json: <T>() => JSON.parse(out) as T };
    },
  };
}

/** Does once what the sign asks for, in the owner's browser. */
export function whenSaid(sign: RegExp, act: (found: readonly string[]) => Promise<unknown>): (said: string) => void {
  let done = false;
  return (said) => {
    const found = done ? null : sign.exec(said);
    if (found === null) return;
    done = true;
    void act(found.map((part) => part ?? ''));
  };
}

/** The owner answers the confirmation that a command prints. */
export function confirms(serving: Serving, owner: () => SignedIn, answer: 'yes' | 'no' = 'yes'): (said: string) => void {
  return whenSaid(/\/confirm\/(cnf_[0-9a-z]{26})/, ([, id]) => post(serving, owner(), `/confirm/${id}`, { answer }));
}

/** The owner says yes on the page of a flow that a command ended. */
export function uses(serving: Serving, owner: () => SignedIn): (said: string) => void {
  return whenSaid(/\/connect\/(flw_[0-9a-z]{26})/, ([, flow]) => post(serving, owner(), `/connect/${flow}/allow`));
}

/** The owner types the claim code that a command shows, and confirms the agent. */
export function claims(serving: Serving, owner: () => SignedIn): (said: string) => void {
  const acts = [
    whenSaid(/type this code[^\n]*\n\n\s+(\S+)\n/, ([, code]) => post(serving, owner(), '/claim', { code: code as string })),
    confirms(serving, owner),
  ];
  return (said) => {
    for (const act of acts) act(said);
  };
}
