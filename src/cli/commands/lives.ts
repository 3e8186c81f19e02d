import type { Command } from 'commander';
import { lifeBounds, lifeNames } from '#api';
import { Fault } from '#kernel';
import { type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { parkedChange } from './agent.ts';
import { livesGiven } from './client.ts';

/** How long what our authorization server issues lives. */
export function livesCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'lives', 'how long tokens live', []);
  addCommand(group, host, {
    usage: 'show',
    tells: 'how long everything lives for this organization, in seconds',
    example: 'gatehouse lives show',
    action: show,
  });
  addCommand<WaitOptions & { readonly usual?: boolean }>(group, host, {
    usage: 'set [life...]',
    tells: 'change how long something lives, confirmed in the browser; what is not named stays',
    example: 'gatehouse lives set access_token=30m refresh_idle=30d',
    options: [['--usual', 'what is not named lives as usual again'], ...waitFlags],
    action: set,
  });
}

async function show(context: Context): Promise<undefined> {
  const own = await context.server().person.call('lives_get', {});
  if (context.speech.json) {
    context.speech.value(own);
    return undefined;
  }
  for (const name of lifeNames) {
    const { usual, least, most, tells } = lifeBounds[name];
    context.speech.fact(`${name}: ${own[name] ?? usual} (${tells}; ${least} to ${most}${own[name] === undefined ? '; not set' : ''})`);
  }
  return undefined;
}

async function set(context: Context, given: readonly string[], flags: WaitOptions & { readonly usual?: boolean }): Promise<undefined> {
  const lives = livesGiven(given);
  if (Object.keys(lives).length === 0 && flags.usual !== true)
    throw new Fault('invalid_usage', { hint: 'name what to change, as access_token=30m, or say --usual' });
  const before = flags.usual === true ? {} : await context.server().person.call('lives_get', {});
  const body = { ...before, ...lives };
  return parkedChange(context, flags, (server) => server.person.call('lives_change', { body }), 'changed');
}
