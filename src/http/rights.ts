import type { Agent, User } from '#identity';
import { Fault } from '#kernel';
import type { ChangeKind, Confirmation } from '#policy';

export function administers(user: User): boolean {
  return user.role !== 'member';
}

/** @throws {Fault} `forbidden` */
export function mustAdminister(user: User): void {
  if (!administers(user)) throw new Fault('forbidden');
}

export function owns(user: User, agent: Agent): boolean {
  return agent.owner?.kind === 'user' && agent.owner.id === user.id;
}

/** The owner, or an administrator. @throws {Fault} `agent_unknown` */
export function mustControl(user: User, agent: Agent): void {
  if (!owns(user, agent) && !administers(user)) throw new Fault('agent_unknown');
}

/** What changes the installation for everybody. */
const administrative: ReadonlySet<ChangeKind> = new Set([
  'provider.register',
  'provider.remove',
  'provider.client',
  'upstream.add',
  'key.add',
  'key.rotate',
  'client.add',
  'invitation.add',
  'client.secret',
  'details_type.add',
  'lives.change',
  'resource.add',
  'resource.change',
  'registration_token.add',
  'trust.add',
  'signing_key.import',
  'signing_key.rotate',
]);

/**
 * Whether this person may see and answer it: an administrator, or whoever asked, for what is theirs to change. Only an owner makes
 * another one.
 */
export function mayAnswer(user: User, { requestedBy, kind, change }: Pick<Confirmation, 'requestedBy' | 'kind' | 'change'>): boolean {
  if (kind === 'invitation.add' && change.role === 'owner') return user.role === 'owner';
  return administers(user) || (requestedBy.kind === 'user' && requestedBy.id === user.id && !administrative.has(kind));
}
