import type { Command } from 'commander';
import { Fault } from '#kernel';
import { addCommand, addGroup, type CommandHost, settingsFile } from '../command.ts';
import type { Context } from '../context.ts';
import type { SettingsFile, VaultOrder } from '../contract.ts';
import { withProgress } from '../long-work.ts';

interface MoveFlags extends SettingsFile {
  readonly to?: string;
  readonly dryRun?: boolean;
}

/** Where sealed values lie. */
export function vaultCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'vault', 'where sealed values lie');
  addCommand<MoveFlags>(group, host, {
    usage: 'move',
    tells: 'move every sealed value between the database and Redis, as the ciphertext it is',
    example: 'GATEHOUSE_REDIS_URL=redis://redis.internal:6379 gatehouse vault move --to redis --dry-run',
    options: [
      ['--to <place>', 'redis or database (disk is its name on SQLite)'],
      ['--dry-run', 'only say what would be moved'],
      settingsFile,
    ],
    more: 'Servers that run refuse calls meanwhile; start them afterwards with the other GATEHOUSE_VAULT_BACKEND.\nCut short, repeat it. To turn back, name the place they came from.',
    action: move,
  });
}

const places: Readonly<Record<string, VaultOrder['to']>> = { redis: 'redis', database: 'database', disk: 'database' };

async function move(context: Context, _given: readonly string[], flags: MoveFlags): Promise<undefined> {
  const to = places[flags.to ?? ''];
  if (to === undefined) throw new Fault('invalid_usage', { hint: 'say where to with --to redis or --to database' });
  const { dryRun = false, envFile } = flags;
  const outcome = await withProgress(context, (onProgress) => context.bin.installation.moveVault({ to, dryRun, envFile, onProgress }));
  const { speech } = context;
  if (speech.json) {
    speech.value({ to, ...outcome });
    return undefined;
  }
  const { values, removed, sha256 } = outcome;
  switch (outcome.outcome) {
    case 'would move':
      speech.fact(`${values} values would be moved to ${to}; nothing was changed`);
      return undefined;
    case 'would tidy':
      speech.fact(`they lie on ${to}; ${removed} values would be removed from the other place`);
      return undefined;
    case 'tidied':
      speech.fact(`they lie on ${to}; ${removed} values were removed from the other place`);
      return undefined;
    case 'moved':
      speech.fact(`moved: ${values} values are equal in both places, and ${removed} were removed from the old one`);
      speech.fact(`sha256 ${sha256}`);
      speech.note(`start the server with GATEHOUSE_VAULT_BACKEND=${to}`);
      return undefined;
  }
}
