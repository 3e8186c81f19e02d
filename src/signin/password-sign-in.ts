import type { User } from '#identity';
import { Fault, newId, type OrganizationId, type Secret, type SessionId } from '#kernel';
import { authenticationMethods, methodsOf } from './authentication-methods.ts';
import type { Session, Started } from './contract.ts';
import type { Lockout, Throttle } from './lockout.ts';
import { checkNewPassword } from './password-rules.ts';
import type { Passwords } from './passwords.ts';
import { authenticateSession } from './sessions.sql.ts';
import { endAllIn, principalOf, type SessionDeps, startSession, takePlace } from './sessions.ts';

export interface PasswordDeps extends SessionDeps {
  readonly passwords: Passwords;
  readonly lockout: Lockout;
}

export interface PasswordAttempt {
  readonly organization: OrganizationId;
  readonly email: string;
  readonly password: Secret<string>;
  readonly address: string;
  readonly label: string;
}

const longestEmail = 1024;

/** Signs in with a password. The session of before ends; the new one has a new id and a new bearer value. */
export async function signIn(deps: PasswordDeps, attempt: PasswordAttempt, previous: SessionId | undefined): Promise<Started> {
  const throttle = deps.lockout.ofAccount(attempt.organization, shortened(attempt.email), attempt.address);
  const user = await provePassword(deps, attempt, throttle);
  return deps.records.in(user.organization).write(async (tx) => {
    await deps.lockout.forget(tx, user.organization, user.email);
    const sid = await takePlace(deps, tx, user, previous);
    return startSession(deps, tx, {
      user,
      kind: 'browser',
      method: 'password',
      address: attempt.address,
      label: attempt.label,
      authenticatedAt: deps.clock.now(),
      madeFrom: undefined,
      sid,
    });
  });
}

/** The same person proves the password again, for a fresh confirmation. A command line cannot. */
export async function reauthenticate(deps: PasswordDeps, session: Session, password: Secret<string>, address: string): Promise<Session> {
  if (session.kind !== 'browser') throw new Fault('confirmation_required');
  const { organization } = session;
  const attempt = { organization, email: session.user.email, password, address, label: '' };
  const user = await provePassword(deps, attempt, deps.lockout.ofSession(session.id));
  if (user.id !== session.user.id) throw new Fault('invalid_credentials');
  const now = deps.clock.now();
  await deps.records.in(organization).write(async (tx) => {
    if (!(await authenticateSession(tx, organization, session.id, now))) throw new Fault('unauthenticated');
    const fields = { session: session.id, method: 'password' };
    await deps.audit.record(tx, { name: 'session.confirmed', principal: session.principal, fields });
    await tx.bump('revocations');
  });
  return Object.freeze({ ...session, user, authenticatedAt: now, methods: methodsOf(authenticationMethods.password) });
}

/** Another password, for whoever proves the one of now. Every other session of theirs ends, with what hangs on it. */
export async function changePassword(
  deps: PasswordDeps,
  session: Session,
  { current, wanted, address }: { readonly current: Secret<string>; readonly wanted: Secret<string>; readonly address: string },
): Promise<void> {
  const { user } = await reauthenticate(deps, session, current, address);
  checkNewPassword(wanted, user.email);
  const hash = await deps.passwords.hash(wanted);
  await deps.records.in(user.organization).write(async (tx) => {
    await deps.identity.setPassword(tx, session.principal, user.id, hash);
    await endAllIn(deps, tx, user, 'password_changed', session.id);
  });
}

/** Whose password it is. Known and unknown addresses take the same steps: two reads, one hash, one count. */
async function provePassword(deps: PasswordDeps, attempt: PasswordAttempt, throttle: Throttle): Promise<User> {
  const { organization, password, address } = attempt;
  await throttle.admit();
  const user = await deps.identity.userByEmail(organization, shortened(attempt.email));
  const stored = await deps.identity.passwordHash(organization, user?.id ?? newId('usr', deps.clock.now()));
  const right = await deps.passwords.holds(stored, password);
  if (right && user?.status === 'active') {
    await throttle.passed();
    return user;
  }
  await throttle.failed();
  throw await refuse(deps, organization, address, user);
}

function shortened(email: string): string {
  return email.length <= longestEmail ? email : '';
}

async function refuse(deps: PasswordDeps, organization: OrganizationId, address: string, user: User | undefined): Promise<Fault> {
  const principal = user === undefined ? ({ organization, subject: { kind: 'system' }, actors: [] } as const) : principalOf(user);
  const fields = { method: 'password', reason: 'invalid_credentials', address };
  await deps.records.in(organization).write((tx) => deps.audit.record(tx, { name: 'sign_in.failed', principal, fields }));
  return new Fault('invalid_credentials');
}
