import { sql } from 'kysely';
import type { OrganizationId, UserId } from '#kernel';
import type { Reading, Writing } from '#store';
import type { User } from './contract.ts';
import type { PageStart } from './page.ts';

const columns = [
  'row',
  'id',
  'organization_id',
  'email',
  'name',
  'role',
  'status',
  'password_hash',
  'epoch',
  'created_at',
  'version',
] as const;

export interface UserRow {
  readonly row: number;
  readonly id: UserId;
  readonly organization_id: OrganizationId;
  readonly email: string;
  readonly name: string;
  readonly role: User['role'];
  readonly status: User['status'];
  readonly password_hash: string | null;
  readonly epoch: number;
  readonly created_at: number;
  readonly version: number;
}

export function userOf(row: UserRow): User {
  return Object.freeze({
    id: row.id,
    organization: row.organization_id,
    email: row.email,
    name: row.name,
    role: row.role,
    status: row.status,
    hasPassword: row.password_hash !== null,
    epoch: row.epoch,
    createdAt: row.created_at,
  });
}

export function userById(tx: Reading, organization: OrganizationId, id: UserId): Promise<UserRow | undefined> {
  return tx.db.selectFrom('users').select(columns).where('organization_id', '=', organization).where('id', '=', id).executeTakeFirst();
}

export function userByKey(tx: Reading, organization: OrganizationId, emailKey: string): Promise<UserRow | undefined> {
  return tx.db
    .selectFrom('users')
    .select(columns)
    .where('organization_id', '=', organization)
    .where('email_key', '=', emailKey)
    .executeTakeFirst();
}

export async function passwordHashOf(tx: Reading, organization: OrganizationId, id: UserId): Promise<string | undefined> {
  const row = await tx.db
    .selectFrom('users')
    .select('password_hash')
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .executeTakeFirst();
  return row?.password_hash ?? undefined;
}

/** Active owners, oldest first; at most two are ever asked for. */
export function activeOwners(tx: Reading, organization: OrganizationId): Promise<readonly UserRow[]> {
  return tx.db
    .selectFrom('users')
    .select(columns)
    .where('organization_id', '=', organization)
    .where('role', '=', 'owner')
    .where('status', '=', 'active')
    .orderBy('row')
    .limit(2)
    .execute();
}

export function usersPage(tx: Reading, organization: OrganizationId, start: PageStart): Promise<readonly UserRow[]> {
  let query = tx.db.selectFrom('users').select(columns).where('organization_id', '=', organization);
  if (start.before !== undefined) query = query.where('row', '<', start.before);
  if (start.like !== undefined) {
    const like = start.like;
    query = query.where(
      sql<boolean>`(email_key like ${like} escape '!' or lower(name) like ${like} escape '!' or id like ${like} escape '!')`,
    );
  }
  return query
    .orderBy('row', 'desc')
    .limit(start.limit + 1)
    .execute();
}

/** Ends everything that was made for any user until now. */
export async function raiseUsers(tx: Writing): Promise<void> {
  await tx.db
    .updateTable('users')
    .set((row) => ({ epoch: row('epoch', '+', 1), version: row('version', '+', 1) }))
    .execute();
}

export interface UserInsert {
  readonly user: User;
  readonly emailKey: string;
  readonly passwordHash: string | undefined;
}

/** @throws {UniqueViolation} when the address is taken */
export async function insertUser(tx: Writing, { user, emailKey, passwordHash }: UserInsert): Promise<void> {
  await tx.db
    .insertInto('users')
    .values({
      id: user.id,
      organization_id: user.organization,
      email: user.email,
      email_key: emailKey,
      name: user.name,
      role: user.role,
      status: user.status,
      password_hash: passwordHash ?? null,
      epoch: user.epoch,
      created_at: user.createdAt,
      version: 1,
    })
    .execute();
}

/** True if there is such a person. */
export async function updatePassword(tx: Writing, organization: OrganizationId, id: UserId, passwordHash: string): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('users')
    .set(({ eb }) => ({ password_hash: passwordHash, version: eb('version', '+', 1) }))
    .where('organization_id', '=', organization)
    .where('id', '=', id)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** True if this was the version that stood. */
export async function updateUserStatus(tx: Writing, before: UserRow, status: User['status']): Promise<boolean> {
  const result = await tx.db
    .updateTable('users')
    .set({ status, epoch: before.epoch + 1, version: before.version + 1 })
    .where('organization_id', '=', before.organization_id)
    .where('id', '=', before.id)
    .where('version', '=', before.version)
    .executeTakeFirst();
  return result.numUpdatedRows === 1n;
}
