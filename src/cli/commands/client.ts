import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { clientAuthenticationNames, type GrantTypeName, grantTypeNames, type Lives, lifeNames, parseLives } from '#api';
import { Fault, type Secret } from '#kernel';
import { bearerValue, tokenAlgorithmNames } from '#oauth';
import { awaitConfirmation, type Confirmation, type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, parseTime, printPages, timeOf } from '../listing.ts';
import { first } from './agent.ts';

interface AddFlags extends WaitOptions {
  readonly auth: string;
  readonly redirect: readonly string[];
  readonly grant: readonly string[];
  readonly scope: readonly string[];
  readonly resource: readonly string[];
  readonly protects: readonly string[];
  readonly jwks?: string;
  readonly signing: string;
  readonly requirePar?: boolean;
  readonly detailsType: readonly string[];
  readonly life: readonly string[];
  readonly requireSignedRequest?: boolean;
  readonly dpop?: true;
  readonly certificateBound?: true;
  readonly postLogout: readonly string[];
  readonly backchannelLogout?: string;
  readonly frontchannelLogout?: string;
}

/** OAuth clients of our authorization server. */
export function clientCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'client', 'OAuth clients that tokens are issued to', ['clients']);
  addCommand<AddFlags>(group, host, {
    usage: 'add <name>',
    aliases: ['create'],
    tells: 'register a client, confirmed in the browser; its secret is printed once',
    example: 'gatehouse client add "My app" --redirect https://app.example/callback --scope openid --scope email',
    options: [
      ['--auth <method>', `how it proves who it is: ${clientAuthenticationNames.join(', ')}`, 'client_secret_basic'],
      ['--jwks <file>', 'its public keys, for private_key_jwt and signed requests'],
      ['--backchannel-logout <uri>', 'gets a logout token when a session of a person ends'],
      ['--frontchannel-logout <uri>', 'is loaded in a frame when a person signs out, with iss and sid'],
      ['--signing <algorithm>', `of its ID tokens: ${tokenAlgorithmNames.join(', ')}`, 'ES256'],
      ['--require-par', 'take its authorization requests only as it pushed them to /par'],
      ['--require-signed-request', 'take its authorization requests only as objects that it signed'],
      ['--dpop', 'give it no token that is not bound to its key by DPoP'],
      ['--certificate-bound', 'give it no token that is not bound to its certificate'],
      ...waitFlags,
    ],
    lists: [
      ['--redirect <uri>', 'an exact redirect URI; any port of a loopback address'],
      ['--post-logout <uri>', 'an exact address that its own sign-out may lead to'],
      ['--grant <type>', `a grant type it may use: ${grantTypeNames.map(shortName).join(', ')}; else the first two`],
      ['--scope <scope>', 'a scope it may ask for'],
      ['--resource <uri>', 'a resource it may have tokens for'],
      ['--details-type <type>', 'a type of authorization details it may ask for'],
      ['--life <name=time>', `how long what it is issued lives, as access_token=30m: ${lifeNames.join(', ')}`],
      ['--protects <uri>', 'a resource it is the server of: it may introspect tokens for it'],
    ],
    action: add,
  });
  addCommand<PagingOptions>(group, host, {
    usage: 'list',
    tells: 'registered clients',
    example: 'gatehouse client list --search editor',
    options: pagingFlags,
    action: list,
  });
  addCommand(group, host, {
    usage: 'show <client>',
    tells: 'one client, with its secrets by id',
    example: 'gatehouse client show clt_01k8...',
    action: show,
  });
  addCommand<PreviewFlag>(group, host, {
    usage: 'remove <client>',
    tells: 'remove a client, and every token of it, at once',
    example: 'gatehouse client remove clt_01k8... --preview',
    options: [previewFlag],
    action: remove,
  });
  addCommand<SecretFlags>(group, host, {
    usage: 'secret <client>',
    tells: 'give a client another secret, confirmed in the browser and printed once; or end one at once',
    example: 'gatehouse client secret clt_01k8... --expires 90d',
    options: [
      ['--expires <time>', 'when it ends: 90d, 12h or a date'],
      ['--end <secret>', 'end this secret instead'],
      previewFlag,
      ...waitFlags,
    ],
    action: secret,
  });
}

