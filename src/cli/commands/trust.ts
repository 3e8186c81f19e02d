import type { Command } from 'commander';
import type { z } from 'zod';
import type { schemas } from '#api';
import { Fault } from '#kernel';
import { type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, printPages, timeOf } from '../listing.ts';
import { first, parkedChange } from './agent.ts';
import { keysOf } from './client.ts';

type Trust = z.output<typeof schemas.trustView>;

interface AddFlags extends WaitOptions {
  readonly client: string;
  readonly user?: string;
  readonly jwks?: string;
  readonly jwksUri?: string;
  readonly subject: readonly string[];
  readonly claim: readonly string[];
}

/** Issuers whose assertions OAuth clients present for tokens, so that workloads need no secret. */
export function trustCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'trust', 'issuers whose assertions clients may present for tokens', ['trusts']);
  addCommand<AddFlags>(group, host, {
    usage: 'add <issuer>',
    tells: 'take assertions of an issuer for tokens of a client, confirmed in the browser',
    example: 'gatehouse trust add https://token.actions.githubusercontent.com --client clt_01k8... --subject "repo:acme/app:*"',
    options: [
      ['--client <client>', 'who may present them; registered with --grant jwt-bearer'],
      ['--user <person>', 'in whose name the tokens are, by e-mail address; else the client itself'],
      ['--jwks <file>', 'its public keys; else they are fetched'],
      ['--jwks-uri <url>', 'where its keys are; else where its discovery document says'],
      ...waitFlags,
    ],
    lists: [
      ['--subject <subject>', 'a whole subject, or its beginning up to : or / and then *'],
      ['--claim <name=value>', 'a claim that must have exactly this value'],
    ],
    action: add,
  });
  addCommand<PagingOptions>(group, host, {
    usage: 'list',
    tells: 'trusted issuers',
    example: 'gatehouse trust list --search github',
    options: pagingFlags,
    action: list,
  });
  addCommand(group, host, {
    usage: 'show <trust>',
    tells: 'one trusted issuer',
    example: 'gatehouse trust show tri_01k8...',
    action: show,
  });
  addCommand<{ readonly preview?: boolean }>(group, host, {
    usage: 'remove <trust>',
    tells: 'take no more assertions of it; tokens that are out end by their time',
    example: 'gatehouse trust remove tri_01k8... --preview',
    options: [['--preview', 'only tell what would be removed']],
    action: remove,
  });
}

async function add(context: Context, given: readonly string[], flags: AddFlags): Promise<undefined> {
  if (flags.client === undefined) throw new Fault('invalid_usage', { hint: 'name the client with --client' });
  if (flags.subject.length === 0) throw new Fault('invalid_usage', { hint: 'name the subjects with --subject' });
  const body = {
    issuer: first(given),
    client: flags.client,
    subjects: [...flags.subject],
    claims: Object.fromEntries(flags.claim.map(claimOf)),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(flags.jwks === undefined ? {} : { jwks: keysOf(flags.jwks) }),
    ...(flags.jwksUri === undefined ? {} : { jwks_uri: flags.jwksUri }),
  };
  return parkedChange(context, flags, (server) => server.person.call('trust_add', { body }), 'trusted; see: gatehouse trust list');
}

function claimOf(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new Fault('invalid_usage', { hint: 'write a claim with its value: --claim environment=production' });
  return [text.slice(0, at), text.slice(at + 1)];
}

function list(context: Context, _given: readonly string[], options: PagingOptions): Promise<undefined> {
  return printPages(context, options, (query) => context.server().person.call('trust_list', { query }), {
    heads: ['trust', 'issuer', 'subjects', 'client', 'in the name of', 'made'],
    row: (one) => [one.id, one.issuer, one.subjects.join(' '), one.client, one.user ?? 'the client', timeOf(one.created_at)],
    empty: 'no other issuer is trusted; trust one with: gatehouse trust add',
  });
}

async function show(context: Context, given: readonly string[]): Promise<undefined> {
  const trust = await context.server().person.call('trust_get', { params: { trust: first(given) } });
  if (context.speech.json) context.speech.value(trust);
  else for (const [label, value] of Object.entries(factsOf(trust))) context.speech.fact(`${label}: ${value}`);
  return undefined;
}

function factsOf({ subjects, claims, created_at, keys, jwks_uri, ...trust }: Trust): Readonly<Record<string, string | undefined>> {
  const wanted = Object.fromEntries(Object.entries(claims).map(([name, value]) => [`claim ${name}`, value]));
  return { ...trust, keys: jwks_uri ?? keys, subjects: subjects.join(' '), ...wanted, created_at: timeOf(created_at) };
}

async function remove(context: Context, given: readonly string[], flags: { readonly preview?: boolean }): Promise<undefined> {
  const preview = flags.preview === true;
  const query = { preview: preview ? 'true' : 'false' } as const;
  const trust = await context.server().person.call('trust_remove', { params: { trust: first(given) }, query });
  if (context.speech.json) context.speech.value(trust);
  else context.speech.fact(`${trust.issuer} ${preview ? 'would be' : 'is'} trusted no more for ${trust.subjects.join(' ')}`);
  return undefined;
}
