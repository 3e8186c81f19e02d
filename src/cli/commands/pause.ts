import type { Command } from 'commander';
import { addCommand, type CommandHost, settingsFile } from '../command.ts';
import type { Context } from '../context.ts';
import type { SettingsFile } from '../contract.ts';

/** Whether an installation may be served. For whoever has its settings and its master key. */
export function pauseCommands(program: Command, host: CommandHost): void {
  addCommand<SettingsFile>(program, host, {
    usage: 'resume',
    tells: 'let a copied or restored installation be served; ends every older session, run and token',
    example: 'gatehouse resume',
    options: [settingsFile],
    more: "Only once the original runs no more: two that serve the same accounts take each other's refresh tokens.\nA server that waits goes on by itself.",
    action: resume,
  });
  addCommand<SettingsFile>(program, host, {
    usage: 'pause',
    tells: 'let no server serve this installation that starts from now on; one that runs is to be stopped first',
    example: 'gatehouse pause',
    options: [settingsFile],
    action: pause,
  });
}

async function resume(context: Context, _given: readonly string[], flags: SettingsFile): Promise<undefined> {
  const outcome = await context.bin.installation.resume(flags);
  if (context.speech.json) context.speech.value(outcome);
  else if (!outcome.resumed) context.speech.fact('it is not paused; nothing was changed');
  else context.speech.fact(`resumed: ${outcome.sessions} sessions and ${outcome.runs} runs ended; sign in again`);
  return undefined;
}

async function pause(context: Context, _given: readonly string[], flags: SettingsFile): Promise<undefined> {
  const paused = await context.bin.installation.pause(flags);
  if (context.speech.json) context.speech.value({ paused: true, changed: paused });
  else context.speech.fact(paused ? 'paused: the next server to start waits for: gatehouse resume' : 'it is paused already');
  return undefined;
}
