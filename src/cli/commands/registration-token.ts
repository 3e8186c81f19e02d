import { createHash } from 'node:crypto';
import type { Command } from 'commander';
import { Fault } from '#kernel';
import { bearerValue } from '#oauth';
import { awaitConfirmation, type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, parseTime, printPages, timeOf } from '../listing.ts';
import { first } from './agent.ts';

interface AddFlags extends WaitOptions {
  readonly uses?: string;
  readonly expires?: string;
}

/** Tokens with which OAuth clients register themselves. */
export function registrationTokenCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'registration-token', 'tokens with which OAuth clients register themselves', ['registration-tokens']);
  addCommand<AddFlags>(group, host, {
    usage: 'add <name>',
    tells: 'make a token, confirmed in the browser and printed once',
    example: 'gatehouse registration-token add "Build farm" --uses 10 --expires 30d',
    options: [
      ['--uses <count>', 'how many clients may register with it; as many as they like unless given'],
      ['--expires <time>', 'when it ends: 90d, 12h or a date'],
      ...waitFlags,
    ],
    action: add,
  });
  addCommand<PagingOptions>(group, host, {
    usage: 'list',
    tells: 'tokens that were not ended',
    example: 'gatehouse registration-token list --search build',
    options: pagingFlags,
    action: list,
  });
  addCommand<{ readonly preview?: boolean }>(group, host, {
    usage: 'end <token>',
    tells: 'end a token at once; the clients that registered with it go on',
    example: 'gatehouse registration-token end rgt_01k8... --preview',
    options: [['--preview', 'only tell what would end']],
    action: end,
  });
}

/** The token is made here; the server learns its hash, and sees it first when a client uses it. */
async function add(context: Context, given: readonly string[], flags: AddFlags): Promise<undefined> {
  const server = context.server();
  const token = bearerValue();
  const body = {
    name: first(given),
    token_sha256: createHash('sha256').update(token.reveal()).digest('hex'),
    ...(flags.uses === undefined ? {} : { uses: usesOf(flags.uses) }),
    ...(flags.expires === undefined ? {} : { expires_at: parseTime(flags.expires, context.clock.now(), 1) }),
  };
  const { status, result } = await awaitConfirmation(context, server, await server.person.call('registration_token_add', { body }), flags);
  const id = result?.registration_token;
  if (context.speech.json) {
    context.speech.value({ status, ...(id === undefined ? {} : { id }), registration_token: token.reveal() });
    return undefined;
  }
  if (status !== 'confirmed') context.speech.fact('not confirmed yet');
  if (id !== undefined) context.speech.fact(`id     ${id}`);
  context.speech.fact(`token  ${token.reveal()}`);
  context.speech.note('keep the token now: it is shown this once');
  return undefined;
}

function usesOf(text: string): number {
  const uses = Number(text);
  if (!Number.isInteger(uses) || uses < 1 || uses > 1_000_000)
    throw new Fault('invalid_usage', { hint: '--uses takes a number from 1 to 1000000' });
  return uses;
}

function list(context: Context, _given: readonly string[], options: PagingOptions): Promise<undefined> {
  return printPages(context, options, (query) => context.server().person.call('registration_token_list', { query }), {
    heads: ['token', 'name', 'uses left', 'used', 'until', 'made'],
    row: (token) => [token.id, token.name, token.uses_left, timeOf(token.used_at), timeOf(token.expires_at), timeOf(token.created_at)],
    empty: 'no tokens; make one with: gatehouse registration-token add',
  });
}

async function end(context: Context, given: readonly string[], flags: { readonly preview?: boolean }): Promise<undefined> {
  const preview = flags.preview === true;
  const { person } = context.server();
  const params = { token: first(given) };
  const token = await person.call('registration_token_get', { params });
  if (!preview) await person.call('registration_token_end', { params });
  if (context.speech.json) context.speech.value({ token, ended: !preview });
  else context.speech.fact(`token ${token.name} ${preview ? 'would be' : 'is'} ended; the clients that registered with it go on`);
  return undefined;
}
