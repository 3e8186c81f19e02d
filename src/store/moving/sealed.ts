import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { type Clock, Fault } from '#kernel';
import type { RecordsBackend } from '../backend.ts';
import { type DatabasePlace, openDatabase } from '../open-database.ts';
import { changePlaceFact, type PlaceFact, placeFactOf, type SealedPlace } from '../place-of-sealed.ts';
import type { SealedEntry, SealedStore } from '../ports.ts';
import { raise } from '../records.ts';
import type { Schema } from '../schema.ts';
import { createSqlSealedStore } from '../sealed.ts';
import { standingOf } from '../standing.ts';

export interface MoveProgress {
  readonly step: 'waiting until every server has heard' | 'copying' | 'verifying' | 'removing';
  readonly done: number;
  readonly total: number;
}

export interface MoveOptions {
  readonly database: DatabasePlace;
  readonly redis: SealedStore;
  readonly to: SealedPlace;
  /** How long until every process has heard that they move, and what it had begun has ended; milliseconds. */
  readonly settle: number;
  readonly clock: Clock;
  readonly dryRun?: boolean;
  readonly onProgress?: (progress: MoveProgress) => void;
}

export interface MoveReport {
  /** `moved`: they lie there from now on. `tidied`: they lay there already, and what an earlier move left behind is gone. */
  readonly outcome: 'moved' | 'tidied' | 'would move' | 'would tidy';
  /** Values that were moved, or would be. */
  readonly values: number;
  /** Over all of them, as they lie in the new place. */
  readonly sha256: string;
  /** Values that were removed from the old place. */
  readonly removed: number;
}

interface Course {
  readonly backend: RecordsBackend;
  readonly from: SealedStore;
  readonly into: SealedStore;
  readonly to: SealedPlace;
  readonly tell: (step: MoveProgress['step'], done: number, total: number) => void;
}

const keysAtOnce = 500;
const together = 16;

/**
 * Moves every sealed value to the other place, as the ciphertext it is. Servers refuse to open or seal meanwhile, and go on
 * when they are started with the other setting. Cut short it may be repeated; said the other way round it turns back.
 * @throws {Fault} `store_not_empty` when the new place holds another value of the same name, `copy_differs`
 */
export async function moveSealed(options: MoveOptions): Promise<MoveReport> {
  const backend = await openDatabase(options.database, options.clock, { mustExist: true });
  try {
    if ((await standingOf(backend))?.state === 'incomplete') throw new Fault('store_incomplete');
    const [from, into] = sidesOf(backend, options);
    const tell = (step: MoveProgress['step'], done: number, total: number) => options.onProgress?.({ step, done, total });
    return await move({ backend, from, into, to: options.to, tell }, options);
  } finally {
    await backend.close();
  }
}

function sidesOf(backend: RecordsBackend, { to, redis }: MoveOptions): readonly [SealedStore, SealedStore] {
  const sql = createSqlSealedStore(backend, 'unguarded');
  return to === 'redis' ? [sql, redis] : [redis, sql];
}

async function move(course: Course, options: MoveOptions): Promise<MoveReport> {
  const { backend, to } = course;
  const found = await backend.read(undefined, placeFactOf);
  const lies = found.place === to && !found.moving;
  const turned = found.moving && found.place !== to;
  if (options.dryRun === true) return await preview(course, lies || turned);
  if (turned) await become(backend, found, { place: to, moving: false });
  if (lies || turned) return { outcome: 'tidied', values: 0, sha256: '', removed: await tidy(course) };
  const under = { place: to, moving: true } as const;
  if (!found.moving) await become(backend, found, under);
  await settle(course, options.settle);
  const values = await copyAll(course, await countOwn(course));
  const sha256 = await verify(course, values);
  await become(backend, under, { place: to, moving: false });
  return { outcome: 'moved', values, sha256, removed: await tidy(course) };
}

async function preview(course: Course, tidies: boolean): Promise<MoveReport> {
  const values = await countOwn(course);
  return { outcome: tidies ? 'would tidy' : 'would move', values: tidies ? 0 : values, sha256: '', removed: values };
}

