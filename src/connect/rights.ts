import type { Identity } from '#identity';
import { type Actor, Fault, type Principal } from '#kernel';
import type { ConnectionRow } from './connections.sql.ts';

/** A person, or the operator of this process; never an agent. @throws {Fault} `forbidden` */
export function personOf(by: Principal): Extract<Actor, { kind: 'user' | 'operator' }> {
  if (by.actors.length > 0 || (by.subject.kind !== 'user' && by.subject.kind !== 'operator')) throw new Fault('forbidden');
  return by.subject;
}

/** Whether two parties are the same. */
export function sameParty(a: Actor, b: Actor): boolean {
  if (a.kind !== b.kind) return false;
  return !('id' in a) || ('id' in b && a.id === b.id);
}

/** The owner of a connection, an administrator of the organization or the operator may change it. @throws {Fault} `forbidden` */
export async function assertMayManage(identity: Identity, by: Principal, row: ConnectionRow): Promise<void> {
  const person = personOf(by);
  if (person.kind === 'operator' || row.owner_user_id === person.id) return;
  const user = await identity.user(by.organization, person.id);
  if (user === undefined || user.status !== 'active' || user.role === 'member') throw new Fault('forbidden');
}
