import type { Command } from 'commander';
import { productionProblems, productionRules, settingLines } from '#config';
import { Fault } from '#kernel';
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
  const lines = settingLines(read(context, flags));
  if (context.speech.json) context.speech.value({ items: lines });
  else
    context.speech.table(
      ['variable', 'value', 'from'],
      lines.map((line) => [line.name, line.value, line.from]),
    );
  return undefined;
}

async function check(context: Context, _given: readonly string[], flags: ConfigFlags): Promise<undefined> {
  const { settings } = read(context, flags);
  const production = productionRules(settings, false);
  const fields = production ? productionProblems(settings) : {};
  if (Object.keys(fields).length > 0)
    throw new Fault('invalid_setting', {
      detail: 'The production rules refuse these settings',
      fields,
      hint: 'change them, then check again',
    });
  if (context.speech.json) context.speech.value({ good: true, production });
  else context.speech.fact(`the settings are good; production rules are ${production ? 'on' : 'off'}`);
  return undefined;
}
