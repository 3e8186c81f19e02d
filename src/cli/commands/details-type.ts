import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { schemas } from '#api';
import { Fault } from '#kernel';
import { type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, printPages } from '../listing.ts';
import { first, parkedChange } from './agent.ts';

/** Types of authorization details (RFC 9396) that clients may ask people for. */
export function detailsTypeCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'details-type', 'types of authorization details that clients may ask for', ['details-types']);
  addCommand<WaitOptions>(group, host, {
    usage: 'add <file>',
    tells: 'register a type from a JSON file: type, tells, and fields with kind, required, values and tells; confirmed in the browser',
    example: 'gatehouse details-type add payment.json',
    options: waitFlags,
    action: add,
  });
  addCommand<PagingOptions>(group, host, {
    usage: 'list',
    tells: 'registered types, with their fields',
    example: 'gatehouse details-type list --search payment',
    options: pagingFlags,
    action: list,
  });
  addCommand<{ readonly preview?: boolean }>(group, host, {
    usage: 'remove <type>',
    tells: 'remove a type: no request may hold it any more; what was granted goes on until it ends',
    example: 'gatehouse details-type remove payment_initiation --preview',
    options: [['--preview', 'only tell what would be removed']],
    action: remove,
  });
}

async function add(context: Context, given: readonly string[], flags: WaitOptions): Promise<undefined> {
  const body = readType(first(given));
  return parkedChange(context, flags, (server) => server.person.call('details_type_add', { body }), 'registered');
}

function readType(file: string) {
  try {
    return schemas.detailsType.parse(JSON.parse(readFileSync(resolve(file), 'utf8')));
  } catch (cause) {
    throw new Fault('invalid_usage', {
      cause,
      detail: 'The file is not a type of authorization details',
      hint: 'write JSON like: {"type":"payment","tells":"pay for you","fields":{"amount":{"kind":"number","required":true,"tells":"amount"}}}',
    });
  }
}

function list(context: Context, _given: readonly string[], options: PagingOptions): Promise<undefined> {
  return printPages(context, options, (query) => context.server().person.call('details_type_list', { query }), {
    heads: ['type', 'lets a client', 'fields'],
    row: ({ type, tells, fields }) => [type, tells, Object.keys(fields).join(' ')],
    empty: 'no types yet; register one with: gatehouse details-type add',
  });
}

async function remove(context: Context, given: readonly string[], { preview }: { readonly preview?: boolean }): Promise<undefined> {
  const query = { type: first(given), preview: preview === true ? ('true' as const) : ('false' as const) };
  const removed = await context.server().person.call('details_type_remove', { query });
  if (context.speech.json) context.speech.value(removed);
  else context.speech.fact(preview === true ? `would remove ${removed.type}: ${removed.tells}` : 'removed');
  return undefined;
}
