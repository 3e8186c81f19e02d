import type { Audit, Draft } from '#audit';
import { type AgentId, type Clock, Fault, type Principal } from '#kernel';
import type { Records, Writing } from '#store';
import { agentOf, isExpired } from './agent-view.ts';
import { type AgentChange, type AgentRow, agentBy, changeAgent } from './agents.sql.ts';
import type { Agent } from './contract.ts';
import { mayGovern } from './govern.ts';

export interface StandingDeps {
  readonly records: Records;
  readonly audit: Audit;
  readonly clock: Clock;
}

/** The owner, and nobody else, says that a claimed agent is one of theirs. */
export async function confirmAgent(deps: StandingDeps, tx: Writing, by: Principal, id: AgentId): Promise<Agent> {
  const before = await standing(deps, tx, by, id);
  if (by.actors.length > 0 || by.subject.kind !== 'user' || by.subject.id !== before.owner_user_id) throw new Fault('forbidden');
  if (before.status !== 'claimed') throw new Fault('conflict', { detail: 'only a claimed agent can be confirmed' });
  return become(deps, tx, by, before, 'agent.confirmed', { status: 'active', confirmed_at: deps.clock.now() });
}

/** Nothing made under the earlier epoch lives on. Suspending twice is suspending once. */
export function suspend(deps: StandingDeps, by: Principal, id: AgentId): Promise<Agent> {
  return deps.records.in(by.organization).write(async (tx) => {
    const before = await governed(deps, tx, by, id);
    if (before.status === 'suspended') return agentOf(before);
    if (before.status !== 'active' && before.status !== 'claimed') throw new Fault('agent_not_active');
    return become(deps, tx, by, before, 'agent.suspended', { status: 'suspended', epoch: before.epoch + 1 });
  });
}

/** Back to what its owner had made of it; the epoch rises again. */
export async function reactivate(deps: StandingDeps, tx: Writing, by: Principal, id: AgentId): Promise<Agent> {
  const before = await governed(deps, tx, by, id);
  if (before.status !== 'suspended') throw new Fault('conflict', { detail: 'only a suspended agent can be re-activated' });
  const status = before.confirmed_at === null ? 'claimed' : 'active';
  return become(deps, tx, by, before, 'agent.reactivated', { status, epoch: before.epoch + 1 });
}

/** For good: nothing leads out of `revoked`. */
export function revoke(deps: StandingDeps, by: Principal, id: AgentId): Promise<Agent> {
  return deps.records.in(by.organization).write(async (tx) => {
    const before = await governed(deps, tx, by, id);
    if (before.status === 'revoked') return agentOf(before);
    return become(deps, tx, by, before, 'agent.revoked', { status: 'revoked', epoch: before.epoch + 1, expires_at: null });
  });
}

async function governed(deps: StandingDeps, tx: Writing, by: Principal, id: AgentId): Promise<AgentRow> {
  const row = await standing(deps, tx, by, id);
  if (!(await mayGovern(tx, by, row))) throw new Fault('forbidden');
  return row;
}

async function standing(deps: StandingDeps, tx: Writing, by: Principal, id: AgentId): Promise<AgentRow> {
  const row = await agentBy(tx, by.organization, 'id', id);
  if (row === undefined || isExpired(agentOf(row), deps.clock.now())) throw new Fault('agent_unknown');
  return row;
}

/** The change, its event and the generation, in one transaction; one of two at once loses. */
async function become(
  deps: StandingDeps,
  tx: Writing,
  by: Principal,
  before: AgentRow,
  name: Draft['name'],
  change: AgentChange,
): Promise<Agent> {
  const after = await changeAgent(tx, before, change);
  if (after === undefined) throw new Fault('conflict');
  await deps.audit.record(tx, { name, principal: by, fields: { agent: before.id } });
  await tx.bump('identity');
  return agentOf(after);
}
