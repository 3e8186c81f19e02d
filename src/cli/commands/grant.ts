import type { Command } from 'commander';
import { Fault } from '#kernel';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, printPages, timeOf } from '../listing.ts';
import { first } from './agent.ts';

/** What a person let OAuth clients do. */
export function grantCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'grant', 'what you let OAuth clients do', ['grants']);
  addCommand<PagingOptions>(group, host, {
    usage: 'list',
    tells: 'grants that stand, newest first',
    example: 'gatehouse grant list --search calendar',
    options: pagingFlags,
    action: list,
  });
  addCommand<{ readonly preview?: boolean }>(group, host, {
    usage: 'end <grant>',
    tells: 'end a grant and every token below it, at once; the client asks you anew the next time',
    example: 'gatehouse grant end grt_01k8... --preview',
    options: [['--preview', 'only tell what would end']],
    action: end,
  });
}

function list(context: Context, _given: readonly string[], options: PagingOptions): Promise<undefined> {
  return printPages(context, options, (query) => context.server().person.call('grant_list', { query }), {
    heads: ['grant', 'client', 'scopes', 'made', 'until'],
    row: (grant) => [grant.id, grant.client_name, grant.scopes.join(' '), timeOf(grant.created_at), timeOf(grant.expires_at)],
    empty: 'no client has a grant of yours',
  });
}

async function end(context: Context, given: readonly string[], { preview }: { readonly preview?: boolean }): Promise<undefined> {
  const { person } = context.server();
  const id = first(given);
  if (preview !== true) await person.call('grant_end', { params: { grant: id } });
  const grant = preview === true ? await standing(context, id) : undefined;
  if (context.speech.json) context.speech.value(grant === undefined ? {} : { grant, ended: false });
  else context.speech.fact(grant === undefined ? 'ended' : `the grant of ${grant.client_name} would be ended, with every token below it`);
  return undefined;
}

async function standing(context: Context, id: string) {
  const { items } = await context.server().person.call('grant_list', { query: { text: id, limit: 1 } });
  const found = items.find((grant) => grant.id === id);
  if (found === undefined) throw new Fault('not_found');
  return found;
}
