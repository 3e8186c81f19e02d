import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type ParseError, parse } from 'jsonc-parser';
import { Fault } from '#kernel';
import { readInput, type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, printPages } from '../listing.ts';
import { first, parkedChange } from './agent.ts';
import { nameOf } from './connections.ts';

interface ClientFlags extends WaitOptions {
  readonly clientId?: string;
  readonly secretStdin?: boolean;
}

/** Definitions of upstream services. */
export function providerCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'provider', 'services that accounts can be connected at', ['providers']);
  addCommand<PagingOptions>(group, host, {
    usage: 'list',
    tells: 'providers',
    example: 'gatehouse provider list --search git',
    options: pagingFlags,
    action: list,
  });
  addCommand(group, host, {
    usage: 'inspect <provider>',
    tells: 'one provider: hosts, flows, variables, operations',
    example: 'gatehouse provider inspect github',
    action: inspect,
  });
  addCommand<WaitOptions>(group, host, {
    usage: 'register <file>',
    tells: 'add a definition of your own from a JSON or JSONC file (- is standard input), confirmed in the browser',
    example: 'gatehouse provider register ./internal-api.json',
    options: waitFlags,
    action: register,
  });
  addCommand<WaitOptions>(group, host, {
    usage: 'remove <provider>',
    tells: 'remove a definition of your own, confirmed in the browser',
    example: 'gatehouse provider remove internal-api',
    options: waitFlags,
    action: (context, given, flags) =>
      parkedChange(context, flags, (server) => server.person.call('provider_remove', { params: { provider: first(given) } }), 'removed'),
  });
  addCommand<{ readonly preview?: boolean }>(group, host, {
    usage: 'revoke <provider>',
    tells: 'disconnect every account at a provider',
    example: 'gatehouse provider revoke github --preview',
    options: [['--preview', 'only tell what would end']],
    action: revoke,
  });
  addCommand<ClientFlags>(group, host, {
    usage: 'client <provider>',
    tells: 'store the OAuth client you registered at the provider, confirmed in the browser',
    example: 'gatehouse provider client github --client-id Iv1.abc --secret-stdin < secret.txt',
    options: [
      ['--client-id <id>', 'the id the provider gave you'],
      ['--secret-stdin', 'read its secret from standard input'],
      ...waitFlags,
    ],
    action: client,
  });
}

function list(context: Context, _given: readonly string[], options: PagingOptions): Promise<undefined> {
  return printPages(context, options, (query) => context.server().person.call('provider_list', { query }), {
    heads: ['provider', 'name', 'flows', 'source', 'note'],
    row: (provider) => [
      provider.id,
      provider.name,
      provider.flows.join(', '),
      provider.source,
      provider.unsupported === undefined ? undefined : 'not supported yet',
    ],
    empty: 'nothing found',
  });
}

async function inspect(context: Context, given: readonly string[]): Promise<undefined> {
  const provider = await context.server().person.call('provider_get', { params: { provider: first(given) } });
  if (context.speech.json) {
    context.speech.value(provider);
    return undefined;
  }
  const hosts = provider.hosts.map(({ host, port, path }) => `${host}${port === 443 ? '' : `:${port}`}${path ?? ''}`);
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['provider', provider.id],
    ['name', provider.name],
    ['source', provider.source],
    ['hosts', hosts.join(', ')],
    ['flows', provider.flows.join(', ')],
    ['scopes', provider.scopes.join(' ')],
    ['variables', provider.variables.join(', ')],
    ['own client', provider.has_client ? 'yes' : 'no'],
    ['documentation', provider.documentation],
    ['not supported', provider.unsupported],
  ];
  context.speech.table(['what', 'is'], facts);
  if (provider.operations.length > 0) {
    context.speech.fact('');
    context.speech.table(
      ['operation', 'classes', 'does'],
      provider.operations.map((operation) => [operation.id, operation.classes.join(', '), operation.title]),
    );
  }
  return undefined;
}

async function register(context: Context, given: readonly string[], flags: WaitOptions): Promise<undefined> {
  const definition = parseDefinition(await textOf(context, first(given)));
  return parkedChange(context, flags, (server) => server.person.call('provider_register', { body: { definition } }), 'registered');
}

async function textOf(context: Context, file: string): Promise<string> {
  if (file === '-') return readInput(context);
  try {
    return readFileSync(resolve(context.io.cwd, file), 'utf8');
  } catch (cause) {
    throw new Fault('provider_invalid', { detail: 'The file cannot be read', hint: 'check its path', cause });
  }
}

function parseDefinition(text: string): Record<string, unknown> {
  const errors: ParseError[] = [];
  const value: unknown = parse(text, errors, { allowTrailingComma: true });
  if (errors.length > 0 || typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Fault('provider_invalid', {
      detail: `The file is not a JSON object${errors[0] === undefined ? '' : ` (at character ${errors[0].offset})`}`,
      hint: 'write it as in docs/providers.md',
    });
  }
  return value as Record<string, unknown>;
}

async function revoke(context: Context, given: readonly string[], flags: { readonly preview?: boolean }): Promise<undefined> {
  const server = context.server();
  const provider = first(given);
  const ended: { readonly connection: string; readonly permissions: number; readonly revoked_upstream: string }[] = [];
  await server.person.call('provider_get', { params: { provider } });
  const { items } = await server.person.call('connection_list', { query: { provider, limit: 200 } });
  for (const { id } of items) {
    const query = { preview: flags.preview ? ('true' as const) : ('false' as const) };
    const answer = await server.person.call('connection_end', { params: { connection: id }, query });
    ended.push({ connection: nameOf(answer.connection), permissions: answer.permissions, revoked_upstream: answer.revoked_upstream });
  }
  if (context.speech.json) context.speech.value({ items: ended });
  else if (ended.length === 0) context.speech.note('nothing is connected there');
  else
    context.speech.table(
      ['connection', 'permissions', 'revoked upstream'],
      ended.map((row) => [row.connection, row.permissions, row.revoked_upstream]),
    );
  return undefined;
}

async function client(context: Context, given: readonly string[], flags: ClientFlags): Promise<undefined> {
  if (flags.clientId === undefined) throw new Fault('invalid_usage', { hint: 'give --client-id' });
  const provider = first(given);
  const secret = flags.secretStdin ? await readInput(context, 4096) : undefined;
  const body = { client_id: flags.clientId, ...(secret === undefined ? {} : { client_secret: secret }) };
  const done = `${provider} uses your client; connect next: gatehouse login ${provider}`;
  return parkedChange(context, flags, (server) => server.person.call('provider_client', { params: { provider }, body }), done);
}
