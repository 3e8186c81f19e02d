import type { Readable, Writable } from 'node:stream';
import type { Environment, ReadSettings } from '#config';
import type { Clock } from '#kernel';

/** A stream that may be a terminal. */
export type Input = Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number };

export interface Io {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Environment;
  readonly cwd: string;
}

export interface ServeOptions {
  readonly dev: boolean;
  readonly envFile?: string;
  /** Called once the server answers. */
  readonly ready?: (facts: { readonly url: string }) => void;
}

/** What only a composition root can do: start a server in this process, open the store, read the values of settings. */
export interface BinCommands {
  /** Serves until it is told to stop; the exit code. */
  serve(options: ServeOptions): Promise<number>;
  /** Program and first parameters that start this very command as a process of its own. */
  readonly self: readonly [string, ...string[]];
  /** The least rights of our users of Redis, as lines to give to it. */
  redisAcl(prefix: string | undefined): Promise<readonly string[]>;
  /** Reads the settings, for the server (with aliases) or for a command. @throws {Fault} `invalid_setting` */
  readSettings(options: { readonly for: 'server' | 'command'; readonly envFile?: string }): ReadSettings;
}

export interface CliDeps {
  readonly bin: BinCommands;
  readonly io: Io;
  readonly clock: Clock;
  readonly version: string;
}

/** What a person types. */
export interface Cli {
  /** Parameters after the program's name. Resolves with the exit code. */
  run(parameters: readonly string[]): Promise<number>;
}
