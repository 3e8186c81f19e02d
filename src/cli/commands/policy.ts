import type { Command } from 'commander';
import type { z } from 'zod';
import { type BodyInput, parseReach, printReach, type Reach, type schemas } from '#api';
import { Fault } from '#kernel';
import { awaitConfirmation, type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, parseTime, printPages, timeOf } from '../listing.ts';
import { first, parkedChange } from './agent.ts';

type Permission = z.output<typeof schemas.permissionView>;

interface ReachFlags {
  readonly class: readonly string[];
  readonly operation: readonly string[];
  readonly path: readonly string[];
  readonly everything?: boolean;
}

interface GiveFlags extends ReachFlags, WaitOptions {
  readonly until?: string;
  readonly separated?: boolean;
  readonly passCredential?: boolean;
}

const reachLists: readonly (readonly [string, string])[] = [
  ['--class <classes>', 'risk classes: read, write, delete, message-a-person, move-money, administer, mint-credential'],
  ['--operation <name>', 'one operation of the provider'],
  ['--path <pattern>', "methods and a path: 'GET /repos/**'"],
];

const how = `<agent> is a name, or all (every agent you confirmed); <target> is provider or provider/connection;
[reach] is written in one piece (read,op:issues.create,GET /repos/**) or by the flags`;

/** Permissions: asked for, denied, ended, explained. */
export function policyCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'policy', 'what agents may do');
  addCommand<GiveFlags>(group, host, {
    usage: 'allow <agent> <target> [reach]',
    tells: 'ask for a permission, which you confirm in the browser',
    example: 'gatehouse policy allow researcher github/work read',
    options: [
      ['--everything', 'the whole host, still without mint-credential'],
      ['--until <time>', 'when it ends: 12h, 7d or 2030-01-31'],
      ['--separated', 'only for runs at the separated level'],
      ['--pass-credential', "let the agent's own credential pass on these hosts"],
      ...waitFlags,
    ],
    lists: reachLists,
    more: how,
    action: (context, given, flags) => give(context, 'allow', given, flags),
  });
  addCommand<GiveFlags>(group, host, {
    usage: 'deny <agent> <target> [reach]',
    tells: 'forbid at once; a deny wins over every allow',
    example: 'gatehouse policy deny all stripe delete,move-money',
    options: [
      ['--everything', 'the whole host'],
      ['--until <time>', 'when it ends'],
    ],
    lists: reachLists,
    more: how,
    action: (context, given, flags) => give(context, 'deny', given, flags),
  });
  addCommand<PagingOptions & { readonly agent?: string; readonly connection?: string; readonly ended?: boolean }>(group, host, {
    usage: 'list',
    tells: 'permissions',
    example: 'gatehouse policy list --agent researcher',
    options: [
      ['--agent <agent>', 'of this agent'],
      ['--connection <connection>', 'for this connection: provider/name'],
      ['--ended', 'also those that have ended'],
      ...pagingFlags,
    ],
    action: list,
  });
  addCommand<WaitOptions>(group, host, {
    usage: 'end <permission>',
    tells: 'end an allow at once; ending a deny is confirmed in the browser',
    example: 'gatehouse policy end prm_01j…',
    options: waitFlags,
    action: end,
  });
  addCommand<{ readonly connection?: string; readonly separated?: boolean }>(group, host, {
    usage: 'explain <agent> <method> <url>',
    tells: 'what would be decided for a call, and why',
    example: 'gatehouse policy explain researcher GET https://api.github.com/user',
    options: [
      ['--connection <connection>', 'with this connection'],
      ['--separated', 'as in a separated run'],
    ],
    action: explain,
  });
}

/** `provider` or `provider/connection`. */
export function targetOf(text: string): { readonly provider: string; readonly connection?: string } {
  const [provider = '', connection, ...more] = text.split('/');
  if (provider === '' || connection === '' || more.length > 0)
    throw new Fault('invalid_usage', { hint: 'write the target as provider or provider/connection' });
  return connection === undefined ? { provider } : { provider, connection };
}

function reachOf(text: string | undefined, flags: ReachFlags): Reach {
  const parts = [
    ...(text === undefined ? [] : [text]),
    ...flags.class,
    ...flags.operation.map((operation) => `op:${operation}`),
    ...flags.path,
    ...(flags.everything ? ['everything'] : []),
  ];
  if (parts.length === 0)
    throw new Fault('invalid_usage', { hint: "say how far: read, --operation NAME, --path 'GET /x/**' or --everything" });
  return parseReach(parts.join(','));
}

