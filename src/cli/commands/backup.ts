import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { Fault } from '#kernel';
import { addCommand, type CommandHost, settingsFile } from '../command.ts';
import type { Context } from '../context.ts';
import type { ArchiveFacts, BackupOutcome, SettingsFile } from '../contract.ts';
import { parseTime, timeOf } from '../listing.ts';
import { withProgress } from '../long-work.ts';

interface BackupFlags extends SettingsFile {
  readonly to?: string;
  readonly keep?: string;
  readonly every?: string;
  readonly dryRun?: boolean;
}

interface RestoreFlags extends SettingsFile {
  readonly identity?: string;
  readonly dryRun?: boolean;
}

/** Archives of everything. */
export function backupCommands(program: Command, host: CommandHost): void {
  addCommand<BackupFlags>(program, host, {
    usage: 'backup',
    tells: 'write one encrypted, verified archive of everything but the master keys, while the server runs',
    example:
      'GATEHOUSE_BACKUP_PASSPHRASE_FILE=/etc/gatehouse/backup.pass gatehouse backup --to /var/backups/gatehouse --keep 7d --every 24h',
    options: [
      ['--to <folder>', 'where archives go'],
      ['--keep <time>', 'remove archives of the folder that are older, such as 7d; never the newest'],
      ['--every <time>', 'go on, and write one so often, such as 24h'],
      ['--dry-run', 'only say what would be written and removed'],
      settingsFile,
    ],
    more: 'Keep the master keys (gatehouse keys list) apart from the archives: without them an archive opens nothing.',
    action: backup,
  });
  addCommand<RestoreFlags>(program, host, {
    usage: 'restore <archive>',
    tells: 'put an archive into the empty database of the settings; it is paused until: gatehouse resume',
    example: 'gatehouse restore /var/backups/gatehouse/gatehouse-20300131T120000Z.age --dry-run',
    options: [
      ['--identity <file>', 'private keys that open it, instead of GATEHOUSE_BACKUP_PASSPHRASE'],
      ['--dry-run', 'only read and prove it, and say whether the database would take it'],
      settingsFile,
    ],
    action: restore,
  });
}

/** Milliseconds of `7d`. @throws {Fault} `invalid_usage` */
function lengthOf(text: string): number {
  const length = /^\d+[smhdw]$/.test(text) ? parseTime(text, 0, 1) : 0;
  if (length <= 0) throw new Fault('invalid_usage', { hint: 'write a length of time as 90m, 12h or 7d' });
  return length;
}

async function backup(context: Context, _given: readonly string[], flags: BackupFlags): Promise<undefined> {
  if (flags.to === undefined) throw new Fault('invalid_usage', { hint: 'say where to with --to' });
  const every = flags.every === undefined ? undefined : lengthOf(flags.every);
  const order = {
    to: flags.to,
    dryRun: flags.dryRun === true,
    keep: flags.keep === undefined ? undefined : lengthOf(flags.keep),
    envFile: flags.envFile,
  };
  const once = async () =>
    told(context, await withProgress(context, (onProgress) => context.bin.installation.backup({ ...order, onProgress })));
  if (every === undefined || order.dryRun) await once();
  else await repeat(context, every, once);
  return undefined;
}

const retriedAfter = 300_000;

/** Until it is told to stop. A failure is said, and tried again soon. */
async function repeat(context: Context, every: number, work: () => Promise<void>): Promise<void> {
  const stopped = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) void once(process, signal).then(() => stopped.abort());
  while (!stopped.signal.aborted) {
    const began = context.clock.monotonic();
    let wait = every;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Fault) || error.code === 'invalid_setting') throw error;
      context.speech.failed(error);
      wait = Math.min(every, retriedAfter);
    }
    const left = Math.max(0, wait - (context.clock.monotonic() - began));
    await sleep(left, undefined, { signal: stopped.signal }).catch(() => {});
  }
}

function told({ speech }: Context, { archive, removed }: BackupOutcome): void {
  if (speech.json) {
    speech.value({ archive: archive === undefined ? undefined : { ...shown(archive), ...fileOf(archive) }, removed });
    return;
  }
  for (const name of removed) speech.note(`${archive === undefined ? 'would remove' : 'removed'} ${name}`);
  if (archive === undefined) {
    speech.fact('nothing was written');
    return;
  }
  const proof =
    archive.verified === 'content' ? 'opened again and read to its end' : 'its bytes read again; only its recipients can open it';
  speech.fact(`${archive.path}: ${rowsOf(archive)} rows, ${archive.bytes} bytes, ${proof}`);
  speech.fact(`sha256 ${archive.sha256}`);
  speech.note(`master keys that open it, to be kept apart: ${archive.masterKeys.join(', ')}`);
}

function shown(facts: ArchiveFacts) {
  return { at: facts.at, version: facts.version, master_keys: facts.masterKeys, rows: rowsOf(facts), tables: facts.tables };
}

function fileOf({ path, bytes, sha256, verified }: NonNullable<BackupOutcome['archive']>) {
  return { path, bytes, sha256, verified };
}

function rowsOf({ tables }: ArchiveFacts): number {
  return tables.reduce((sum, { rows }) => sum + rows, 0);
}

async function restore(context: Context, [path = '']: readonly string[], flags: RestoreFlags): Promise<undefined> {
  const { identity, dryRun = false, envFile } = flags;
  const outcome = await withProgress(context, (onProgress) =>
    context.bin.installation.restore({ path, identity, dryRun, envFile, onProgress }),
  );
  const { speech } = context;
  if (speech.json) {
    speech.value({ dry_run: dryRun, ...shown(outcome), missing_keys: outcome.missingKeys });
    return undefined;
  }
  const state = `${rowsOf(outcome)} rows, the state of ${timeOf(outcome.at)}`;
  speech.fact(dryRun ? `the archive is whole: ${state}; nothing was changed` : `restored: ${state}`);
  if (outcome.missingKeys.length > 0)
    speech.note(`the settings lead to no master key ${outcome.missingKeys.join(', ')}; put it in its place first`);
  if (!dryRun) speech.note('it is paused; once the original runs no more: gatehouse resume');
  return undefined;
}
