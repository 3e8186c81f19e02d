import type { Command } from 'commander';
import type { z } from 'zod';
import { type BodyInput, nameSchema, parseReach, type schemas } from '#api';
import { Fault, type FaultCode, faults } from '#kernel';
import { readInput, showLink, type WaitOptions, waitFlags, waitUntil } from '../asking.ts';
import { addCommand, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type AgentView, agentInUse, isUsable, nextStep } from '../enrolment.ts';
import { connectWithKey, type Flow } from '../key-flow.ts';
import { type SignInFlags, signInTo } from '../remote-sign-in.ts';
import type { Server } from '../server.ts';
import { first } from './agent.ts';
import { disconnect, nameOf } from './connections.ts';
import { targetOf } from './policy.ts';

interface LoginFlags extends WaitOptions, SignInFlags {
  readonly connection?: string;
  readonly flow?: string;
  readonly scopes?: string;
  readonly force?: boolean;
  readonly keyStdin?: boolean;
  readonly allow: readonly string[];
}

type FlowKind = NonNullable<BodyInput<'connection_begin'>['flow']>;
const flows: readonly FlowKind[] = ['pkce', 'device_code', 'dcr_pkce', 'api_key', 'client_credentials'];

/** login and logout: of an account at a provider, or of a person at a remote server. */
export function loginCommands(program: Command, host: CommandHost): void {
  addCommand<LoginFlags>(program, host, {
    usage: 'login <provider>',
    tells: 'connect an account at a provider; with a URL, sign in to a remote Gatehouse and pin it',
    example: "gatehouse login github --connection work --allow 'researcher:read'",
    options: [
      ['--connection <name>', 'name of the connection', 'default'],
      ['--flow <flow>', flows.join(', ')],
      ['--scopes <scopes>', 'ask for these scopes, separated by commas or spaces'],
      ['--force', 'replace the connection of that name'],
      ['--key-stdin', 'read an API key from standard input (several fields: NAME=value lines)'],
      ['--ca <file>', 'with a URL: the only authority believed for that server (PEM)'],
      ['--fingerprint <sha256>', 'with a URL: the fingerprint its authority must have, when nobody can be asked'],
      ...waitFlags,
    ],
    lists: [['--allow <agent:reach>', 'what the connection may be used for, proposed to you on the last page']],
    more: 'prints a link, and waits until you are done in the browser',
    action: (context, given, flags) =>
      /^https?:\/\//i.test(first(given)) ? signInTo(context, first(given), flags) : connectAccount(context, first(given), flags),
  });
  addCommand<{ readonly preview?: boolean }>(program, host, {
    usage: 'logout [connection]',
    tells: 'disconnect an account; without one, end your session with the pinned server',
    example: 'gatehouse logout github/work',
    options: [['--preview', 'only tell what would end']],
    action: (context, given, flags) => (given[0] === undefined ? endSession(context) : disconnect(context, given, flags)),
  });
}

interface Proposed {
  readonly agent: string;
  readonly allow: string;
}

/** `agent:reach`, checked here so that a slip is told before the browser opens. @throws {Fault} `invalid_usage`, `invalid_request` */
function proposalOf(text: string): Proposed {
  const at = text.indexOf(':');
  const [agent, allow] = [text.slice(0, at), text.slice(at + 1)];
  if (at < 1 || !nameSchema.safeParse(agent).success) throw new Fault('invalid_usage', { hint: "write --allow 'agent:read'" });
  parseReach(allow);
  return { agent, allow };
}

function requestOf(target: string, flags: LoginFlags): BodyInput<'connection_begin'> {
  const { provider, connection = flags.connection ?? 'default' } = targetOf(target);
  const flow = flows.find((known) => known === flags.flow);
  if (flags.flow !== undefined && flow === undefined) throw new Fault('invalid_usage', { hint: `--flow takes ${flows.join(', ')}` });
  const kind = flow ?? (flags.keyStdin ? ('api_key' as const) : undefined);
  return {
    provider,
    name: connection,
    ...(kind === undefined ? {} : { flow: kind }),
    ...(flags.scopes === undefined ? {} : { scopes: flags.scopes.split(/[\s,]+/).filter((scope) => scope !== '') }),
    force: flags.force === true,
    allow: flags.allow.map(proposalOf),
  };
}

