import type { Principal } from '#kernel';
import type { Reading } from '#store';
import type { AgentRow } from './agents.sql.ts';
import { userById } from './users.sql.ts';

/**
 * Whether this principal may change the standing of an agent (or, without one, of anybody): whoever runs the process,
 * the owner, or an administrator, each acting alone. Where an agent is in the chain, never.
 */
export async function mayGovern(tx: Reading, by: Principal, agent: AgentRow | undefined): Promise<boolean> {
  if (by.actors.length > 0) return false;
  if (by.subject.kind === 'operator' || by.subject.kind === 'system') return true;
  if (by.subject.kind === 'agent') return false;
  const user = await userById(tx, by.organization, by.subject.id);
  if (user?.status !== 'active') return false;
  return user.role !== 'member' || agent?.owner_user_id === user.id;
}
