/**
 * What a person types, and the run forwarder.
 *
 * Owns: commands and how they speak, agent keys and pinned servers of this OS user, the forwarder of `run`, the
 * environment and the isolation of the program it starts.
 * Leans on: the typed client (api), the multiplexer (net), agent proofs (oauth), folders and the settings table (config).
 * Lives elsewhere: starting a server in this process and the values of settings (bin); every decision (the server).
 */

export { createCli } from './cli.ts';
export type {
  Advance,
  ArchiveFacts,
  BackupOrder,
  BackupOutcome,
  BinCommands,
  Cli,
  CliDeps,
  CopyOrder,
  CopyOutcome,
  Input,
  InstallationCommands,
  Io,
  MigrateOptions,
  Output,
  RestoreOrder,
  RestoreOutcome,
  ResumeOutcome,
  ServeOptions,
  VaultOrder,
  VaultOutcome,
} from './contract.ts';
export { forgetWorkers, writeWorkers } from './workers-file.ts';
