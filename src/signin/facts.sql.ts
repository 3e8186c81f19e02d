import type { Reading, Writing } from '#store';

/** @throws {UniqueViolation} when the fact stands: whoever comes second loses */
export async function insertFact(tx: Writing, name: string, value: string): Promise<void> {
  await tx.db.insertInto('platform_facts').values({ name, value, version: 1 }).execute();
}

export async function hasFact(tx: Reading, name: string): Promise<boolean> {
  return (await tx.db.selectFrom('platform_facts').select('name').where('name', '=', name).executeTakeFirst()) !== undefined;
}
