import type { ReadSettings, Source } from './read.ts';
import { type SettingKey, type SettingRow, settingsTable } from './settings.ts';

type PlainRow = Omit<SettingRow, 'schema'>;

const rows: readonly (readonly [SettingKey, PlainRow])[] = Object.entries(settingsTable) as unknown as readonly [SettingKey, PlainRow][];

/** The text of `.env.example`: every setting of the server and of commands, commented out. */
export function envExample(): string {
  const lines = rows
    .filter(([, row]) => row.readers.includes('server') || row.readers.includes('command'))
    .map(([, row]) => `# ${row.tells}${row.unsafe ? ' (unsafe)' : ''}\n# ${row.env}=${row.example}\n`);
  return `# Settings of Gatehouse. Generated from src/config/settings.ts by npm run generate.\n# Read from the data folder (GATEHOUSE_HOME/.env) or --env-file, never from the folder in which a command was typed.\n\n${lines.join('\n')}`;
}

/** The reference page of settings, in Markdown. */
export function settingsReference(): string {
  const lines = rows.map(([, row]) => {
    const marks = [row.secret ? 'secret' : '', row.unsafe ? 'unsafe' : ''].filter((mark) => mark !== '').join(', ');
    const aliases = (row.aliases ?? [])
      .map(({ name, with: system, last }) => `\`${name}\`${system === undefined ? '' : ` (${system})`}${last ? ' (last)' : ''}`)
      .join(', ');
    return `| \`${row.env}\` | ${row.tells.replaceAll('|', '\\|')} | ${row.example === '' ? '' : `\`${row.example}\``} | ${row.readers.join(', ')} | ${marks} | ${aliases} |`;
  });
  return [
    '# Settings',
    '',
    'Generated from `src/config/settings.ts` by `npm run generate`. A secret may also be given as `NAME_FILE`, a path to a file that holds it.',
    'An alias with a system in brackets is read only when `GATEHOUSE_COMPAT` names that system, one marked last only where no other name is set. Aliases are read by `serve`, by commands that open the database themselves and by the library; the own name wins. An unknown `GATEHOUSE_*` variable is an error.',
    '',
    '| Variable | What | Example | Read by | Marks | Aliases |',
    '|---|---|---|---|---|---|',
    ...lines,
    '',
  ].join('\n');
}

/** What `config print` shows: one line a setting, secrets masked. */
export function settingLines(
  read: ReadSettings,
): readonly { readonly key: SettingKey; readonly name: string; readonly value: string; readonly from: string }[] {
  return rows.map(([key, row]) => ({
    key,
    name: row.env,
    value: shown(read.settings[key], row.secret === true),
    from: origin(read.sources[key], row.env),
  }));
}

/** With the name it had there, where that is another one. */
function origin({ name, from }: Source, own: string): string {
  return name === own ? from : `${from}: ${name}`;
}

function shown(value: unknown, secret: boolean): string {
  if (value === undefined) return '';
  if (secret) return '[secret]';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
