import type { Command } from 'commander';
import { Fault } from '#kernel';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { timeOf } from '../listing.ts';
import { first } from './agent.ts';

/** What a person let OAuth clients do. */
export function grantCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'grant', 'what you let OAuth clients do', ['grants']);
  addCommand(group, host, {
    usage: 'list',
    tells: 'grants that stand, newest first',
    example: 'gatehouse grant list',
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

async function list(context: Context): Promise<undefined> {
  const { items } = await context.server().person.call('grant_list');
  if (context.speech.json) context.speech.value({ items });
  else if (items.length === 0) context.speech.note('no client has a grant of yours');
  else
    context.speech.table(
      ['grant', 'client', 'scopes', 'made', 'until'],
      items.map((grant) => [grant.id, grant.client_name, grant.scopes.join(' '), timeOf(grant.created_at), timeOf(grant.expires_at)]),
    );
  return undefined;
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
  const found = (await context.server().person.call('grant_list')).items.find((grant) => grant.id === id);
  if (found === undefined) throw new Fault('not_found');
  return found;
}
