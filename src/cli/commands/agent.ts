import type { Command } from 'commander';
import { nameSchema } from '#api';
import { Fault } from '#kernel';
import { awaitConfirmation, type Confirmation, type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type AgentView, type ClaimOptions, claimAgent, ensureRegistered, nextStep } from '../enrolment.ts';
import { type PagingOptions, pagingFlags, printPages, timeOf } from '../listing.ts';
import { counted } from '../speech.ts';

const claimFlags: readonly (readonly [string, string])[] = [
  ['--yes', 'accept who typed the code, without asking; needs --email'],
  ['--email <address>', 'only this person may claim the agent'],
];

/** Agents: their keys are made here, everything else is the server's. */
export function agentCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'agent', 'agents and their keys', ['agents']);
  addCommand<PagingOptions>(group, host, {
    usage: 'list',
    tells: 'agents of the server; * marks those whose key is on this machine',
    example: 'gatehouse agent list --search coder',
    options: pagingFlags,
    action: list,
  });
  addCommand<{ readonly p256?: boolean; readonly use?: boolean }>(group, host, {
    usage: 'create <name>',
    tells: 'make a key pair on this machine and register the agent',
    example: 'gatehouse agent create researcher',
    options: [
      ['--p256', 'make a P-256 key instead of Ed25519'],
      ['--use', 'also make it the one that run uses'],
    ],
    action: create,
  });
  addCommand(group, host, {
    usage: 'use <name>',
    tells: 'choose the agent that run uses',
    example: 'gatehouse agent use researcher',
    action: use,
  });
  addCommand<ClaimOptions>(group, host, {
    usage: 'claim <name>',
    tells: 'become the owner of an agent of this machine, by a code you type in the browser',
    example: 'gatehouse agent claim researcher',
    options: claimFlags,
    action: claim,
  });
  addCommand<WaitOptions>(group, host, {
    usage: 'confirm <agent>',
    tells: 'confirm a claimed agent as one of yours, in the browser',
    example: 'gatehouse agent confirm researcher',
    options: waitFlags,
    action: (context, given, flags) =>
      parkedChange(context, flags, (server) => server.person.call('agent_confirm', { params: { agent: first(given) } }), 'confirmed'),
  });
  addCommand(group, host, {
    usage: 'suspend <agent>',
    tells: 'stop an agent at once',
    example: 'gatehouse agent suspend researcher',
    action: suspend,
  });
  addCommand<WaitOptions>(group, host, {
    usage: 'reactivate <agent>',
    tells: 'let a suspended agent act again, confirmed in the browser; nothing older revives',
    example: 'gatehouse agent reactivate researcher',
    options: waitFlags,
    action: (context, given, flags) =>
      parkedChange(context, flags, (server) => server.person.call('agent_reactivate', { params: { agent: first(given) } }), 're-activated'),
  });
  addCommand<{ readonly preview?: boolean }>(group, host, {
    usage: 'revoke <agent>',
    tells: 'end an agent for good, with its runs and permissions',
    example: 'gatehouse agent revoke researcher --preview',
    options: [['--preview', 'only tell what would end']],
    action: revoke,
  });
}

/** The parameter that commander has made sure of. */
export function first(given: readonly string[]): string {
  const [value] = given;
  if (value === undefined) throw new Fault('invalid_usage');
  return value;
}

/** Asks for a change that a person confirms, waits, and says what came of it. */
export async function parkedChange(
  context: Context,
  flags: WaitOptions,
  ask: (server: ReturnType<Context['server']>) => Promise<Confirmation>,
  done: string,
): Promise<undefined> {
  const server = context.server();
  const answer = await awaitConfirmation(context, server, await ask(server), flags);
  if (context.speech.json) context.speech.value(answer);
  else context.speech.fact(answer.status === 'confirmed' ? done : 'not confirmed yet');
  return undefined;
}

function list(context: Context, _given: readonly string[], options: PagingOptions): Promise<undefined> {
  const own = new Set(
    context
      .agents()
      .list()
      .map((key) => key.did),
  );
  const current = context.agents().current();
  return printPages(context, options, (query) => context.server().person.call('agent_list', { query }), {
    heads: ['agent', 'status', 'owner', 'key', 'made'],
    row: (agent) => [
      `${agent.handle}${own.has(agent.did) ? ' *' : ''}${own.has(agent.did) && agent.handle === current ? ' (in use)' : ''}`,
      agent.status,
      agent.owner?.email ?? agent.owner?.kind,
      agent.algorithm,
      timeOf(agent.created_at),
    ],
    empty: 'no agents yet; make one with: gatehouse init',
  });
}

function show(context: Context, agent: AgentView, line: string): undefined {
  if (context.speech.json) context.speech.value(agent);
  else context.speech.fact(line);
  return undefined;
}

async function create(
  context: Context,
  given: readonly string[],
  flags: { readonly p256?: boolean; readonly use?: boolean },
): Promise<undefined> {
  const name = nameSchema.safeParse(first(given));
  if (!name.success) throw new Fault('invalid_usage', { detail: name.error.issues[0]?.message ?? 'not a name' });
  const { agent } = await ensureRegistered(context, context.server(), name.data, flags.p256 ? 'p256' : 'ed25519');
  if (flags.use) await context.agents().use(name.data);
  return show(context, agent, `agent ${agent.handle} is ${agent.status}${nextStep(agent)}`);
}

async function use(context: Context, given: readonly string[]): Promise<undefined> {
  const key = context.agentKey(first(given));
  await context.agents().use(key.handle);
  if (context.speech.json) context.speech.value({ agent: key.handle, did: key.did });
  else context.speech.fact(`run uses ${key.handle} from now on`);
  return undefined;
}

async function claim(context: Context, given: readonly string[], flags: ClaimOptions): Promise<undefined> {
  const server = context.server();
  const { key } = await ensureRegistered(context, server, context.agentKey(first(given)).handle);
  const agent = await claimAgent(context, server, key, flags);
  return show(context, agent, `agent ${agent.handle} is ${agent.status}${nextStep(agent)}`);
}

async function suspend(context: Context, given: readonly string[]): Promise<undefined> {
  const agent = await context.server().person.call('agent_suspend', { params: { agent: first(given) } });
  return show(context, agent, `agent ${agent.handle} is suspended`);
}

async function revoke(context: Context, given: readonly string[], flags: { readonly preview?: boolean }): Promise<undefined> {
  const preview = flags.preview === true;
  const answer = await context.server().person.call('agent_revoke', { params: { agent: first(given) }, body: { preview } });
  const { agent, ends } = answer;
  if (context.speech.json) context.speech.value(answer);
  else
    context.speech.fact(
      `agent ${agent.handle} ${preview ? 'would be' : 'is'} revoked, with ${counted(ends.runs, 'run')} and ${counted(ends.permissions, 'permission')}`,
    );
  return undefined;
}
