import type { Kysely } from 'kysely';
import { Fault, settingFault } from '#kernel';
import type { RecordsBackend } from './backend.ts';
import { hotQuery } from './hot-query.ts';
import type { Schema } from './schema.ts';

const fact = 'sealed_values_on';

/** Where sealed values lie. */
export type SealedPlace = 'database' | 'redis';

/** Where they lie, or where they are being moved to; while they are moved they still lie in the other place. */
export interface PlaceFact {
  readonly place: SealedPlace;
  readonly moving: boolean;
}

const moving = 'moving:';

/** Asked in every write of a sealed value, so built once. */
const selectPlace = hotQuery<object, { readonly value: string }>((db) =>
  db.selectFrom('platform_facts').select('value').where('name', '=', fact),
);

export async function placeFactOf(db: Kysely<Schema>): Promise<PlaceFact> {
  const { rows } = await selectPlace({ db, organization: undefined }, {});
  return parsed(rows[0]?.value);
}

function parsed(value: string | undefined): PlaceFact {
  const place = value?.replace(moving, '') === 'redis' ? 'redis' : 'database';
  return { place, moving: value?.startsWith(moving) === true };
}

/** Writes it, if it is still as it was read; false: somebody else was faster. */
export async function changePlaceFact(db: Kysely<Schema>, before: PlaceFact, after: PlaceFact): Promise<boolean> {
  const value = printed(after);
  const { numUpdatedRows } = await db
    .updateTable('platform_facts')
    .set((row) => ({ value, version: row('version', '+', 1) }))
    .where('name', '=', fact)
    .where('value', '=', printed(before))
    .executeTakeFirstOrThrow();
  if (numUpdatedRows === 1n) return true;
  if (before.place !== 'database' || before.moving || (await isThere(db))) return false;
  await db.insertInto('platform_facts').values({ name: fact, value, version: 1 }).execute();
  return true;
}

async function isThere(db: Kysely<Schema>): Promise<boolean> {
  return (await db.selectFrom('platform_facts').select('name').where('name', '=', fact).executeTakeFirst()) !== undefined;
}

function printed({ place, moving: under }: PlaceFact): string {
  return `${under ? moving : ''}${place}`;
}

/**
 * Sealed values lie in one place, and looked for in the other they would all be lost.
 * @throws {Fault} `invalid_setting` when they lie elsewhere, `vault_moving` when they are being moved
 */
export async function keepPlace(backend: RecordsBackend, place: SealedPlace): Promise<void> {
  await backend.exclusively(async (db) => {
    const row = await db.selectFrom('platform_facts').select('value').where('name', '=', fact).executeTakeFirst();
    if (row === undefined && place === 'redis') {
      const other = await db.selectFrom('sealed_values').select('key').limit(1).executeTakeFirst();
      if (other !== undefined) throw elsewhere('database', place);
      await db.insertInto('platform_facts').values({ name: fact, value: place, version: 1 }).execute();
      return;
    }
    refuseElsewhere(parsed(row?.value), place);
  });
}

/** @throws {Fault} `invalid_setting`, `vault_moving` */
export function refuseElsewhere(found: PlaceFact, place: SealedPlace): void {
  if (found.moving) throw new Fault('vault_moving', { hint: `repeat: gatehouse vault move --to ${found.place}` });
  if (found.place !== place) throw elsewhere(found.place, place);
}

/** Where they lie. @throws {Fault} `vault_moving` */
export async function placeOfSealed(db: Kysely<Schema>): Promise<SealedPlace> {
  const found = await placeFactOf(db);
  if (found.moving) throw new Fault('vault_moving', { hint: `repeat: gatehouse vault move --to ${found.place}` });
  return found.place;
}

function elsewhere(found: SealedPlace, asked: SealedPlace): Fault {
  const sentence = `the sealed values of this installation lie in the other place; write ${found}, or move them with: gatehouse vault move --to ${asked}`;
  return settingFault({ GATEHOUSE_VAULT_BACKEND: sentence });
}
