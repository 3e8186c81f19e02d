import { setTimeout as wait } from 'node:timers/promises';
import { type Clock, Fault, isFault, type Log } from '#kernel';
import type { SealedStore } from '#store';
import { type Label, type RotationProgress, type SealedCell, type SealedColumn, sealedColumnNames } from './contract.ts';
import type { DataKeyQueries, DataKeyRow } from './data-keys.sql.ts';
import { type DataKeys, scopeOf } from './data-keys.ts';
import { type Envelope, openEnvelope, parseEnvelope, sealEnvelope } from './envelope.ts';
import type { Keyring } from './keyring.ts';
import { labelOf, placeOf } from './place.ts';
import { markMasterKey } from './start.ts';
import { wrapDataKey } from './wrapping.ts';

export interface RotationDeps {
  readonly queries: DataKeyQueries;
  readonly dataKeys: DataKeys;
  readonly keyring: Keyring;
  readonly sealed: SealedStore;
  readonly columns: () => readonly SealedColumn[];
  readonly clock: Clock;
  readonly log: Log;
  /** How long until every process has heard of new data keys, milliseconds. */
  readonly settle: number;
}

type Tally = { -readonly [K in keyof RotationProgress]: RotationProgress[K] };

/** One rotation under way. */
interface Course extends RotationDeps {
  readonly master: string;
  readonly tally: Tally;
  readonly tell: () => void;
}

const pageSize = 200;

/**
 * Wraps every data key with the newest master key. With `compromised`, replaces every data key that was ever wrapped with
 * an older one and seals every value again. What is left to do is read from the rows, so a rotation that was cut goes on.
 */
export async function rotate(
  deps: RotationDeps,
  options: { readonly compromised: boolean; readonly onProgress?: (progress: RotationProgress) => void },
): Promise<RotationProgress> {
  const { queries, keyring } = deps;
  await keyring.reload();
  const master = keyring.current();
  if (options.compromised) await refuseHalfRotation(deps);
  await markMasterKey(deps, master);
  const { wrap, replace } = await queries.counts(master.id);
  const tally: Tally = { done: 0, total: wrap + (options.compromised ? replace : 0), resealed: 0, unreadable: 0 };
  const course: Course = { ...deps, master: master.id, tally, tell: () => options.onProgress?.({ ...tally }) };
  course.tell();
  if (options.compromised) await replaceDataKeys(course);
  await rewrapDataKeys(course);
  await queries.announce();
  if (options.compromised) await resealEverything(course);
  course.tell();
  return { ...tally };
}

/** A compromised rotation needs a key the thief does not have, and every place where a value may lie. */
async function refuseHalfRotation(deps: RotationDeps): Promise<void> {
  const given = new Set(deps.columns().map((column) => column.name));
  const lacking = sealedColumnNames.filter((name) => !given.has(name));
  if (lacking.length > 0) throw new Fault('internal', { detail: `the rotation was not given ${lacking.join(', ')}` });
  const current = deps.keyring.current().id;
  const others = (await deps.queries.marks()).filter((mark) => mark.id !== current);
  if (others.length === 0) {
    throw new Fault('invalid_request', {
      detail: 'There is no newer master key to rotate to',
      hint: 'add one first with: gatehouse keys add',
    });
  }
}

async function replaceDataKeys(course: Course): Promise<void> {
  const { queries, dataKeys, master, tally } = course;
  const page = (after: number) => queries.activeMadeUnderOthers(master, after, pageSize);
  await eachRow(page, async (row) => {
    if (await queries.replace(row, dataKeys.fresh(row.scope))) return count(tally);
    course.log.debug('a data key was changed while it was being replaced', { key: row.id });
    const current = await queries.byId(row.id);
    if (current?.status === 'active') await queries.replace(current, dataKeys.fresh(current.scope));
    count(tally);
  });
  course.tell();
}

/** Until nothing is left, or only what cannot be wrapped. */
async function rewrapDataKeys(course: Course): Promise<void> {
  const { queries, master, tally } = course;
  const damaged = new Set<string>();
  for (;;) {
    const left = await eachRow(
      (after) => queries.wrappedWithOthers(master, after, pageSize),
      (row) => rewrap(course, row, damaged),
    );
    course.tell();
    if (left <= damaged.size) break;
  }
  tally.unreadable += damaged.size;
}

