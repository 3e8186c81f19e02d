import type { Command } from 'commander';
import { productionRules, settingLines } from '#config';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';

interface ConfigFlags {
  readonly envFile?: string;
}

const options: readonly (readonly [string, string])[] = [['--env-file <file>', 'read this file instead of .env in the data folder']];

/** Settings as the server would read them. */
export function configCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'config', 'settings, as the server reads them');
  addCommand<ConfigFlags>(group, host, {
    usage: 'print',
    tells: 'every setting and where its value comes from; secrets are masked',
    example: 'gatehouse config print',
    options,
    action: print,
  });
  addCommand<ConfigFlags>(group, host, {
    usage: 'check',
    tells: 'say everything that is wrong with the settings',
    example: 'gatehouse config check',
    options,
    action: check,
  });
}

function read(context: Context, flags: ConfigFlags) {
  return context.bin.readSettings({ for: 'server', ...(flags.envFile === undefined ? {} : { envFile: flags.envFile }) });
}

async function print(context: Context, _given: readonly string[], flags: ConfigFlags): Promise<undefined> {
  const settings = read(context, flags);
  const lines = settingLines(settings);
  if (context.speech.json) context.speech.value({ items: lines, notices: settings.notices });
  else
    context.speech.table(
      ['variable', 'value', 'from'],
      lines.map((line) => [line.name, line.value, line.from]),
    );
  for (const notice of settings.notices) context.speech.note(notice);
  return undefined;
}

async function check(context: Context, _given: readonly string[], { envFile }: ConfigFlags): Promise<undefined> {
  const { settings, notices } = await context.bin.checkSettings({ envFile });
  const production = productionRules(settings, false);
  if (context.speech.json) context.speech.value({ good: true, production, notices });
  else context.speech.fact(`the settings are good; production rules are ${production ? 'on' : 'off'}`);
  for (const notice of notices) context.speech.note(notice);
  return undefined;
}
