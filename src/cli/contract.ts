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

/** Settings are read from there instead of `.env` in the data folder. */
export interface SettingsFile {
  readonly envFile?: string | undefined;
}

export interface ServeOptions extends SettingsFile {
  readonly dev: boolean;
  /** Processes that serve together, instead of what the setting says. */
  readonly workers?: number;
  /** Called once the server answers. */
  readonly ready?: (facts: { readonly url: string }) => void;
}

/** How far long work has come: what it is about now, and how much of how much. */
export interface Advance {
  readonly step: string;
  readonly done: number;
  readonly total: number;
}

export interface ResumeOutcome {
  /** False: it was not paused. */
  readonly resumed: boolean;
  /** How many ended. */
  readonly sessions: number;
  readonly runs: number;
}

/** A copy of the database to another one. */
export interface CopyOrder extends SettingsFile {
  readonly to: string;
  /** Of a PostgreSQL database. */
  readonly schema?: string | undefined;
  readonly dryRun: boolean;
  readonly onProgress: (advance: Advance) => void;
}

export interface CopyOutcome {
  readonly resumed: boolean;
  readonly tables: readonly { readonly table: string; readonly rows: number; readonly sha256: string }[];
  /** The state that was copied is the one of this time. */
  readonly at: number;
}

/** What an archive holds. */
export interface ArchiveFacts {
  /** The state is the one of this time. */
  readonly at: number;
  readonly version: string;
  /** Ids of the master keys that open it. */
  readonly masterKeys: readonly string[];
  readonly tables: CopyOutcome['tables'];
}

export interface BackupOrder extends SettingsFile {
  /** The folder of the archives. */
  readonly to: string;
  /** Older archives of the folder go, but not the newest one; milliseconds. */
  readonly keep?: number | undefined;
  readonly dryRun: boolean;
  readonly onProgress: (advance: Advance) => void;
}

export interface BackupOutcome {
  /** Undefined: a dry run. */
  readonly archive:
    | (ArchiveFacts & { readonly path: string; readonly bytes: number; readonly sha256: string; readonly verified: 'content' | 'file' })
    | undefined;
  /** Names of the archives that went, or would go. */
  readonly removed: readonly string[];
}

export interface RestoreOrder extends SettingsFile {
  readonly path: string;
  /** A file of private keys, instead of the passphrase of the settings. */
  readonly identity?: string | undefined;
  readonly dryRun: boolean;
  readonly onProgress: (advance: Advance) => void;
}

export interface RestoreOutcome extends ArchiveFacts {
  /** Master keys that open it, and that the settings do not lead to. */
  readonly missingKeys: readonly string[];
}

export interface VaultOrder extends SettingsFile {
  readonly to: 'database' | 'redis';
  readonly dryRun: boolean;
  readonly onProgress: (advance: Advance) => void;
}

export interface VaultOutcome {
  readonly outcome: 'moved' | 'tidied' | 'would move' | 'would tidy';
  readonly values: number;
  readonly sha256: string;
  readonly removed: number;
}

/** Work on a whole installation, by whoever holds its settings; no server is asked. */
export interface InstallationCommands {
  /** Copies the database to another one, while it may be served. @throws {Fault} `store_not_empty`, `store_outdated`, `copy_differs` */
  copy(order: CopyOrder): Promise<CopyOutcome>;
  /** Writes one encrypted, verified archive of everything, while it may be served. */
  backup(order: BackupOrder): Promise<BackupOutcome>;
  /** Puts an archive into an empty database; it is paused then. @throws {Fault} `backup_key_wrong`, `backup_damaged`, `backup_format`, `store_not_empty` */
  restore(order: RestoreOrder): Promise<RestoreOutcome>;
  /** Moves every sealed value between the database and Redis. @throws {Fault} `store_not_empty`, `copy_differs`, `conflict` */
  moveVault(order: VaultOrder): Promise<VaultOutcome>;
  /** Lets a paused installation be served, and ends every older session, run and token. */
  resume(given: SettingsFile): Promise<ResumeOutcome>;
  /** Lets no server serve it that starts from now on; false: it is paused already. */
  pause(given: SettingsFile): Promise<boolean>;
}

export interface MigrateOptions extends SettingsFile {
  /** False: only look. */
  readonly changes: boolean;
  readonly intoExisting: boolean;
  /** Given a line for each step. */
  readonly tell: (line: string) => void;
}

/** Which migrations the database has, lacks, and has of a newer program; which were run now. */
export interface MigrateReport {
  readonly applied: readonly { readonly name: string; readonly appliedAt: number }[];
  readonly pending: readonly string[];
  readonly newer: readonly string[];
  readonly foreign: readonly string[];
  readonly ran: readonly string[];
}

/** What only a composition root can do: start a server in this process, open the store, read the values of settings. */
export interface BinCommands {
  /** Serves until it is told to stop; the exit code. */
  serve(options: ServeOptions): Promise<number>;
  /** As a server would read and judge them. @throws {Fault} `invalid_setting` that says everything that is wrong */
  checkSettings(options: SettingsFile): Promise<ReadSettings>;
  /** Migrates the database, or looks what there is to do. @throws {Fault} `store_newer`, `store_foreign`, `unavailable` */
  migrate(options: MigrateOptions): Promise<MigrateReport>;
  /** Program and first parameters that start this very command as a process of its own. */
  readonly self: readonly [string, ...string[]];
  readonly installation: InstallationCommands;
  /** The least rights of our users of Redis, as lines to give to it. */
  redisAcl(prefix: string | undefined): Promise<readonly string[]>;
  /** What is wrong with the database server of the settings; undefined: they name none. @throws {Fault} where it cannot be asked */
  databaseWarnings(): Promise<readonly string[] | undefined>;
  /** Reads the settings, for the server (with aliases) or for a command. @throws {Fault} `invalid_setting` */
  readSettings(options: SettingsFile & { readonly for: 'server' | 'command' }): ReadSettings;
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