async function rewrap(course: Course, row: DataKeyRow, damaged: Set<string>): Promise<void> {
  const { dataKeys, keyring, queries, tally, log } = course;
  try {
    const { key, scope } = await dataKeys.unwrap(row);
    const current = keyring.current();
    if (await queries.rewrap(row, current.id, wrapDataKey(current, { id: row.id, scope }, key))) count(tally);
  } catch (error) {
    if (!isFault(error, 'sealed_value_unreadable')) throw error;
    if (!damaged.has(row.id)) log.warn('a data key does not unwrap and was left as it is', { key: row.id });
    damaged.add(row.id);
  }
}

/** Two passes: the second finds what another process sealed before it had heard of the new data keys. */
async function resealEverything(course: Course): Promise<void> {
  await resealPass(course, true);
  await wait(course.settle);
  await resealPass(course, false);
}

async function resealPass(course: Course, counted: boolean): Promise<void> {
  await resealStore(course, counted);
  for (const column of course.columns()) await resealColumn(course, column, counted);
}

async function resealStore(course: Course, counted: boolean): Promise<void> {
  let after: string | undefined;
  for (;;) {
    const keys = await course.sealed.list('vault:', after === undefined ? { limit: pageSize } : { after, limit: pageSize });
    if (counted) course.tally.total += keys.length;
    for (const key of keys) await judged(course, counted, key, () => resealEntry(course, key));
    course.tell();
    after = keys.at(-1);
    if (keys.length < pageSize || after === undefined) return;
  }
}

/** Seals one value of the SealedStore again, whoever else writes to it meanwhile. True if it had to be. */
async function resealEntry(course: Course, key: string): Promise<boolean> {
  for (;;) {
    const entry = await course.sealed.get(key);
    if (entry === undefined) return false;
    const envelope = parseEnvelope(entry.envelope);
    const dataKey = await course.dataKeys.find(envelope.dataKey);
    if (dataKey.madeUnder === course.master) return false;
    const place = placeOf(key, dataKey.scope);
    if (place === undefined) throw new Fault('sealed_value_unreadable');
    const anew = await reseal(course, envelope, labelOf(place, envelope.version));
    if (await course.sealed.put(key, anew, entry.version)) return true;
  }
}

async function resealColumn(course: Course, column: SealedColumn, counted: boolean): Promise<void> {
  let after: string | undefined;
  for (;;) {
    const cells = await column.list(after, pageSize);
    if (counted) course.tally.total += cells.length;
    for (const cell of cells) await judged(course, counted, `${column.name} ${cell.label.key}`, () => resealCell(course, cell));
    course.tell();
    after = cells.at(-1)?.cursor;
    if (cells.length < pageSize || after === undefined) return;
  }
}

/** A cell that was changed meanwhile is left to the second pass. */
async function resealCell(course: Course, cell: SealedCell): Promise<boolean> {
  const envelope = parseEnvelope(cell.envelope);
  const dataKey = await course.dataKeys.find(envelope.dataKey);
  if (dataKey.madeUnder === course.master) return false;
  return await cell.update(await reseal(course, envelope, cell.label));
}

async function reseal(course: Course, envelope: Envelope, label: Label): Promise<Uint8Array> {
  const old = await course.dataKeys.find(envelope.dataKey);
  if (old.scope !== scopeOf(label.owner)) throw new Fault('sealed_value_unreadable');
  const plain = openEnvelope(old.key, envelope, label);
  const key = await course.dataKeys.forSealing(label.owner);
  const anew = sealEnvelope(key.key, key.id, label, plain);
  plain.fill(0);
  return anew;
}

/** What does not open stays as it is and is told of; anything else ends the rotation, to be resumed. */
async function judged(course: Course, counted: boolean, what: string, step: () => Promise<boolean>): Promise<void> {
  try {
    if (await step()) course.tally.resealed += 1;
  } catch (error) {
    if (!isFault(error, 'sealed_value_unreadable')) throw error;
    if (counted) course.tally.unreadable += 1;
    if (counted) course.log.warn('a sealed value does not open and was left as it is', { value: what });
  }
  if (counted) course.tally.done += 1;
}

function count(tally: Tally): void {
  tally.done += 1;
  tally.total = Math.max(tally.total, tally.done);
}

/** Every row of every page; answers with how many there were. */
async function eachRow(page: (after: number) => Promise<readonly DataKeyRow[]>, step: (row: DataKeyRow) => Promise<void>): Promise<number> {
  let seen = 0;
  let after = 0;
  for (;;) {
    const rows = await page(after);
    for (const row of rows) await step(row);
    seen += rows.length;
    after = rows.at(-1)?.row ?? after;
    if (rows.length < pageSize) return seen;
  }
}