interface PreviewFlag {
  readonly preview?: boolean;
}

const previewFlag = ['--preview', 'only tell what would end'] as const;

interface SecretFlags extends WaitOptions, PreviewFlag {
  readonly expires?: string;
  readonly end?: string;
}

/** A secret is made here; the server learns its hash, and sees it first when the client uses it. */
function newSecret(): { readonly secret: Secret<string>; readonly hash: string } {
  const secret = bearerValue();
  return { secret, hash: createHash('sha256').update(secret.reveal()).digest('hex') };
}

async function add(context: Context, given: readonly string[], flags: AddFlags): Promise<undefined> {
  const server = context.server();
  const authentication = oneOf('--auth', flags.auth, clientAuthenticationNames);
  const made = authentication.startsWith('client_secret') ? newSecret() : undefined;
  const body = {
    name: first(given),
    authentication,
    redirect_uris: [...flags.redirect],
    ...(flags.grant.length === 0 ? {} : { grant_types: flags.grant.map(grantTypeOf) }),
    scopes: [...flags.scope],
    resources: [...flags.resource],
    protects: [...flags.protects],
    jwks: flags.jwks === undefined ? [] : keysOf(flags.jwks),
    signing: oneOf('--signing', flags.signing, tokenAlgorithmNames),
    require_pushed_authorization_requests: flags.requirePar === true,
    authorization_details_types: [...flags.detailsType],
    lives: livesGiven(flags.life),
    require_signed_request_object: flags.requireSignedRequest === true,
    dpop_bound_access_tokens: flags.dpop === true,
    tls_client_certificate_bound_access_tokens: flags.certificateBound === true,
    ...logoutOf(flags),
    ...(made === undefined ? {} : { secret_sha256: made.hash }),
  };
  const confirmed = await awaitConfirmation(context, server, await server.person.call('client_add', { body }), flags);
  return tellMade(context, confirmed, made?.secret);
}

function logoutOf({ postLogout, backchannelLogout, frontchannelLogout }: AddFlags) {
  return {
    post_logout_redirect_uris: [...postLogout],
    ...(backchannelLogout === undefined ? {} : { backchannel_logout_uri: backchannelLogout }),
    ...(frontchannelLogout === undefined
      ? {}
      : { frontchannel_logout_uri: frontchannelLogout, frontchannel_logout_session_required: true }),
  };
}

async function secret(context: Context, given: readonly string[], flags: SecretFlags): Promise<undefined> {
  const server = context.server();
  const client = first(given);
  if (flags.end !== undefined) return endSecret(context, client, flags.end, flags.preview === true);
  if (flags.preview === true) throw new Fault('invalid_usage', { hint: '--preview goes with --end' });
  const made = newSecret();
  const expires = flags.expires === undefined ? {} : { expires_at: parseTime(flags.expires, context.clock.now(), 1) };
  const parked = await server.person.call('client_secret_add', { params: { client }, body: { secret_sha256: made.hash, ...expires } });
  return tellMade(context, await awaitConfirmation(context, server, parked, flags), made.secret);
}

async function endSecret(context: Context, client: string, secret: string, preview: boolean): Promise<undefined> {
  const { person } = context.server();
  if (preview) {
    const { name, secrets } = await person.call('client_get', { params: { client } });
    if (!secrets.some(({ id }) => id === secret)) throw new Fault('not_found');
    const fact = `secret ${secret} of ${name} would be ended; the client would have ${secrets.length - 1} left`;
    if (context.speech.json) context.speech.value({ secret, left: secrets.length - 1, ended: false });
    else context.speech.fact(fact);
    return undefined;
  }
  await person.call('client_secret_end', { params: { client, secret } });
  if (context.speech.json) context.speech.value({});
  else context.speech.fact('ended');
  return undefined;
}

