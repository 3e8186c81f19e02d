import type { Command } from 'commander';
import { Fault } from '#kernel';
import { readInput } from '../asking.ts';
import { addCommand, addGroup, type CommandHost, settingsFile } from '../command.ts';
import type { Context } from '../context.ts';
import type { SettingsFile } from '../contract.ts';
import { timeOf } from '../listing.ts';
import { withProgress } from '../long-work.ts';

interface CopyFlags extends SettingsFile {
  readonly to?: string;
  readonly schema?: string;
  readonly dryRun?: boolean;
}

/** The database as a whole. */
export function databaseCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'db', 'the database as a whole');
  addCommand<CopyFlags>(group, host, {
    usage: 'copy',
    tells: 'copy everything to another database: SQLite, PostgreSQL, MySQL or MariaDB',
    example: 'gatehouse db copy --to postgres://gatehouse@db.internal/gatehouse',
    options: [
      ['--to <url>', 'where to: sqlite:/folder, postgres://… or mysql://…; a dash reads the URL from standard input'],
      ['--schema <name>', 'schema of a PostgreSQL target (default: GATEHOUSE_DATABASE_SCHEMA)'],
      ['--dry-run', 'only say what would be copied'],
      settingsFile,
    ],
    more: 'The server may go on meanwhile: what is copied is one state of it. Stop it, then repeat the command, and only what\nchanged since is copied. Cut short, the command goes on where it was. The copy is paused until: gatehouse resume',
    action: copy,
  });
}

async function copy(context: Context, _given: readonly string[], flags: CopyFlags): Promise<undefined> {
  if (flags.to === undefined) throw new Fault('invalid_usage', { hint: 'say where to with --to' });
  const to = flags.to === '-' ? await readInput(context) : flags.to;
  const { dryRun = false, envFile, schema } = flags;
  const outcome = await withProgress(context, (onProgress) => context.bin.installation.copy({ to, dryRun, envFile, schema, onProgress }));
  const rows = outcome.tables.reduce((sum, table) => sum + table.rows, 0);
  if (context.speech.json) {
    context.speech.value({ dry_run: dryRun, resumed: outcome.resumed, at: outcome.at, rows, tables: outcome.tables });
    return undefined;
  }
  context.speech.table(
    dryRun ? ['table', 'rows'] : ['table', 'rows', 'sha256'],
    outcome.tables.map(({ table, rows, sha256 }) => (dryRun ? [table, rows] : [table, rows, sha256])),
  );
  context.speech.fact(
    dryRun
      ? `${rows} rows would be ${outcome.resumed ? 'compared, and copied where they differ' : 'copied'}; nothing was changed`
      : `${outcome.resumed ? 'went on, and now' : 'copied:'} ${rows} rows are equal on both sides, as of ${timeOf(outcome.at)}`,
  );
  if (!dryRun)
    context.speech.note('stop the server, repeat this command once more, then point GATEHOUSE_DATABASE_URL there and: gatehouse resume');
  return undefined;
}
