import type { Command } from 'commander';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, printPages, timeOf } from '../listing.ts';
import { first } from './agent.ts';

interface ListFlags extends PagingOptions {
  readonly everybody?: boolean;
}

interface EndFlags {
  readonly preview?: boolean;
}

/** Where people are signed in. */
export function sessionCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'session', 'where you are signed in, or everybody is', ['sessions']);
  addCommand<ListFlags>(group, host, {
    usage: 'list',
    tells: 'sessions that stand, newest first: yours, or of everybody',
    example: 'gatehouse session list --everybody --search ada@',
    options: [['--everybody', 'of everybody, for administrators'], ...pagingFlags],
    action: list,
  });
  addCommand<EndFlags>(group, host, {
    usage: 'end <session>',
    tells: 'end a session and what hangs on it, at once; its applications are told',
    example: 'gatehouse session end ses_01k8... --preview',
    options: [['--preview', 'say what would end, and end nothing']],
    action: end,
  });
}

async function list(context: Context, _: readonly string[], flags: ListFlags): Promise<undefined> {
  const { person } = context.server();
  const of = flags.everybody === true ? 'everybody' : 'me';
  return printPages(context, flags, (query) => person.call('session_list', { query: { ...query, of } }), {
    heads: ['session', 'person', 'kind', 'where', 'last seen', 'until'],
    row: (one) => [one.id, one.user, one.kind.replace('_', ' '), one.label, timeOf(one.last_seen_at), timeOf(one.expires_at)],
    empty: 'nobody is signed in',
  });
}

async function end(context: Context, given: readonly string[], flags: EndFlags): Promise<undefined> {
  const { person } = context.server();
  const session = first(given);
  if (flags.preview === true) {
    const found = await person.call('session_get', { params: { session } });
    if (context.speech.json) context.speech.value(found);
    else {
      context.speech.fact(`would end        the session of ${found.user}, last seen ${timeOf(found.last_seen_at)}`);
      context.speech.fact(`grants that end  ${found.ends.grants}`);
      context.speech.fact(`would be told    ${found.ends.clients.join(', ') || 'nobody'}`);
    }
    return undefined;
  }
  await person.call('session_end', { params: { session } });
  if (context.speech.json) context.speech.value({});
  else context.speech.fact('ended');
  return undefined;
}
