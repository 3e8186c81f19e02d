import type { Kysely } from 'kysely';
import { z } from 'zod';
import { Fault } from '#kernel';
import type { RecordsBackend } from './backend.ts';
import type { Writing } from './ports.ts';
import type { Schema } from './schema.ts';

/** The platform fact that says how an installation stands. It belongs to its database, so it is neither copied nor archived. */
export const standingFact = 'standing';

const shape = z.object({
  /** `incomplete`: a copy or a restore has not ended, or did not end well. `paused`: whole, and nobody has said `resume`. */
  state: z.enum(['incomplete', 'paused']),
  by: z.enum(['copy', 'restore', 'operator']),
  /** Which installation it came from; empty where it is its own. */
  origin: z.string(),
  at: z.int(),
  /** Who fills it, while it is incomplete. */
  work: z.string().optional(),
});

/** Why an installation may not be served. */
export type Standing = Readonly<z.infer<typeof shape>>;

/** How the installation stands; undefined: it may be served. A database without tables has no standing. */
export async function standingOf(backend: RecordsBackend): Promise<Standing | undefined> {
  return await backend.read(undefined, async (db) => {
    const tables = await db.introspection.getTables();
    return tables.some(({ name }) => name === 'platform_facts') ? await readStanding(db) : undefined;
  });
}

export async function readStanding(db: Kysely<Schema>): Promise<Standing | undefined> {
  const row = await db.selectFrom('platform_facts').select('value').where('name', '=', standingFact).executeTakeFirst();
  return row === undefined ? undefined : shape.parse(JSON.parse(row.value));
}

/** Writes how it stands; undefined: it may be served from now on. */
export async function setStanding(db: Kysely<Schema>, standing: Standing | undefined): Promise<void> {
  await db.deleteFrom('platform_facts').where('name', '=', standingFact).execute();
  if (standing === undefined) return;
  await db
    .insertInto('platform_facts')
    .values({ name: standingFact, value: JSON.stringify(standing), version: 1 })
    .execute();
}

/** Ends a pause, in the caller's transaction; why there was one, told to exactly one caller. */
export async function endPause({ db }: Writing): Promise<Standing | undefined> {
  const standing = await readStanding(db);
  if (standing?.state !== 'paused') return undefined;
  const { numDeletedRows } = await db.deleteFrom('platform_facts').where('name', '=', standingFact).executeTakeFirstOrThrow();
  return numDeletedRows === 1n ? standing : undefined;
}

/** Pauses an installation that stands; one that is paused stays as it is. False: it was paused. */
export async function beginPause({ db }: Writing, now: number): Promise<boolean> {
  if ((await readStanding(db)) !== undefined) return false;
  await setStanding(db, { state: 'paused', by: 'operator', origin: '', at: now });
  return true;
}

/** @throws {Fault} `store_incomplete`, `paused` */
export function refuseStanding(standing: Standing | undefined): void {
  if (standing?.state === 'incomplete') throw new Fault('store_incomplete');
  if (standing?.state === 'paused') throw new Fault('paused');
}
