import type { Kysely } from 'kysely';
import { Fault } from '#kernel';
import type { RecordsBackend } from './backend.ts';
import type { Schema } from './schema.ts';

const fact = 'sealed_values_on';

/**
 * Sealed values lie in one place for good: nothing moves them, and looked for in another they would all be lost.
 * @throws {Fault} `invalid_setting` when they lie elsewhere
 */
export async function keepPlace(backend: RecordsBackend, place: 'database' | 'redis'): Promise<void> {
  await backend.exclusively(async (db) => {
    const row = await db.selectFrom('platform_facts').select('value').where('name', '=', fact).executeTakeFirst();
    if (row?.value === place) return;
    if (place === 'database' && row === undefined) return;
    const other = await db.selectFrom('sealed_values').select('key').limit(1).executeTakeFirst();
    if (row !== undefined || other !== undefined) throw elsewhere(row?.value ?? 'database');
    await db.insertInto('platform_facts').values({ name: fact, value: place, version: 1 }).execute();
  });
}

/** Where they lie. */
export async function placeOfSealed(db: Kysely<Schema>): Promise<'database' | 'redis'> {
  const row = await db.selectFrom('platform_facts').select('value').where('name', '=', fact).executeTakeFirst();
  return row?.value === 'redis' ? 'redis' : 'database';
}

function elsewhere(place: string): Fault {
  const sentence = `the sealed values of this installation lie in the other place, and this version does not move them; write ${place}`;
  return new Fault('invalid_setting', { detail: `GATEHOUSE_VAULT_BACKEND: ${sentence}`, fields: { GATEHOUSE_VAULT_BACKEND: sentence } });
}
