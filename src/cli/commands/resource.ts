import type { Command } from 'commander';
import type { z } from 'zod';
import { type schemas, tokenFormatNames } from '#api';
import { Fault } from '#kernel';
import { tokenAlgorithmNames } from '#oauth';
import { type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, printPages, timeOf } from '../listing.ts';
import { first, parkedChange } from './agent.ts';
import { oneOf } from './client.ts';

type Resource = z.output<typeof schemas.resourceView>;

interface AddFlags extends WaitOptions {
  readonly name?: string;
  readonly format: string;
  readonly signing: string;
  readonly anyClient?: boolean;
  readonly scope: readonly string[];
}

/** APIs and MCP servers that tokens are for. */
export function resourceCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'resource', 'APIs and MCP servers that tokens are for', ['resources']);
  addCommand<AddFlags>(group, host, {
    usage: 'add <identifier>',
    tells: 'register a resource by its exact identifier, confirmed in the browser',
    example: 'gatehouse resource add https://mcp.example.com/mcp --name "Our tools" --any-client --scope "tools:read=read your files"',
    options: [
      ['--name <name>', 'what people are told it is called; else its identifier'],
      ['--format <format>', `of its access tokens: ${tokenFormatNames.join(' or ')}`, 'jwt'],
      ['--signing <algorithm>', `of its JWTs: ${tokenAlgorithmNames.join(', ')}`, 'ES256'],
      ['--any-client', 'every client may ask people for it; else only clients registered with --resource'],
      ...waitFlags,
    ],
    lists: [['--scope <scope=words>', 'a scope, and the end of "it will be able to ..."']],
    action: add,
  });
  addCommand<PagingOptions>(group, host, {
    usage: 'list',
    tells: 'registered resources',
    example: 'gatehouse resource list --search mcp',
    options: pagingFlags,
    action: list,
  });
  addCommand(group, host, {
    usage: 'show <resource>',
    tells: 'one resource, by id or identifier, with the words of its scopes',
    example: 'gatehouse resource show https://mcp.example.com/mcp',
    action: show,
  });
  changing(group, host);
  addCommand<{ readonly preview?: boolean }>(group, host, {
    usage: 'remove <resource>',
    tells: 'remove a resource: no new token is for it, unless a client names it itself',
    example: 'gatehouse resource remove https://mcp.example.com/mcp --preview',
    options: [['--preview', 'only tell what would be removed']],
    action: remove,
  });
}

function changing(group: Command, host: CommandHost): void {
  addCommand<ChangeFlags>(group, host, {
    usage: 'change <resource>',
    tells: 'change the name, token format, algorithm or openness of a resource, confirmed in the browser',
    example: 'gatehouse resource change https://mcp.example.com/mcp --format opaque',
    options: [
      ['--name <name>', 'what people are told it is called'],
      ['--format <format>', `of its access tokens: ${tokenFormatNames.join(' or ')}`],
      ['--signing <algorithm>', `of its JWTs: ${tokenAlgorithmNames.join(', ')}`],
      ['--any-client', 'every client may ask people for it'],
      ['--own-clients', 'only clients registered with --resource'],
      ...waitFlags,
    ],
    action: change,
  });
  addCommand<WaitOptions & { readonly remove?: boolean }>(group, host, {
    usage: 'scope <resource> <scope> [words]',
    tells: 'give a resource a scope, or a scope other words, confirmed in the browser',
    example: 'gatehouse resource scope https://mcp.example.com/mcp tools:write "change your files"',
    options: [['--remove', 'take the scope away instead'], ...waitFlags],
    action: scope,
  });
}

async function add(context: Context, given: readonly string[], flags: AddFlags): Promise<undefined> {
  const identifier = first(given);
  const body = {
    identifier,
    name: flags.name ?? identifier.slice(0, 100),
    scopes: flags.scope.map(scopeOf),
    token_format: oneOf('--format', flags.format, tokenFormatNames),
    signing: oneOf('--signing', flags.signing, tokenAlgorithmNames),
    open: flags.anyClient === true,
  };
  return parkedChange(context, flags, (server) => server.person.call('resource_add', { body }), 'registered');
}

