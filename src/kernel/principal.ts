import type { AgentId, OrganizationId, UserId } from './id.ts';

/** One party that acts or is acted for. `system` is Gatehouse itself (jobs); `operator` is who runs the process. */
export type Actor =
  | { readonly kind: 'user'; readonly id: UserId }
  | { readonly kind: 'agent'; readonly id: AgentId }
  | { readonly kind: 'operator' }
  | { readonly kind: 'system' };

/**
 * Who is asking. `subject` is the party on whose behalf; `actors` are those who act for it, the current one first
 * (RFC 8693 §4.1: the outermost `act` is the current actor). A person acting alone has no actors;
 * an agent of a person has that person as subject and itself as the only actor.
 */
export interface Principal {
  readonly organization: OrganizationId;
  readonly subject: Actor;
  readonly actors: readonly Actor[];
}

/** How far keys and injection are from the agent: another OS user or host, or the same OS user. */
export type Level = 'separated' | 'cooperative';
