import type { Command } from 'commander';
import { isFault } from '#kernel';
import { addCommand, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';

/** Who is asking, where, and which agent run would use. */
export function whoamiCommand(program: Command, host: CommandHost): void {
  addCommand(program, host, {
    usage: 'whoami',
    tells: 'who you are, at which server, and which agent run uses',
    example: 'gatehouse whoami --json',
    insideRun: true,
    action: whoami,
  });
}

async function whoami(context: Context): Promise<undefined> {
  const { GATEHOUSE_RUN: run, GATEHOUSE_RUN_LEVEL: level } = context.io.env;
  if (run) {
    if (context.speech.json) context.speech.value({ run, level });
    else context.speech.fact(`a program under run ${run}, level ${level ?? 'unknown'}`);
    return undefined;
  }
  const server = context.server();
  const who = await server.person.call('whoami');
  const agent = await ownAgent(context);
  if (context.speech.json) context.speech.value({ server: server.shown, ...who, run_agent: agent });
  else {
    context.speech.fact(
      `${who.user === undefined ? 'nobody' : `${who.user.email} (${who.user.role})`} of ${who.organization.name} at ${server.shown}`,
    );
    context.speech.fact(
      agent === undefined ? 'no agent yet; make one with: gatehouse init' : `run uses the agent ${agent.handle} (${agent.status})`,
    );
  }
  return undefined;
}

async function ownAgent(context: Context): Promise<{ readonly handle: string; readonly did: string; readonly status: string } | undefined> {
  const key = context.agents().find(context.settings().agent ?? context.agents().current());
  if (key === undefined) return undefined;
  const server = context.server();
  const id = key.registered[await server.issuer()];
  try {
    const found = id === undefined ? undefined : await (await server.agent(key)).call('agent_get', { params: { agent: id } });
    return { handle: key.handle, did: key.did, status: found?.status ?? 'not registered here' };
  } catch (error) {
    if (isFault(error, 'agent_unknown') || isFault(error, 'invalid_proof'))
      return { handle: key.handle, did: key.did, status: 'unknown to the server' };
    if (isFault(error, 'agent_not_active')) return { handle: key.handle, did: key.did, status: 'not active' };
    throw error;
  }
}
