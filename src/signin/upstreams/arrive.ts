import type { User } from '#identity';
import { Fault, isFault } from '#kernel';
import { isUniqueViolation, type Writing } from '#store';
import type { Started } from '../contract.ts';
import { startSession, takePlace } from '../sessions.ts';
import type { Arrival, Upstream } from './contract.ts';
import type { UpstreamDeps } from './deps.ts';
import { type MethodRow, methodOf, useMethod } from './methods.sql.ts';
import { addMethod } from './methods.ts';
import type { UpstreamIdentity } from './person.ts';
import type { Transaction } from './transaction.ts';

export interface Coming {
  readonly arrival: Arrival;
  readonly transaction: Transaction;
  /** The session remembers that it was made from this state (SECURITY 14). */
  readonly state: string;
}

/** However many come at once, each loses at most to the one that made the user, and to one that linked. */
const tries = 5;

/**
 * Signs in whoever this is here: who is linked; else who has the address, where the upstream is believed about it; else, where
 * the upstream may bring people, somebody new. Of any number of first sign-ins at once, one makes the user: the
 * others lose on the unique subject, look again, and find them.
 * @throws {Fault} `account_unknown`
 */
export async function arrive(deps: UpstreamDeps, upstream: Upstream, identity: UpstreamIdentity, coming: Coming): Promise<Started> {
  for (let attempt = 1; ; attempt++) {
    try {
      const who = await whoIs(deps, upstream, identity);
      return await deps.records.in(upstream.organization).write((tx) => letIn(deps, tx, upstream, identity, coming, who));
    } catch (error) {
      if (isUniqueViolation(error, 'sessions.made_from')) throw new Fault('link_ended', { cause: error });
      if (attempt === tries || !lostRace(error)) throw error;
    }
  }
}

/** Somebody else linked, or made the user, meanwhile. */
function lostRace(error: unknown): boolean {
  return isUniqueViolation(error) || isFault(error, 'conflict');
}

type Who =
  | { readonly kind: 'linked'; readonly user: User; readonly method: MethodRow }
  | { readonly kind: 'known'; readonly user: User }
  | { readonly kind: 'new' };

/**
 * Who administers the organization is known by what they linked themselves, never by an address: an administrator chooses whose
 * word counts, and would else be let in as another one, or as the owner.
 * @throws {Fault} `account_unknown`, the same for whoever is not here, is suspended, or is not believed to be who is here
 */
async function whoIs(deps: UpstreamDeps, upstream: Upstream, { subjectHash, email, believed }: UpstreamIdentity): Promise<Who> {
  const { organization, id, signUp } = upstream;
  const method = await deps.records.in(organization).read((tx) => methodOf(tx, organization, id, subjectHash));
  if (method !== undefined) {
    const user = await deps.identity.user(organization, method.user_id);
    if (user?.status !== 'active') throw new Fault('account_unknown');
    return { kind: 'linked', user, method };
  }
  const user = email === undefined || believed === 'no' ? undefined : await deps.identity.userByEmail(organization, email);
  if (user !== undefined && believed === 'domain' && user.status === 'active' && user.role === 'member') return { kind: 'known', user };
  if (user !== undefined || !signUp || believed === 'no') throw new Fault('account_unknown');
  return { kind: 'new' };
}

/** The user, the link and the session stand or fall together. */
async function letIn(
  deps: UpstreamDeps,
  tx: Writing,
  upstream: Upstream,
  identity: UpstreamIdentity,
  { arrival, transaction, state }: Coming,
  who: Who,
): Promise<Started> {
  const now = deps.clock.now();
  const user = who.kind === 'new' ? await makeUser(deps, tx, upstream, identity) : who.user;
  if (who.kind !== 'linked') await addMethod(deps, tx, upstream, identity, user);
  else if (!(await useMethod(tx, who.method, now))) throw new Fault('account_unknown');
  const sid = await takePlace(deps, tx, user, arrival.session?.id);
  const told = identity.authenticatedAt ?? now;
  return startSession(deps, tx, {
    user,
    kind: 'browser',
    method: 'upstream',
    address: arrival.address,
    label: arrival.label,
    // Who was asked for their password there because we wanted it, proved it just now.
    authenticatedAt: transaction.again ? now : Math.min(told, now),
    madeFrom: state,
    sid,
  });
}

async function makeUser(deps: UpstreamDeps, tx: Writing, { organization }: Upstream, { email, name }: UpstreamIdentity): Promise<User> {
  if (email === undefined) throw new Fault('account_unknown');
  return deps.identity.createUser(tx, { organization, email, name: name ?? email, role: 'member', passwordHash: undefined });
}
