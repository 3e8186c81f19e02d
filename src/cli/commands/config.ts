import type { Command } from 'commander';
import { productionRules, settingLines } from '#config';
import { addCommand, addGroup, type CommandHost, settingsFile } from '../command.ts';
import type { Context } from '../context.ts';
import type { SettingsFile } from '../contract.ts';

/** Settings as the server would read them. */
export function configCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'config', 'settings, as the server reads them');
  addCommand<SettingsFile>(group, host, {
    usage: 'print',
    tells: 'every setting and where its value comes from; secrets are masked',
    example: 'gatehouse config print',
    options: [settingsFile],
    action: print,
  });
  addCommand<SettingsFile>(group, host, {
    usage: 'check',
    tells: 'say everything that is wrong with the settings',
    example: 'gatehouse config check',
    options: [settingsFile],
    action: check,
  });
}

async function print(context: Context, _given: readonly string[], flags: SettingsFile): Promise<undefined> {
  const settings = context.bin.readSettings({ ...flags, for: 'server' });
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

async function check(context: Context, _given: readonly string[], flags: SettingsFile): Promise<undefined> {
  const { settings, notices } = await context.bin.checkSettings(flags);
  const production = productionRules(settings, false);
  if (context.speech.json) context.speech.value({ good: true, production, notices });
  else context.speech.fact(`the settings are good; production rules are ${production ? 'on' : 'off'}`);
  for (const notice of notices) context.speech.note(notice);
  return undefined;
}
