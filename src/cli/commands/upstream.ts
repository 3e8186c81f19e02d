import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { upstreamKinds } from '#api';
import { Fault } from '#kernel';
import { readInput, type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, printPages } from '../listing.ts';
import { first, parkedChange } from './agent.ts';
import { oneOf } from './client.ts';

interface AddFlags extends WaitOptions {
  readonly kind?: string;
  readonly label?: string;
  readonly issuer?: string;
  readonly tenant?: string;
  readonly clientId?: string;
  readonly secretStdin?: boolean;
  readonly secretEnv?: string;
  readonly appleKey?: string;
  readonly appleTeam?: string;
  readonly appleKeyId?: string;
  readonly scope: readonly string[];
  readonly trust: readonly string[];
  readonly signUp?: boolean;
}

/** Identity providers that people sign in through. */
export function upstreamCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'upstream', 'identity providers that people sign in through', ['upstreams']);
  addCommand<AddFlags>(group, host, {
    usage: 'add <name>',
    tells:
      'let people sign in through an identity provider, confirmed in the browser; one of that name gets this client and these settings',
    example: 'gatehouse upstream add github --client-id Iv23li... --secret-stdin --trust example.com < secret.txt',
    options: [
      ['--kind <kind>', `${upstreamKinds.join(', ')}; without it, what the name says, else oidc`],
      ['--issuer <url>', 'of an OpenID provider, as its discovery document names it; or of your own GitHub or GitLab'],
      ['--tenant <id>', 'of Microsoft: the tenant whose people may come'],
      ['--client-id <id>', 'the client you registered there; without it, the one that the operator set'],
      ['--secret-stdin', 'read its secret from standard input'],
      ['--secret-env <name>', 'read its secret from this environment variable'],
      ['--apple-key <file>', 'the key (.p8) that Apple gave you'],
      ['--apple-team <id>', 'your team at Apple'],
      ['--apple-key-id <id>', 'the id of that key'],
      ['--label <text>', 'what the button says'],
      ['--sign-up', 'a first sign-in with a trusted address makes a user; else only people who are here can come'],
      ...waitFlags,
    ],
    lists: [
      ['--trust <domain>', 'believe it about addresses of this mail domain; * of everybody who is new'],
      ['--scope <scope>', 'ask for this too'],
    ],
    action: add,
  });
  addCommand<PagingOptions>(group, host, {
    usage: 'list',
    tells: 'identity providers',
    example: 'gatehouse upstream list --search okta',
    options: pagingFlags,
    action: list,
  });
  addCommand(group, host, {
    usage: 'show <name>',
    tells: 'one identity provider, with the redirect URI to register there',
    example: 'gatehouse upstream show github',
    action: show,
  });
  addCommand(group, host, {
    usage: 'test <name>',
    tells: 'ask it anew: metadata, keys and client',
    example: 'gatehouse upstream test github',
    action: test,
  });
  addCommand<{ readonly preview?: boolean }>(group, host, {
    usage: 'remove <name>',
    tells: 'remove it at once, with every account that is linked through it, and sign these people out',
    example: 'gatehouse upstream remove github --preview',
    options: [['--preview', 'only tell what would end']],
    action: remove,
  });
}

async function add(context: Context, given: readonly string[], flags: AddFlags): Promise<undefined> {
  const name = first(given);
  const kind = oneOf('--kind', flags.kind ?? upstreamKinds.find((one) => one === name) ?? 'oidc', upstreamKinds);
  const issuer = flags.tenant === undefined ? flags.issuer : `https://login.microsoftonline.com/${flags.tenant}/v2.0`;
  const body = {
    ...{ name, kind, scopes: [...flags.scope], domains: [...flags.trust], sign_up: flags.signUp === true },
    ...(flags.label === undefined ? {} : { label: flags.label }),
    ...(issuer === undefined ? {} : { issuer }),
    ...(flags.clientId === undefined ? {} : { client_id: flags.clientId }),
    ...(await proofOf(context, flags)),
  };
  const done = `people can sign in through ${name}; try it: gatehouse upstream test ${name}`;
  return parkedChange(context, flags, (server) => server.person.call('upstream_add', { body }), done);
}

/** A secret never stands in the arguments, where every program of this machine could read it. */
async function proofOf(context: Context, flags: AddFlags) {
  if (flags.appleKey !== undefined) {
    if (flags.appleTeam === undefined || flags.appleKeyId === undefined)
      throw new Fault('invalid_usage', { hint: 'give --apple-team and --apple-key-id with --apple-key' });
    return { apple_key: { team_id: flags.appleTeam, key_id: flags.appleKeyId, private_key: keyOf(context, flags.appleKey) } };
  }
  if (flags.secretStdin === true) return { client_secret: await readInput(context, 4096) };
  if (flags.secretEnv === undefined) return {};
  const secret = context.io.env[flags.secretEnv];
  if (secret === undefined || secret === '') throw new Fault('invalid_usage', { hint: 'set the variable that --secret-env names' });
  return { client_secret: secret };
}

function keyOf(context: Context, file: string): string {
  try {
    return readFileSync(resolve(context.io.cwd, file), 'utf8');
  } catch (cause) {
    throw new Fault('invalid_usage', { detail: 'The file of --apple-key cannot be read', cause });
  }
}

function list(context: Context, _given: readonly string[], options: PagingOptions): Promise<undefined> {
  return printPages(context, options, (query) => context.server().person.call('upstream_list', { query }), {
    heads: ['upstream', 'kind', 'issuer', 'client', 'trusted about', 'sign-up'],
    row: (one) => [one.name, one.kind, one.issuer, one.client_id ?? 'the platform’s', one.domains.join(' '), one.sign_up ? 'yes' : 'no'],
    empty: 'no upstreams yet; add one with: gatehouse upstream add',
  });
}

async function show(context: Context, given: readonly string[]): Promise<undefined> {
  const one = await context.server().person.call('upstream_get', { params: { upstream: first(given) } });
  if (context.speech.json) {
    context.speech.value(one);
    return undefined;
  }
  context.speech.table(
    ['what', 'is'],
    [
      ['upstream', one.name],
      ['kind', one.kind],
      ['button', one.label],
      ['issuer', one.issuer],
      ['client', one.client_id ?? 'the platform’s'],
      ['redirect URI', one.redirect_uri],
      ['scopes', one.scopes.join(' ')],
      ['trusted about', one.domains.join(' ') || 'no address'],
      ['sign-up', one.sign_up ? 'yes' : 'no'],
    ],
  );
  return undefined;
}

async function test(context: Context, given: readonly string[]): Promise<1 | undefined> {
  const { works, checks } = await context.server().person.call('upstream_test', { params: { upstream: first(given) } });
  if (context.speech.json) context.speech.value({ works, checks });
  else
    context.speech.table(
      ['what', 'holds', 'tells'],
      checks.map(({ what, holds, tells }) => [what, holds ? 'yes' : 'no', tells]),
    );
  return works ? undefined : 1;
}

async function remove(context: Context, given: readonly string[], flags: { readonly preview?: boolean }): Promise<undefined> {
  const query = { preview: flags.preview === true ? ('true' as const) : ('false' as const) };
  const answer = await context.server().person.call('upstream_remove', { params: { upstream: first(given) }, query });
  if (context.speech.json) context.speech.value(answer);
  else context.speech.fact(`${flags.preview === true ? 'would be removed' : 'removed'}, with ${answer.linked} linked accounts`);
  return undefined;
}
