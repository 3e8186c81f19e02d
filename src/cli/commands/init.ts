import type { Command } from 'commander';
import { Fault } from '#kernel';
import type { AgentKey } from '../agent-keys.ts';
import { awaitConfirmation, showLink, type WaitOptions, waitFlags, waitUntil } from '../asking.ts';
import { addCommand, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { claimAgent, ensureRegistered, isUsable, type Registered } from '../enrolment.ts';
import type { Server } from '../server.ts';
import { setupLinkIfNeeded, startServer, waitsForSetup } from './server.ts';

interface InitFlags extends WaitOptions {
  readonly agent?: string;
  readonly p256?: boolean;
  readonly yes?: boolean;
  readonly email?: string;
}

/** Everything a newcomer needs, in one command that may be repeated. */
export function initCommand(program: Command, host: CommandHost): void {
  addCommand<InitFlags>(program, host, {
    usage: 'init',
    aliases: ['onboard'],
    tells: 'get ready: a server, its first administrator, and an agent that is yours; may be repeated',
    example: 'gatehouse init',
    options: [
      ['--agent <name>', 'name of the agent (default: the one in use)'],
      ['--p256', 'make a P-256 key instead of Ed25519'],
      ['--yes', 'accept who typed the code, without asking; needs --email'],
      ['--email <address>', 'only this person may claim the agent'],
      ...waitFlags,
    ],
    action: init,
  });
}

async function init(context: Context, _given: readonly string[], flags: InitFlags): Promise<undefined> {
  if (flags.yes && flags.email === undefined)
    throw new Fault('invalid_usage', { hint: 'say whom to accept: --yes --email you@example.com' });
  const server = await reachableServer(context, flags);
  const handle = flags.agent ?? context.settings().agent ?? context.agents().current();
  const { key, agent } = await ensureRegistered(context, server, handle, flags.p256 ? 'p256' : 'ed25519');
  const ready = isUsable(agent) ? agent : await makeOwn(context, server, { key, agent }, flags);
  if (context.agents().find(context.agents().current()) === undefined) await context.agents().use(handle);
  if (context.speech.json) context.speech.value({ server: server.shown, agent: ready });
  else {
    context.speech.fact(`agent ${ready.handle} is ${ready.status} at ${server.shown}`);
    context.speech.fact(await next(server));
  }
  return undefined;
}

/** What a newcomer does next. Of a remote server only the agent is known for sure: nobody may be signed in there. */
async function next(server: Server): Promise<string> {
  const query = { status: 'connected', limit: 1 };
  const connected = server.kind === 'local' && (await server.person.call('connection_list', { query })).items.length > 0;
  return connected ? 'run a program next: gatehouse run -- <program>' : 'connect an account next: gatehouse login github';
}

/** The pinned server, or the local one: started when none answers, and set up. */
async function reachableServer(context: Context, flags: InitFlags): Promise<Server> {
  const found = context.findServer();
  if (found?.kind === 'remote') return found;
  const { started, server } = await startServer(context);
  if (started) context.speech.note('started a server on this machine: gatehouse status');
  const link = await setupLinkIfNeeded(server);
  if (link === undefined) return server;
  showLink(context, 'make yourself its first administrator:', link, flags.open);
  if (flags.wait === false) throw new Fault('setup_required', { hint: 'open the link, then repeat: gatehouse init', url: link });
  await waitUntil(context, 'waiting for the first administrator', async () => ((await waitsForSetup(server)) ? undefined : true));
  context.speech.note('the server is set up');
  return server;
}

/** Claimed by a code that the person types, accepted here, then confirmed as theirs in the browser (SECURITY 22). */
async function makeOwn(context: Context, server: Server, registered: Registered, flags: InitFlags): Promise<Registered['agent']> {
  const claimed = registered.agent.status === 'registered' ? await claimAgent(context, server, registered.key, flags) : registered.agent;
  if (isUsable(claimed)) return claimed;
  const parked = await server.person.call('agent_confirm', { params: { agent: claimed.handle } });
  await awaitConfirmation(context, server, parked, flags);
  return agentNow(server, registered.key);
}

async function agentNow(server: Server, key: AgentKey): Promise<Registered['agent']> {
  const id = key.registered[await server.issuer()] ?? key.handle;
  return (await server.agent(key)).call('agent_get', { params: { agent: id } });
}
