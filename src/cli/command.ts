import { type Command, Option } from 'commander';
import { Fault } from '#kernel';
import { type Context, createContext } from './context.ts';
import type { CliDeps } from './contract.ts';
import { refuseInsideRun } from './inside-run.ts';

/** What a command does; its exit code, or nothing for 0. */
export type Action<O> = (context: Context, given: readonly string[], options: O) => Promise<number | undefined>;

export interface CommandSpec<O> {
  /** Name and parameters, as commander writes them: `inspect <connection>`. */
  readonly usage: string;
  readonly tells: string;
  /** One line that works as it stands. */
  readonly example: string;
  readonly aliases?: readonly string[];
  /** `--flag <value>` → what it does; a default may follow. */
  readonly options?: readonly (readonly [flags: string, tells: string, fallback?: string])[];
  /** Flags that may be given more than once. */
  readonly lists?: readonly (readonly [flags: string, tells: string])[];
  /** Also from inside a run. */
  readonly insideRun?: true;
  /** Parameters after the first one belong to a program. */
  readonly passThrough?: true;
  readonly more?: string;
  readonly action: Action<O>;
}

export interface CommandHost {
  readonly deps: CliDeps;
  /** Keeps the exit code of the command that ran. */
  finish(code: number): void;
}

/** Of every command that reads the settings of a server. */
export const settingsFile = ['--env-file <file>', 'read settings from this file instead of .env in the data folder'] as const;

/** Adds one command, with `--help` that ends in an example and `--json`. */
export function addCommand<O extends object>(parent: Command, host: CommandHost, spec: CommandSpec<O>): Command {
  const command = parent.command(spec.usage).description(spec.tells);
  for (const alias of spec.aliases ?? []) command.alias(alias);
  for (const [flags, tells, fallback] of spec.options ?? []) command.option(flags, tells, fallback);
  for (const [flags, tells] of spec.lists ?? []) command.addOption(new Option(flags, tells).argParser(collect));
  command.option('--json', 'print JSON');
  if (spec.passThrough) command.passThroughOptions();
  command.addHelpText('after', `\n${spec.more === undefined ? '' : `${spec.more}\n\n`}example:\n  ${spec.example}`);
  return command.action(async () => {
    const none = (spec.lists ?? []).map(([flags]) => [new Option(flags).attributeName(), []]);
    const options = { ...Object.fromEntries(none), ...command.opts<O & { readonly json?: boolean }>() };
    const context = createContext(host.deps, { json: options.json === true });
    host.finish(await attempt(context, spec, command.args, options));
  });
}

async function attempt<O>(context: Context, spec: CommandSpec<O>, given: readonly string[], options: O): Promise<number> {
  try {
    if (!spec.insideRun) refuseInsideRun(context.io.env, stateFolderOf(context));
    return (await spec.action(context, given, options)) ?? 0;
  } catch (error) {
    return context.speech.failed(faultOf(error, context));
  }
}

/** The mark in the environment is enough where settings cannot be read (they may be what the command is about). */
function stateFolderOf(context: Context): string {
  try {
    return context.folders().state;
  } catch {
    return '/nonexistent';
  }
}

function faultOf(error: unknown, context: Context): Fault {
  if (error instanceof Fault) return error;
  if (context.io.env.GATEHOUSE_LOG_LEVEL === 'debug' && error instanceof Error) context.speech.note(error.stack ?? error.message);
  const told = error instanceof Error && 'code' in error && typeof error.code === 'string' ? ` (${error.code})` : '';
  return new Fault('internal', {
    detail: `Something went wrong in this command${told}`,
    hint: 'see more with GATEHOUSE_LOG_LEVEL=debug',
    cause: error,
  });
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** A word that groups commands: `agent create`, `agent list`. */
export function addGroup(parent: Command, name: string, tells: string, aliases: readonly string[] = []): Command {
  const group = parent.command(name).description(tells);
  for (const alias of aliases) group.alias(alias);
  return group;
}