async function countOwn(course: Course): Promise<number> {
  let count = 0;
  for await (const keys of ownKeys(course, course.from)) count += keys.length;
  return count;
}

/** @throws {Fault} `conflict` when somebody else moves them too */
async function become(backend: RecordsBackend, before: PlaceFact, after: PlaceFact): Promise<void> {
  await backend.write(undefined, async (db) => {
    await raise(db, 'settings');
    if (!(await changePlaceFact(db, before, after))) throw new Fault('conflict');
  });
}

async function settle({ tell }: Course, wait: number): Promise<void> {
  const step = 1_000;
  for (let waited = 0; waited < wait; waited += step) {
    tell('waiting until every server has heard', waited, wait);
    await sleep(Math.min(step, wait - waited));
  }
}

/** Keys of the vaults of this installation: others may keep theirs on the same Redis. */
async function* ownKeys({ backend }: Course, store: SealedStore): AsyncGenerator<readonly string[]> {
  let after: string | undefined;
  for (;;) {
    const keys = await store.list('vault:', { limit: keysAtOnce, ...(after === undefined ? {} : { after }) });
    yield await backend.read(undefined, (db) => ownOf(db, keys));
    after = keys.at(-1);
    if (keys.length < keysAtOnce) return;
  }
}

/** Those of these keys that lie in a vault of this installation. */
export async function ownOf(db: Kysely<Schema>, keys: readonly string[]): Promise<readonly string[]> {
  const vaultOf = (key: string) => key.split(':')[1] ?? '';
  const named = [...new Set(keys.map(vaultOf))];
  if (named.length === 0) return [];
  const rows = await db
    .selectFrom('vaults')
    .select('id')
    .where('id', 'in', named as never[])
    .execute();
  const own = new Set<string>(rows.map(({ id }) => id));
  return keys.filter((key) => own.has(vaultOf(key)));
}

async function copyAll(course: Course, total: number): Promise<number> {
  let done = 0;
  for await (const keys of ownKeys(course, course.from)) {
    await inBatches(keys, (key) => copyOne(course, key));
    done += keys.length;
    course.tell('copying', done, total);
  }
  return done;
}

async function copyOne({ from, into }: Course, key: string): Promise<void> {
  const entry = await from.get(key);
  if (entry === undefined || (await into.put(key, entry.envelope, 0))) return;
  if (!same(await into.get(key), entry))
    throw new Fault('store_not_empty', { detail: 'The new place holds another value of the same name' });
}

function same(one: SealedEntry | undefined, other: SealedEntry | undefined): boolean {
  return one !== undefined && other !== undefined && Buffer.from(one.envelope).equals(other.envelope);
}

/** Reads both sides again; a digest of what lies in the new place. @throws {Fault} `copy_differs` */
async function verify(course: Course, total: number): Promise<string> {
  const hash = createHash('sha256');
  let done = 0;
  for await (const keys of ownKeys(course, course.from)) {
    const pairs = await inBatches(keys, async (key) => ({ key, old: await course.from.get(key), anew: await course.into.get(key) }));
    for (const { key, old, anew } of pairs) {
      if (!same(old, anew)) throw new Fault('copy_differs');
      hash.update(`${key} ${Buffer.from(anew?.envelope ?? []).toString('hex')}\n`);
    }
    done += keys.length;
    course.tell('verifying', done, total);
  }
  if (done !== total) throw new Fault('copy_differs');
  return hash.digest('hex');
}

/** Removes what the place that is not used any more still holds. */
async function tidy(course: Course): Promise<number> {
  let removed = 0;
  for await (const keys of ownKeys(course, course.from)) {
    await inBatches(keys, async (key) => {
      const entry = await course.from.get(key);
      if (entry !== undefined && (await course.from.remove(key, entry.version))) removed += 1;
    });
    course.tell('removing', removed, removed);
  }
  return removed;
}

async function inBatches<T>(keys: readonly string[], work: (key: string) => Promise<T>): Promise<readonly T[]> {
  const results: T[] = [];
  for (let at = 0; at < keys.length; at += together) results.push(...(await Promise.all(keys.slice(at, at + together).map(work))));
  return results;
}
