import { sha256 } from './keys.ts';
import type { Reading, Writing } from './ports.ts';

/** A single-use value that is being spent (SECURITY 14). */
export interface SpentValue {
  readonly kind: string;
  /** The value itself; only its hash, together with its kind, is stored. */
  readonly value: string;
  /** What is made from it, so that a second spend can end that. */
  readonly made: string;
  readonly now: number;
  /** After this the value is dead by itself and the row may go. */
  readonly expiresAt: number;
}

/**
 * Stores the hash of a single-use value in the transaction that makes something of it.
 * @throws {UniqueViolation} on `spent_values.hash` when it was spent before
 */
export async function spend(tx: Writing, spent: SpentValue): Promise<void> {
  await tx.db
    .insertInto('spent_values')
    .values({
      hash: sha256(`${spent.kind}:${spent.value}`),
      kind: spent.kind,
      made: spent.made,
      spent_at: spent.now,
      expires_at: spent.expiresAt,
    })
    .execute();
}

/** What was made from a value that was spent, for as long as that is kept. */
export async function madeFrom(tx: Reading, kind: string, value: string): Promise<string | undefined> {
  const hash = sha256(`${kind}:${value}`);
  return (await tx.db.selectFrom('spent_values').select('made').where('hash', '=', hash).executeTakeFirst())?.made;
}

/** Removes what was spent and is dead by itself by `now`, at most `limit` rows; returns how many. */
export async function forgetSpent(tx: Writing, now: number, limit: number): Promise<number> {
  const rows = await tx.db.selectFrom('spent_values').select('hash').where('expires_at', '<=', now).limit(limit).execute();
  if (rows.length === 0) return 0;
  const hashes = rows.map(({ hash }) => hash);
  await tx.db.deleteFrom('spent_values').where('hash', 'in', hashes).execute();
  return rows.length;
}