/** The secret is shown whether or not the person has answered yet: nobody can show it later. */
function tellMade({ speech }: Context, { status, result }: Confirmation, made: Secret<string> | undefined): undefined {
  const client = result?.client;
  const shown = made === undefined ? {} : { client_secret: made.reveal() };
  if (speech.json) {
    speech.value({ status, ...(client === undefined ? {} : { client_id: client }), ...shown });
    return undefined;
  }
  if (status !== 'confirmed') speech.fact('not confirmed yet');
  if (client !== undefined) speech.fact(`client_id      ${client}`);
  if (made !== undefined) speech.fact(`client_secret  ${made.reveal()}`);
  if (made !== undefined) speech.note('keep the secret now: it is shown this once');
  return undefined;
}

/** The part of a grant type's name that is its own: `device_code`. */
function shortName(grantType: string): string {
  return grantType.slice(grantType.lastIndexOf(':') + 1);
}

function grantTypeOf(given: string): GrantTypeName {
  const found = grantTypeNames.find((name) => name === given || shortName(name) === given);
  if (found === undefined) throw new Fault('invalid_usage', { hint: `--grant takes: ${grantTypeNames.map(shortName).join(', ')}` });
  return found;
}

/** The value, if the flag takes it. @throws {Fault} `invalid_usage` */
export function oneOf<T extends string>(flag: string, value: string, known: readonly T[]): T {
  const found = known.find((one) => one === value);
  if (found === undefined) throw new Fault('invalid_usage', { hint: `${flag} takes: ${known.join(', ')}` });
  return found;
}

export function livesGiven(texts: readonly string[]): Lives {
  const lives = parseLives(texts);
  if (typeof lives === 'string') throw new Fault('invalid_usage', { hint: lives });
  return lives;
}

/** A JWK set, or one key. */
export function keysOf(file: string): Record<string, unknown>[] {
  try {
    const read: unknown = JSON.parse(readFileSync(resolve(file), 'utf8'));
    const set = read as { readonly keys?: Record<string, unknown>[] };
    return set.keys ?? [read as Record<string, unknown>];
  } catch (cause) {
    throw new Fault('invalid_usage', { detail: 'The file of --jwks cannot be read as JSON', cause });
  }
}

function list(context: Context, _given: readonly string[], options: PagingOptions): Promise<undefined> {
  return printPages(context, options, (query) => context.server().person.call('client_list', { query }), {
    heads: ['client', 'name', 'proves itself by', 'grant types', 'made'],
    row: (client) => [client.id, client.name, client.authentication, client.grant_types.join(' '), timeOf(client.created_at)],
    empty: 'no clients yet; register one with: gatehouse client add',
  });
}

function wordsOf(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [value].flat().join(' ');
  return Object.entries(value)
    .map(([name, one]) => `${name}=${String(one)}s`)
    .join(' ');
}

async function show(context: Context, given: readonly string[]): Promise<undefined> {
  const client = await context.server().person.call('client_get', { params: { client: first(given) } });
  if (context.speech.json) {
    context.speech.value(client);
    return undefined;
  }
  const { secrets, jwks, ...facts } = client;
  for (const [name, value] of Object.entries(facts)) {
    const told = name === 'created_at' ? timeOf(client.created_at) : wordsOf(value);
    if (told !== '') context.speech.fact(`${name}: ${told}`);
  }
  if (jwks.length > 0) context.speech.fact(`jwks: ${jwks.length}`);
  for (const one of secrets) context.speech.fact(`secret: ${one.id} until ${timeOf(one.expires_at) ?? 'it is ended'}`);
  return undefined;
}

async function remove(context: Context, given: readonly string[], { preview }: PreviewFlag): Promise<undefined> {
  const { person } = context.server();
  const params = { client: first(given) };
  if (preview !== true) await person.call('client_remove', { params });
  const client = preview === true ? await person.call('client_get', { params }) : undefined;
  if (context.speech.json) context.speech.value(client === undefined ? {} : { client, removed: false });
  else
    context.speech.fact(
      client === undefined ? 'removed' : `client ${client.name} would be removed, with its secrets and every token of it`,
    );
  return undefined;
}
