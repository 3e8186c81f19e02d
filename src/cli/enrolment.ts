import { hostname } from 'node:os';
import type { z } from 'zod';
import type { schemas } from '#api';
import { Fault, isFault } from '#kernel';
import type { AgentKey } from './agent-keys.ts';
import { askYes, waitUntil } from './asking.ts';
import type { Context } from './context.ts';
import type { Server } from './server.ts';

export type AgentView = z.output<typeof schemas.agentView>;

export interface Registered {
  readonly key: AgentKey;
  readonly agent: AgentView;
}

/** An agent that a run can be started for. */
export function isUsable(agent: AgentView): boolean {
  return agent.status === 'active';
}

const steps: Partial<Record<AgentView['status'], string>> = { registered: 'claim', claimed: 'confirm', suspended: 'reactivate' };

/** What an agent waits for before a run can be started for it; empty where there is no such step. */
export function nextStep({ handle, status }: AgentView): string {
  const step = steps[status];
  return step === undefined ? '' : `; ${step} it next: gatehouse agent ${step} ${handle}`;
}

/** The agent of this machine that a command uses when none is named, as the server knows it; undefined: it knows none. */
export async function agentInUse(context: Context, server: Server): Promise<AgentView | undefined> {
  const key = context.agents().find(context.settings().agent ?? context.agents().current());
  const id = key?.registered[await server.issuer()];
  if (id === undefined) return undefined;
  return await server.person.call('agent_get', { params: { agent: id } }).catch((error: unknown) => {
    if (isFault(error, 'agent_unknown')) return undefined;
    throw error;
  });
}

/** The agent as the server knows it, registered now if it does not. @throws {Fault} `agent_exists`, `agent_quota` */
export async function ensureRegistered(
  context: Context,
  server: Server,
  handle: string,
  kind: 'ed25519' | 'p256' = 'ed25519',
): Promise<Registered> {
  const key = await context.agents().ensure(handle, kind);
  const client = await server.agent(key);
  const issuer = await server.issuer();
  const id = key.registered[issuer];
  if (id !== undefined) {
    try {
      return { key, agent: await client.call('agent_get', { params: { agent: id } }) };
    } catch (error) {
      // An unclaimed agent ends after an hour, and a server may have been made anew.
      if (!isFault(error, 'agent_unknown') && !isFault(error, 'invalid_proof')) throw error;
    }
  }
  const registrar = await server.registrar(key);
  const agent = await registrar.call('agent_register', { body: { handle, public_jwk: { ...key.publicJwk } } });
  return { key: await context.agents().register(key, issuer, agent.id), agent };
}

export interface ClaimOptions {
  readonly yes?: boolean;
  readonly email?: string;
}

/**
 * Shows the code, waits until a person typed it, shows who, and accepts only after a yes: on the terminal, or by
 * `--yes` for the e-mail address named. @throws {Fault} `cancelled`, `claim_code_wrong`
 */
export async function claimAgent(context: Context, server: Server, key: AgentKey, options: ClaimOptions): Promise<AgentView> {
  if (options.yes && options.email === undefined)
    throw new Fault('invalid_usage', { hint: 'say whom to accept: --yes --email you@example.com' });
  if (!options.yes && !context.speech.terminal) {
    throw new Fault('invalid_usage', {
      detail: 'Claiming asks who typed the code',
      hint: 'answer in advance with: --yes --email you@example.com',
    });
  }
  const client = await server.agent(key);
  const params = { agent: key.registered[await server.issuer()] ?? key.handle };
  const offer = await client.call('agent_claim_offer', { params, body: { host: hostname().slice(0, 255) } });
  context.speech.note(`claim the agent ${key.handle}: open ${offer.url} and type this code (5 minutes)\n\n  ${offer.code}\n`);
  context.speech.note(`the page shows this key: ${offer.fingerprint}`);
  const by = await waitUntil(context, 'waiting for the code', async () => {
    const state = await client.call('agent_claim_state', { params });
    if (state.kind === 'typed') return state.by ?? '';
    if (state.kind === 'none') throw new Fault('claim_code_wrong', { hint: `start again: gatehouse agent claim ${key.handle}` });
    return state.kind === 'accepted' ? '' : undefined;
  });
  const accept = await judge(context, by, options);
  const agent = await client.call('agent_claim_answer', { params, body: { accept } });
  if (!accept) throw new Fault('cancelled', { detail: 'The claim was refused' });
  return agent;
}

async function judge(context: Context, by: string, options: ClaimOptions): Promise<boolean> {
  context.speech.note(`the code was typed by ${by}`);
  if (options.email !== undefined && options.email.toLowerCase() !== by.toLowerCase()) return false;
  return options.yes === true || askYes(context, `is ${by} you?`);
}
