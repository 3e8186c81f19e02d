import type { Selectable } from 'kysely';
import type { GrantId, OrganizationId } from '#kernel';
import type { Reading, Schema, Writing } from '#store';
import type { Confirmation } from './contract.ts';

export type RefreshTokenRow = Selectable<Schema['refresh_tokens']>;

export interface NewRefreshToken {
  readonly organization: OrganizationId;
  readonly grant: GrantId;
  readonly hash: string;
  readonly predecessor: string | undefined;
  readonly confirmation: Confirmation | undefined;
  readonly createdAt: number;
  readonly expiresAt: number;
}

export function refreshTokenBy(tx: Reading, column: 'token_hash' | 'predecessor_hash', hash: string): Promise<RefreshTokenRow | undefined> {
  return tx.db.selectFrom('refresh_tokens').selectAll().where(column, '=', hash).executeTakeFirst();
}

/** @throws {UniqueViolation} when its predecessor has a successor */
export async function insertRefreshToken(tx: Writing, token: NewRefreshToken): Promise<void> {
  await tx.db
    .insertInto('refresh_tokens')
    .values({
      organization_id: token.organization,
      grant_id: token.grant,
      token_hash: token.hash,
      predecessor_hash: token.predecessor ?? null,
      created_at: token.createdAt,
      expires_at: token.expiresAt,
      spent_at: null,
      grace_answer: null,
      confirmation_json: token.confirmation === undefined ? null : JSON.stringify(token.confirmation),
      version: 1,
    })
    .execute();
}

/** True for the one caller that spent it. */
export async function spendRefreshToken(tx: Writing, hash: string, now: number, answer: Uint8Array): Promise<boolean> {
  const { numUpdatedRows } = await tx.db
    .updateTable('refresh_tokens')
    .set({ spent_at: now, grace_answer: answer, version: 2 })
    .where('token_hash', '=', hash)
    .where('version', '=', 1)
    .where('spent_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** The stored answer of the token before: its successor was used, so nobody lost it. */
export async function forgetAnswer(tx: Writing, hash: string): Promise<void> {
  await tx.db.updateTable('refresh_tokens').set({ grace_answer: null }).where('token_hash', '=', hash).execute();
}

export async function forgetRefreshTokens(tx: Writing, grants: readonly GrantId[]): Promise<void> {
  if (grants.length > 0) await tx.db.deleteFrom('refresh_tokens').where('grant_id', 'in', grants).execute();
}