async function connectAccount(context: Context, target: string, flags: LoginFlags): Promise<undefined> {
  const request = requestOf(target, flags);
  const input = flags.keyStdin ? await readInput(context) : undefined;
  const server = context.server();
  const flow = await server.person.call('connection_begin', { body: request });
  const begun = input === undefined ? flow : await connectWithKey(server, flow, input);
  const done = await finishInBrowser(context, server, begun, flags);
  if (done === undefined) return tell(context, begun, begun.state.kind === 'connected' ? 'not confirmed yet' : 'not connected yet');
  tell(context, done, `connected: ${nameOf(done)}`);
  context.speech.note(useOf(await agentInUse(context, server)));
  return undefined;
}

/** How a connection is used by the agent of this machine. */
function useOf(agent: AgentView | undefined): string {
  if (agent === undefined) return 'make an agent that uses it: gatehouse init';
  return isUsable(agent) ? 'use it: gatehouse run -- <program>' : `the agent ${agent.handle} is ${agent.status}${nextStep(agent)}`;
}

function tell(context: Context, flow: Flow, line: string): undefined {
  if (context.speech.json) context.speech.value(flow);
  else context.speech.fact(line);
  return undefined;
}

/**
 * The link, or the code to type at the provider; then waits for the end. What rests is used once
 * its owner says yes there (SECURITY 4). Undefined: not waited for. @throws {Fault} what the flow failed with
 */
async function finishInBrowser(context: Context, server: Server, flow: Flow, flags: WaitOptions): Promise<Flow | undefined> {
  const { state } = flow;
  if (state.kind === 'device' && state.user_code !== undefined) {
    showLink(context, `type the code ${state.user_code} here:`, state.url ?? flow.url, flags.open);
    context.speech.note(`then say here that it was you: ${flow.url}`);
  } else if (state.kind === 'connected') showLink(context, 'confirm it in the browser:', flow.url, flags.open);
  else showLink(context, `connect ${flow.provider} in the browser:`, flow.url, flags.open);
  context.speech.note('the page also asks what your agents may use it for');
  if (flags.wait === false) return undefined;
  return waitUntil(context, `waiting for ${flow.provider}`, async () =>
    judged(context, server, await server.person.call('connection_flow', { params: { flow: flow.id } })),
  );
}

async function judged(context: Context, server: Server, flow: Flow): Promise<Flow | undefined> {
  if (flow.state.connection !== undefined) {
    const { status } = await server.person.call('connection_get', { params: { connection: flow.state.connection } });
    if (status.kind === 'disconnected') throw disconnected(flow);
    if (status.reason !== 'unconfirmed') return flow;
  }
  if (flow.state.kind === 'failed') throw failureOf(flow.state);
  if (context.clock.now() > flow.expires_at) throw new Fault('link_ended');
  return undefined;
}

function disconnected({ provider, name }: Flow): Fault {
  const again = `gatehouse login ${provider}${name === 'default' ? '' : ` --connection ${name}`}`;
  return new Fault('cancelled', { detail: 'The account was disconnected meanwhile', hint: `connect it again with: ${again}` });
}

function failureOf({ code, detail }: z.output<typeof schemas.flowView>['state']): Fault {
  const known = code !== undefined && Object.hasOwn(faults, code) ? (code as FaultCode) : 'upstream_sign_in_failed';
  return new Fault(known, detail === undefined ? {} : { detail });
}

/** Ends the command-line session at the pinned server and forgets the server. */
async function endSession(context: Context): Promise<undefined> {
  const pinned = context.pinned().current();
  if (pinned === undefined)
    throw new Fault('unauthenticated', {
      detail: 'No remote server is pinned',
      hint: 'to disconnect an account: gatehouse logout <provider>',
    });
  const ended = await context
    .server()
    .person.call('session_end', { params: { session: 'current' } })
    .then(
      () => true,
      () => false,
    );
  await context.pinned().forget(pinned.url);
  if (context.speech.json) context.speech.value({ server: pinned.url, session_ended: ended });
  else
    context.speech.fact(ended ? `signed out of ${pinned.url}` : `forgot ${pinned.url}; it did not answer, so its session ends by itself`);
  return undefined;
}
