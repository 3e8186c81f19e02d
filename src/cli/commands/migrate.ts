import type { Command } from 'commander';
import { Fault } from '#kernel';
import { addCommand, type CommandHost, settingsFile } from '../command.ts';
import type { Context } from '../context.ts';
import type { MigrateReport, SettingsFile } from '../contract.ts';
import { printable } from '../speech.ts';

interface MigrateFlags extends SettingsFile {
  readonly dryRun?: boolean;
  readonly intoExisting?: boolean;
}

/** The schema of the database, without a server. */
export function migrateCommands(program: Command, host: CommandHost): void {
  const group = addCommand<MigrateFlags>(program, host, {
    usage: 'migrate',
    tells: 'bring the schema of the database up to date; serve does it by itself unless GATEHOUSE_MIGRATE is off',
    example: 'gatehouse migrate --dry-run',
    options: [
      ['--dry-run', 'say what would be done, and do nothing'],
      ['--into-existing', 'beside the tables of another program, if none bears a name of ours'],
      settingsFile,
    ],
    more: 'Uses GATEHOUSE_MIGRATE_DATABASE_URL if it is set, else GATEHOUSE_DATABASE_URL, else the data folder.',
    action: migrate,
  });
  addCommand<MigrateFlags>(group, host, {
    usage: 'status',
    tells: 'every migration, and when it was applied; changes nothing',
    example: 'gatehouse migrate status --json',
    options: [settingsFile],
    action: status,
  });
}

function ask(context: Context, flags: MigrateFlags, changes: boolean): Promise<MigrateReport> {
  const tell = (line: string) => context.speech.note(line);
  return context.bin.migrate({ changes, intoExisting: flags.intoExisting === true, envFile: flags.envFile, tell });
}

async function migrate(context: Context, given: readonly string[], flags: MigrateFlags): Promise<undefined> {
  if (given.length > 0) throw new Fault('invalid_usage');
  const preview = flags.dryRun === true;
  const report = await ask(context, flags, !preview);
  if (context.speech.json) context.speech.value(shapeOf(report, preview));
  else if (preview) tellPreview(context, report, flags);
  else context.speech.fact(report.ran.length === 0 ? 'the database was up to date' : `migrated: ${report.ran.join(', ')}`);
  return undefined;
}

function tellPreview({ speech }: Context, { pending, newer, applied, foreign }: MigrateReport, { intoExisting }: MigrateFlags): void {
  if (newer.length > 0) throw new Fault('store_newer');
  if (pending.length === 0) speech.fact('the database is up to date');
  for (const name of pending) speech.fact(`would run ${name}`);
  if (applied.length > 0 || foreign.length === 0) return;
  speech.note(`the database holds tables of another program: ${foreign.map(printable).join(', ')}`);
  if (intoExisting !== true) speech.note('it would be refused; let it in beside them with --into-existing');
}

async function status(context: Context, _given: readonly string[], flags: MigrateFlags): Promise<undefined> {
  const report = await ask(context, flags, false);
  if (context.speech.json) {
    context.speech.value(shapeOf(report, false));
    return undefined;
  }
  const state = (name: string) => (report.newer.includes(name) ? 'of a newer Gatehouse' : 'applied');
  context.speech.table(
    ['migration', 'state', 'applied'],
    [
      ...report.applied.map(({ name, appliedAt }) => [name, state(name), new Date(appliedAt).toISOString()]),
      ...report.pending.map((name) => [name, 'missing', undefined]),
    ],
  );
  if (report.pending.length > 0) context.speech.note('run what is missing with: gatehouse migrate');
  return undefined;
}

function shapeOf({ applied, pending, newer, foreign, ran }: MigrateReport, preview: boolean) {
  const rows = applied.map(({ name, appliedAt }) => ({ name, applied_at: new Date(appliedAt).toISOString() }));
  return { dry_run: preview, ran, applied: rows, pending, newer, foreign };
}
