import type { Audit } from '#audit';
import { type Clock, Fault, newId, type Principal, type UserId } from '#kernel';
import { isUniqueViolation, type Records, type Writing } from '#store';
import type { Vault } from '#vault';
import type { NewUser, User, UserEnds } from './contract.ts';
import { emailKeyOf, parseEmail, parsePersonName } from './email.ts';
import { mayGovern } from './govern.ts';
import { activeOwners, insertUser, updatePassword, updateUserStatus, userById, userOf } from './users.sql.ts';
import { makeOwnVault } from './vaults.ts';

export interface UserDeps {
  readonly records: Records;
  readonly vault: Vault;
  readonly audit: Audit;
  readonly clock: Clock;
}

/** A user, their vault and its key, in the caller's transaction. @throws {Fault} `conflict`, `invalid_request` */
export async function createUser(deps: UserDeps, tx: Writing, wanted: NewUser): Promise<User> {
  const email = parseEmail(wanted.email);
  const now = deps.clock.now();
  const user: User = Object.freeze({
    id: newId('usr', now),
    organization: wanted.organization,
    email,
    name: parsePersonName(wanted.name),
    role: wanted.role,
    status: 'active',
    hasPassword: wanted.passwordHash !== undefined,
    epoch: 1,
    createdAt: now,
  });
  await insertUser(tx, { user, emailKey: emailKeyOf(email), passwordHash: wanted.passwordHash }).catch(refuseTakenAddress);
  await makeOwnVault(deps, tx, user.organization, user.id);
  await deps.audit.record(tx, {
    name: 'user.created',
    principal: { organization: user.organization, subject: { kind: 'user', id: user.id }, actors: [] },
    fields: { user: user.id, role: user.role },
  });
  await tx.bump('identity');
  return user;
}

/** Another password, told in the trail; sessions are for signin to end. @throws {Fault} `not_found` */
export async function setPassword(deps: UserDeps, tx: Writing, by: Principal, id: UserId, passwordHash: string): Promise<void> {
  if (!(await updatePassword(tx, by.organization, id, passwordHash))) throw new Fault('not_found');
  await deps.audit.record(tx, { name: 'user.password_changed', principal: by, fields: { user: id } });
}

function refuseTakenAddress(error: unknown): never {
  if (isUniqueViolation(error)) throw new Fault('conflict', { detail: 'there is a user with this address', cause: error });
  throw error;
}

/**
 * By epoch, so that nothing of the user's older sessions revives. The bump comes first: its row lock lets no two
 * owners suspend each other at once.
 */
export function suspendUser(deps: UserDeps & { readonly userEnds: ReadonlySet<UserEnds> }, by: Principal, id: UserId): Promise<User> {
  return deps.records.in(by.organization).write(async (tx) => {
    await tx.bump('identity');
    const before = await userById(tx, by.organization, id);
    if (before === undefined) throw new Fault('not_found');
    if (!(await mayGovern(tx, by, undefined))) throw new Fault('forbidden');
    if (before.status === 'suspended') return userOf(before);
    const owners = await activeOwners(tx, by.organization);
    if (owners.length === 1 && owners[0]?.id === id) throw new Fault('conflict', { detail: 'the last owner cannot be suspended' });
    if (!(await updateUserStatus(tx, before, 'suspended'))) throw new Fault('conflict');
    for (const listener of deps.userEnds) await listener(tx, userOf(before));
    await deps.audit.record(tx, { name: 'user.suspended', principal: by, fields: { user: id } });
    return userOf({ ...before, status: 'suspended', epoch: before.epoch + 1 });
  });
}
