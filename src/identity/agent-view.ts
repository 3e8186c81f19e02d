import type { Principal } from '#kernel';
import { parsePublicJwk, thumbprint, type VerificationKey } from '#oauth';
import type { AgentRow } from './agents.sql.ts';
import type { Agent } from './contract.ts';

/** An agent with its parsed key, as the cache holds it. */
export interface KnownAgent {
  readonly agent: Agent;
  readonly key: VerificationKey;
}

type StoredAgent = Omit<AgentRow, 'row'>;

export function knownAgentOf(row: StoredAgent): KnownAgent {
  const key = parsePublicJwk(JSON.parse(row.public_jwk_json));
  if (key === undefined) throw new TypeError('a stored agent key does not parse');
  return { agent: viewOf(row, key), key };
}

export function agentOf(row: StoredAgent): Agent {
  return knownAgentOf(row).agent;
}

function viewOf(row: StoredAgent, key: VerificationKey): Agent {
  return Object.freeze({
    id: row.id,
    organization: row.organization_id,
    handle: row.handle,
    did: row.did,
    algorithm: row.algorithm,
    thumbprint: thumbprint(key.jwk),
    status: row.status,
    owner: ownerOf(row),
    confirmedAt: row.confirmed_at ?? undefined,
    registeredFrom: row.registered_from,
    epoch: row.epoch,
    createdAt: row.created_at,
    expiresAt: row.expires_at ?? undefined,
  });
}

function ownerOf(row: StoredAgent): Agent['owner'] {
  if (row.owner_kind === 'organization') return { kind: 'organization' };
  return row.owner_user_id === null ? undefined : { kind: 'user', id: row.owner_user_id };
}

/** Whether it is unclaimed and its hour is over: it counts as gone, swept or not. */
export function isExpired(agent: Pick<Agent, 'status' | 'expiresAt'>, now: number): boolean {
  return agent.status === 'registered' && agent.expiresAt !== undefined && agent.expiresAt <= now;
}

/** Who an agent acts for: its owner as subject, itself as the actor; an agent of nobody acts for itself. */
export function principalOf(agent: Agent): Principal {
  const self = { kind: 'agent', id: agent.id } as const;
  if (agent.owner?.kind !== 'user') return { organization: agent.organization, subject: self, actors: [] };
  return { organization: agent.organization, subject: { kind: 'user', id: agent.owner.id }, actors: [self] };
}
