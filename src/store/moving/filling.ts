import { randomUUID } from 'node:crypto';
import type { Kysely } from 'kysely';
import { Fault } from '#kernel';
import type { RecordsBackend } from '../backend.ts';
import { hasNothing } from '../migrate.ts';
import type { Schema } from '../schema.ts';
import { readStanding, type Standing, setStanding } from '../standing.ts';

/** Work that fills a database, which nobody serves meanwhile. */
export interface Filling {
  /** What it writes is written only while it still is the one that fills the database. @throws {Fault} `conflict` */
  readonly target: RecordsBackend;
  /** The database is whole; undefined: it is as if nobody had begun. @throws {Fault} `conflict` */
  end(standing: 'paused' | undefined): Promise<void>;
}

type Begin = Pick<Standing, 'by' | 'origin' | 'at'>;

/**
 * Begins in one transaction with the look whether it may. Who began before on the same database writes nothing from then on, for
 * what it does not know of could be a copy that is served by now.
 * @throws {Fault} `store_not_empty` where something lies that `mayReplace` does not say is left from such work
 */
export async function beginFilling(target: RecordsBackend, begin: Begin, mayReplace: (standing: Standing) => boolean): Promise<Filling> {
  const own: Standing = { ...begin, state: 'incomplete', work: randomUUID() };
  await target.write(undefined, async (db) => {
    const standing = await readStanding(db);
    const replaces = standing !== undefined && mayReplace(standing);
    if (!replaces && !(standing === undefined && (await hasNothing(db)))) throw new Fault('store_not_empty');
    await setStanding(db, own);
  });
  const write: RecordsBackend['write'] = (narrowing, fn, committed) =>
    target.write(
      narrowing,
      async (db) => {
        await assertOwn(db, own);
        return await fn(db);
      },
      committed,
    );
  return {
    target: { ...target, write },
    end: (state) => write(undefined, (db) => setStanding(db, state === undefined ? undefined : { ...begin, state })),
  };
}

async function assertOwn(db: Kysely<Schema>, own: Standing): Promise<void> {
  if ((await readStanding(db))?.work === own.work) return;
  throw new Fault('conflict', { detail: 'Somebody else began to fill the same database meanwhile, and goes on with it' });
}
