import type { User } from '#identity';
import { Fault, newId, type OrganizationId, type Secret, type SessionId } from '#kernel';
import type { Session, Started } from './contract.ts';
import type { Lockout } from './lockout.ts';
import type { Passwords } from './passwords.ts';
import { authenticateSession } from './sessions.sql.ts';
import { endIn, principalOf, type SessionDeps, startSession } from './sessions.ts';

export interface PasswordDeps extends SessionDeps {
  readonly passwords: Passwords;
  readonly lockout: Lockout;
}

export interface PasswordAttempt {
  readonly organization: OrganizationId;
  readonly email: string;
  readonly password: Secret<string>;
  readonly address: string;
}

const longestEmail = 1024;

/** Signs in with a password. The session of before ends; the new one has a new id and a new bearer value. */
export async function signIn(deps: PasswordDeps, attempt: PasswordAttempt, previous: SessionId | undefined): Promise<Started> {
  const user = await provePassword(deps, attempt);
  return deps.records.in(user.organization).write(async (tx) => {
    await deps.lockout.forget(tx, user.organization, attempt.email);
    if (previous !== undefined) await endIn(deps, tx, user.organization, previous, 'replaced');
    return startSession(deps, tx, {
      user,
      kind: 'browser',
      method: 'password',
      address: attempt.address,
      label: '',
      authenticatedAt: deps.clock.now(),
      madeFrom: undefined,
    });
  });
}

/** The same person proves the password again, for a fresh confirmation. A command line cannot. */
export async function reauthenticate(deps: PasswordDeps, session: Session, password: Secret<string>, address: string): Promise<Session> {
  if (session.kind !== 'browser') throw new Fault('confirmation_required');
  const { organization } = session;
  const user = await provePassword(deps, { organization, email: session.user.email, password, address });
  if (user.id !== session.user.id) throw new Fault('invalid_credentials');
  const now = deps.clock.now();
  await deps.records.in(organization).write(async (tx) => {
    if (!(await authenticateSession(tx, organization, session.id, now))) throw new Fault('unauthenticated');
    await deps.lockout.forget(tx, organization, user.email);
    const fields = { session: session.id, method: 'password' };
    await deps.audit.record(tx, { name: 'session.confirmed', principal: session.principal, fields });
    await tx.bump('revocations');
  });
  return Object.freeze({ ...session, user, authenticatedAt: now });
}

/** Whose password it is. Known and unknown addresses take the same steps: two reads, one hash, one count. */
async function provePassword(deps: PasswordDeps, attempt: PasswordAttempt): Promise<User> {
  const { organization, password, address } = attempt;
  const email = attempt.email.length <= longestEmail ? attempt.email : '';
  await deps.lockout.admit(organization, email, address);
  const user = await deps.identity.userByEmail(organization, email);
  const stored = await deps.identity.passwordHash(organization, user?.id ?? newId('usr', deps.clock.now()));
  const right = await deps.passwords.holds(stored, password);
  if (!right || user?.status !== 'active') throw await refuse(deps, organization, email, address, user);
  await deps.lockout.passed(organization, email, address);
  return user;
}

async function refuse(
  deps: PasswordDeps,
  organization: OrganizationId,
  email: string,
  address: string,
  user: User | undefined,
): Promise<Fault> {
  await deps.lockout.failed(organization, email);
  const principal = user === undefined ? ({ organization, subject: { kind: 'system' }, actors: [] } as const) : principalOf(user);
  const fields = { method: 'password', reason: 'invalid_credentials', address };
  await deps.records.in(organization).write((tx) => deps.audit.record(tx, { name: 'sign_in.failed', principal, fields }));
  return new Fault('invalid_credentials');
}