function scopeOf(text: string): { readonly name: string; readonly tells: string } {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1)
    throw new Fault('invalid_usage', { hint: 'write a scope with its words: --scope "things:read=read your things"' });
  return { name: text.slice(0, at), tells: text.slice(at + 1) };
}

interface ChangeFlags extends WaitOptions {
  readonly name?: string;
  readonly format?: string;
  readonly signing?: string;
  readonly anyClient?: boolean;
  readonly ownClients?: boolean;
}

async function change(context: Context, given: readonly string[], flags: ChangeFlags): Promise<undefined> {
  const { name, format, signing, anyClient, ownClients } = flags;
  if (anyClient && ownClients) throw new Fault('invalid_usage', { hint: 'give --any-client or --own-clients, not both' });
  return changed(context, first(given), flags, {
    ...(name === undefined ? {} : { name }),
    ...(format === undefined ? {} : { token_format: oneOf('--format', format, tokenFormatNames) }),
    ...(signing === undefined ? {} : { signing: oneOf('--signing', signing, tokenAlgorithmNames) }),
    ...(anyClient || ownClients ? { open: anyClient === true } : {}),
  });
}

async function scope(context: Context, given: readonly string[], flags: WaitOptions & { readonly remove?: boolean }): Promise<undefined> {
  const [resource = '', name = '', tells] = given;
  if ((tells === undefined) !== (flags.remove === true))
    throw new Fault('invalid_usage', { hint: 'give the words of the scope, or --remove' });
  return changed(context, resource, flags, ({ scopes }) => ({
    scopes: [...scopes.filter((one) => one.name !== name), ...(tells === undefined ? [] : [{ name, tells }])],
  }));
}

type Changes = Partial<Pick<Resource, 'name' | 'scopes' | 'token_format' | 'signing' | 'open'>>;

/** Asks for the resource as it is now with these changes; one that somebody changed meanwhile is refused. */
async function changed(
  context: Context,
  resource: string,
  flags: WaitOptions,
  changes: Changes | ((now: Resource) => Changes),
): Promise<undefined> {
  const call = async (server: ReturnType<Context['server']>) => {
    const now = await server.person.call('resource_get', { params: { resource } });
    const { id, identifier: _identifier, created_at: _made, ...rest } = now;
    const body = { ...rest, ...(typeof changes === 'function' ? changes(now) : changes) };
    return server.person.call('resource_change', { params: { resource: id }, body });
  };
  return parkedChange(context, flags, call, 'changed');
}

function list(context: Context, _given: readonly string[], options: PagingOptions): Promise<undefined> {
  return printPages(context, options, (query) => context.server().person.call('resource_list', { query }), {
    heads: ['identifier', 'name', 'tokens', 'any client', 'scopes'],
    row: (one) => [one.identifier, one.name, formOf(one), one.open ? 'yes' : 'no', one.scopes.map(({ name }) => name).join(' ')],
    empty: 'no resources yet; register one with: gatehouse resource add',
  });
}

function formOf({ token_format, signing }: Resource): string {
  return token_format === 'opaque' ? 'opaque' : `${token_format} ${signing}`;
}

async function show(context: Context, given: readonly string[]): Promise<undefined> {
  tell(context, await context.server().person.call('resource_get', { params: { resource: first(given) } }));
  return undefined;
}

function tell({ speech }: Context, resource: Resource): void {
  if (speech.json) {
    speech.value(resource);
    return;
  }
  const { id, identifier, name, open, created_at, scopes } = resource;
  const facts = { id, identifier, name, tokens: formOf(resource), any_client: open ? 'yes' : 'no', created_at: timeOf(created_at) };
  for (const [label, value] of Object.entries(facts)) speech.fact(`${label}: ${value}`);
  for (const one of scopes) speech.fact(`scope ${one.name}: ${one.tells}`);
}

async function remove(context: Context, given: readonly string[], flags: { readonly preview?: boolean }): Promise<undefined> {
  const preview = flags.preview === true;
  const query = { preview: preview ? 'true' : 'false' } as const;
  const resource = await context.server().person.call('resource_remove', { params: { resource: first(given) }, query });
  if (context.speech.json) context.speech.value(resource);
  else context.speech.fact(`${resource.identifier} ${preview ? 'would be' : 'is'} removed`);
  return undefined;
}
