import type { Identity } from '#identity';
import { type Clock, newId } from '#kernel';
import type { Decision, Policy } from '#policy';
import { type AdmitDeps, admissionOf, connectingHint } from './admit.ts';
import { runLife } from './authority.ts';
import type { Call, Foreseen, Supposed } from './contract.ts';
import { type Asked, type Decider, questionOf } from './decide.ts';
import { newSeed } from './placeholders.ts';
import { type RunState, stateOf } from './runs.ts';

interface Deps extends Pick<AdmitDeps, 'own' | 'places' | 'otherHosts'>, Pick<Decider, 'judge'> {
  readonly identity: Identity;
  readonly policy: Policy;
  readonly clock: Clock;
}

/** Takes the way of a real call, as a run of the agent that is never started. */
export async function foresee(deps: Deps, { agent, level, call, connection }: Supposed): Promise<Foreseen> {
  if (agent.status !== 'active') return told('deny', { reason: 'agent_not_active' });
  const now = deps.clock.now();
  const run = stateOf(deps.identity, agent, { id: newId('run', now), level, seed: newSeed(), chosen: {}, expiresAt: now + runLife });
  const headers = connection === undefined ? [] : [['Gatehouse-Connection', connection] as const];
  const made = { ...call, run: run.live, request: newId('req', now), headers, upgrade: undefined };
  return (call.scheme === 'https' && (await unseen(deps, run, made))) || (await seen(deps, run, made));
}

/** What no tunnel is opened for, or one that nobody looks into. */
async function unseen(deps: Deps, run: RunState, call: Call): Promise<Foreseen | undefined> {
  const admission = await admissionOf(deps, run, call);
  if (admission.kind === 'intercept') return undefined;
  const provider = (await deps.places.of(run, call.host, call.port)).providers[0]?.id;
  const about = { provider, command: provider === undefined ? undefined : `gatehouse login ${provider}` };
  if (admission.kind === 'refuse') return told('deny', { reason: admission.code, hint: admission.hint, ...about });
  return told('allow', { reason: 'no_connection', hint: provider === undefined ? undefined : connectingHint(provider), ...about });
}

async function seen(deps: Deps, run: RunState, call: Call): Promise<Foreseen> {
  const place = await deps.places.of(run, call.host, call.port);
  const asked: Asked = { call, run, place, placed: [], started: deps.clock.monotonic() };
  const judged = await deps.judge(asked);
  const { match, connection } = asked;
  const explained = match && connection && (await deps.policy.explain(questionOf(asked, { match, connection }, deps.clock.now())));
  const about = {
    provider: connection?.provider ?? place.providers[0]?.id,
    connection: connection?.name,
    operation: match?.operation,
    considered: explained?.considered ?? [],
  };
  if (judged.kind !== 'permitted') {
    const denial = judged.kind === 'deny' ? denialIn(explained?.decision) : undefined;
    return told('deny', { reason: denial?.reason ?? judged.code, command: denial?.command, hint: judged.hint, ...about });
  }
  if (judged.chosen === undefined) return told('allow', { reason: 'no_connection', ...about });
  return told('allow', { permission: judged.decision?.permission, ...about });
}

function denialIn(decision: Decision | undefined) {
  return decision?.effect === 'deny' ? decision : undefined;
}

const nothing = {
  reason: undefined,
  permission: undefined,
  provider: undefined,
  connection: undefined,
  operation: undefined,
  command: undefined,
  hint: undefined,
  considered: [],
} as const;

function told(effect: Foreseen['effect'], facts: Partial<Foreseen>): Foreseen {
  return { ...nothing, ...facts, effect };
}