function draftOf(context: Context, effect: 'allow' | 'deny', given: readonly string[], flags: GiveFlags): BodyInput<'permission_give'> {
  const [agent, target, reach] = given;
  if (agent === undefined || target === undefined) throw new Fault('invalid_usage');
  return {
    effect,
    ...(agent === 'all' ? {} : { agent }),
    ...targetOf(target),
    reach: reachOf(reach, flags),
    ...(flags.separated ? { level: 'separated' as const } : {}),
    ...(flags.passCredential ? { pass_credential: true } : {}),
    ...(flags.until === undefined ? {} : { expires_at: parseTime(flags.until, context.clock.now(), 1) }),
  };
}

async function give(context: Context, effect: 'allow' | 'deny', given: readonly string[], flags: GiveFlags): Promise<undefined> {
  const server = context.server();
  const answer = await server.person.ask('permission_give', { body: draftOf(context, effect, given, flags) });
  if (answer.status === 201) return show(context, answer.body, `denied: ${answer.body.id}`);
  const confirmed = await awaitConfirmation(context, server, answer.body, flags);
  if (context.speech.json) context.speech.value(confirmed);
  else context.speech.fact(confirmed.status === 'confirmed' ? `allowed${idIn(confirmed.result)}` : 'not confirmed yet');
  return undefined;
}

function idIn(result: Readonly<Record<string, string>> | undefined): string {
  return result?.permission === undefined ? '' : `: ${result.permission}`;
}

function show(context: Context, permission: Permission, line: string): undefined {
  if (context.speech.json) context.speech.value(permission);
  else context.speech.fact(line);
  return undefined;
}

function list(
  context: Context,
  _given: readonly string[],
  flags: PagingOptions & { readonly agent?: string; readonly connection?: string; readonly ended?: boolean },
): Promise<undefined> {
  const { agent, connection, ended } = flags;
  const filter = {
    ...(agent === undefined ? {} : { agent }),
    ...(connection === undefined ? {} : { connection }),
    ended: ended ? ('true' as const) : ('false' as const),
  };
  return printPages(context, flags, (query) => context.server().person.call('permission_list', { query: { ...query, ...filter } }), {
    heads: ['permission', 'effect', 'agent', 'target', 'reach', 'until', 'state'],
    row: (permission) => [
      permission.id,
      permission.effect,
      permission.agent ?? 'all of yours',
      [permission.provider, permission.connection].filter((part) => part !== undefined).join('/'),
      printReach(permission.reach) + (permission.level === undefined ? '' : ' (separated)'),
      timeOf(permission.expires_at),
      permission.ended_at === undefined ? 'live' : 'ended',
    ],
    empty: 'no permissions yet; give one with: gatehouse policy allow',
  });
}

async function end(context: Context, given: readonly string[], flags: WaitOptions): Promise<undefined> {
  const answer = await context.server().person.ask('permission_end', { params: { permission: first(given) } });
  if (answer.status === 200) return show(context, answer.body, `ended: ${answer.body.id}`);
  return parkedChange(context, flags, async () => answer.body, 'ended');
}

/** What the operator's settings have to do with it. */
const notes: Readonly<Record<string, string>> = {
  no_connection:
    'no account is connected for it: runs reach it, and nothing is put on the call; GATEHOUSE_OTHER_HOSTS=deny would refuse it',
  host_refused: 'no account is connected for it, and GATEHOUSE_OTHER_HOSTS=deny refuses every other host',
};

async function explain(
  context: Context,
  given: readonly string[],
  flags: { readonly connection?: string; readonly separated?: boolean },
): Promise<number> {
  const [agent, method, url] = given;
  if (agent === undefined || method === undefined || url === undefined) throw new Fault('invalid_usage');
  if (!URL.canParse(url)) throw new Fault('invalid_usage', { hint: 'write the whole address: https://api.example.com/path' });
  const body = { agent, method: method.toUpperCase(), url, level: flags.separated ? ('separated' as const) : ('cooperative' as const) };
  const answer = await context.server().person.call('permission_explain', {
    body: { ...body, ...(flags.connection === undefined ? {} : { connection: flags.connection }) },
  });
  if (context.speech.json) context.speech.value(answer);
  else {
    const what = [answer.provider, answer.connection].filter((part) => part !== undefined).join('/');
    context.speech.fact(`${answer.effect}${answer.reason === undefined ? '' : `: ${answer.reason}`}`);
    if (what !== '') context.speech.fact(`connection ${what}${answer.operation === undefined ? '' : `, operation ${answer.operation}`}`);
    if (answer.classes.length > 0) context.speech.fact(`classes ${answer.classes.join(', ')}`);
    for (const row of answer.considered)
      context.speech.fact(`${row.applies ? 'applies' : 'does not apply'}: ${row.permission}: ${row.why}`);
    if (answer.hint !== undefined) context.speech.fact(answer.hint);
    const note = notes[answer.reason ?? ''];
    if (note !== undefined) context.speech.note(note);
  }
  return answer.effect === 'allow' ? 0 : 1;
}
