import type { OrganizationId } from '#kernel';
import type { Reading, Writing } from '#store';

export interface Ending {
  readonly organization: OrganizationId;
  /** A parent of access tokens, as `parent` of #oauth names it. */
  readonly subject: string;
  /** After this no token below it is alive. */
  readonly expiresAt: number;
}

/** @throws {UniqueViolation} when it had ended */
export async function insertEnding(tx: Writing, ending: Ending, now: number): Promise<void> {
  // The counter's lock first: whoever ends something later gets a later row, so reading on from a row misses nothing.
  await tx.bump('grants');
  await tx.db
    .insertInto('endings')
    .values({ organization_id: ending.organization, subject: ending.subject, expires_at: ending.expiresAt, created_at: now })
    .execute();
}

/** What ended after a row and could still be presented, of every organization, in order. */
export function endingsAfter(tx: Reading, row: number, now: number, limit: number) {
  return tx.db
    .selectFrom('endings')
    .select(['row', 'organization_id', 'subject', 'expires_at'])
    .where('row', '>', row)
    .where('expires_at', '>', now)
    .orderBy('row')
    .limit(limit)
    .execute();
}

/**
 * Removes what no token can hang on any more; returns how much. The newest row stays: a database that numbers from its highest
 * row on would give the number of a removed one again, and whoever reads on from a row would miss what has it.
 */
export async function forgetEndings(tx: Writing, now: number, limit: number): Promise<number> {
  const newest = await tx.db.selectFrom('endings').select('row').orderBy('row', 'desc').limit(1).executeTakeFirst();
  if (newest === undefined) return 0;
  const rows = await tx.db
    .selectFrom('endings')
    .select('row')
    .where('expires_at', '<=', now)
    .where('row', '<', newest.row)
    .limit(limit)
    .execute();
  const ids = rows.map(({ row }) => row);
  if (ids.length > 0) await tx.db.deleteFrom('endings').where('row', 'in', ids).execute();
  return ids.length;
}
