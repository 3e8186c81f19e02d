import type { Command } from 'commander';
import type { z } from 'zod';
import type { schemas } from '#api';
import type { WaitOptions } from '../asking.ts';
import { awaitConfirmation, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, printPages, timeOf } from '../listing.ts';
import { counted } from '../speech.ts';
import { first, parkedChange } from './agent.ts';

type Connection = z.output<typeof schemas.connectionView>;

/** Connected accounts. */
export function connectionCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'connections', 'accounts that are connected', ['connection']);
  addCommand<PagingOptions & { readonly provider?: string; readonly status?: string }>(group, host, {
    usage: 'list',
    tells: 'connections',
    example: 'gatehouse connections list --provider github',
    options: [
      ['--provider <provider>', 'of this provider'],
      ['--status <status>', 'connected, interrupted, needs_attention or disconnected'],
      ...pagingFlags,
    ],
    action: list,
  });
  addCommand(group, host, {
    usage: 'inspect <connection>',
    tells: 'one connection, by provider/name or id',
    example: 'gatehouse connections inspect github/work',
    action: inspect,
  });
  addCommand<WaitOptions>(group, host, {
    usage: 'set-default <connection>',
    tells: 'use it where no other is named, confirmed in the browser',
    example: 'gatehouse connections set-default github/work',
    options: waitFlags,
    action: setDefault,
  });
  addCommand<WaitOptions & { readonly stop?: boolean }>(group, host, {
    usage: 'share <connection>',
    tells: 'let everyone in the organization use it, confirmed in the browser',
    example: 'gatehouse connections share github/work',
    options: [['--stop', 'stop sharing, at once'], ...waitFlags],
    action: share,
  });
  addCommand<{ readonly preview?: boolean }>(group, host, {
    usage: 'disconnect <connection>',
    tells: 'stop using an account and revoke its credential upstream where that is possible',
    example: 'gatehouse connections disconnect github/work --preview',
    options: [['--preview', 'only tell what would end']],
    action: disconnect,
  });
}

/** `github` alone means its default. */
function referenceOf(text: string): string {
  return text.includes('/') || text.startsWith('con_') ? text : `${text}/default`;
}

export function nameOf(connection: Pick<Connection, 'provider' | 'name'>): string {
  return `${connection.provider}/${connection.name}`;
}

function list(
  context: Context,
  _given: readonly string[],
  flags: PagingOptions & { readonly provider?: string; readonly status?: string },
): Promise<undefined> {
  const filter = {
    ...(flags.provider === undefined ? {} : { provider: flags.provider }),
    ...(flags.status === undefined ? {} : { status: flags.status }),
  };
  const server = context.server();
  return printPages(context, flags, (query) => server.person.call('connection_list', { query: { ...query, ...filter } }), {
    heads: ['connection', 'status', 'account', 'default', 'shared', 'expires'],
    row: (connection) => [
      nameOf(connection),
      statusOf(connection),
      accountOf(connection),
      connection.is_default ? 'yes' : 'no',
      connection.shared ? 'yes' : 'no',
      timeOf(connection.expires_at),
    ],
    empty: 'nothing is connected yet; connect an account with: gatehouse login <provider>',
    after: async (items) => {
      const waits = items.some(({ status }) => status.kind === 'needs_attention');
      return waits ? `what needs you, and what to do: ${await server.issuer()}` : undefined;
    },
  });
}

function statusOf({ status }: Connection): string {
  return status.reason === undefined ? status.kind : `${status.kind}: ${status.reason}`;
}

function accountOf({ account }: Connection): string | undefined {
  return account.login ?? account.email ?? account.name ?? account.id ?? Object.values(account)[0];
}

async function inspect(context: Context, given: readonly string[]): Promise<undefined> {
  const connection = await context.server().person.call('connection_get', { params: { connection: referenceOf(first(given)) } });
  if (context.speech.json) context.speech.value(connection);
  else {
    const facts: readonly (readonly [string, string | undefined])[] = [
      ['connection', nameOf(connection)],
      ['id', connection.id],
      ['kind', connection.kind],
      ['status', statusOf(connection)],
      ['account', accountOf(connection)],
      ['scopes', connection.scopes.join(' ')],
      ['default', connection.is_default ? 'yes' : 'no'],
      ['shared', connection.shared ? 'yes' : 'no'],
      ['made', timeOf(connection.created_at)],
      ['refreshed', timeOf(connection.refreshed_at)],
      ['expires', timeOf(connection.expires_at)],
    ];
    context.speech.table(['what', 'is'], facts);
  }
  return undefined;
}

function show(context: Context, connection: Connection, line: string): undefined {
  if (context.speech.json) context.speech.value(connection);
  else context.speech.fact(line);
  return undefined;
}

async function setDefault(context: Context, given: readonly string[], flags: WaitOptions): Promise<undefined> {
  const connection = first(given);
  const answer = await context.server().person.ask('connection_default', { params: { connection } });
  if (answer.status === 200) return show(context, answer.body, `${nameOf(answer.body)} is the default already`);
  return parkedChange(context, flags, async () => answer.body, `${connection} is the default`);
}

async function share(context: Context, given: readonly string[], flags: WaitOptions & { readonly stop?: boolean }): Promise<undefined> {
  const server = context.server();
  const answer = await server.person.ask('connection_share', {
    params: { connection: referenceOf(first(given)) },
    body: { shared: flags.stop !== true },
  });
  if (answer.status === 200) return show(context, answer.body, `${nameOf(answer.body)} is ${answer.body.shared ? 'shared' : 'not shared'}`);
  const confirmed = await awaitConfirmation(context, server, answer.body, flags);
  if (context.speech.json) context.speech.value(confirmed);
  else context.speech.fact(confirmed.status === 'confirmed' ? 'shared' : 'not confirmed yet');
  return undefined;
}

/** Ends one connection, or tells what would end. */
export async function disconnect(context: Context, given: readonly string[], flags: { readonly preview?: boolean }): Promise<undefined> {
  const preview = flags.preview === true;
  const answer = await context.server().person.call('connection_end', {
    params: { connection: referenceOf(first(given)) },
    query: { preview: preview ? 'true' : 'false' },
  });
  if (context.speech.json) context.speech.value(answer);
  else {
    const upstream = {
      yes: ', revoked upstream',
      no: ', but not revoked upstream: do that at the provider',
      not_offered: ', the provider offers no revocation',
      preview: '',
    };
    context.speech.fact(
      `${nameOf(answer.connection)} ${preview ? 'would be' : 'is'} disconnected with ${counted(answer.permissions, 'permission')}${upstream[answer.revoked_upstream]}`,
    );
  }
  return undefined;
}
