import type { Kysely } from 'kysely';
import { type Clock, Fault } from '#kernel';
import type { RecordsBackend } from '../backend.ts';
import { isEmpty, migrate, migrationsIn } from '../migrate.ts';
import { migrations } from '../migrations/index.ts';
import { type DatabasePlace, openDatabase } from '../open-database.ts';
import type { Schema } from '../schema.ts';
import { type Standing, standingOf } from '../standing.ts';
import { beginFilling } from './filling.ts';
import {
  canonical,
  countRows,
  deleteRows,
  digesting,
  insertRows,
  isMoved,
  type MovedRow,
  pagesOf,
  readRows,
  type TableDigest,
} from './rows.ts';
import { type MovedTable, movedTables } from './tables.ts';

/** How far a move of rows has come. */
export interface MovingProgress {
  readonly step: 'copying' | 'verifying';
  readonly table: string;
  /** Rows so far, of how many, over all tables. */
  readonly done: number;
  readonly total: number;
}

export interface CopyOptions {
  readonly from: DatabasePlace;
  readonly to: DatabasePlace;
  readonly clock: Clock;
  /** Only says what would be done. */
  readonly dryRun?: boolean;
  readonly onProgress?: (progress: MovingProgress) => void;
}

export interface CopyReport {
  /** It went on with a copy that was cut, or brought an earlier one up to date. */
  readonly resumed: boolean;
  /** Of the copy, table by table, proven equal to the source; of a dry run, what the source holds, without digests. */
  readonly tables: readonly TableDigest[];
  /** The state that was copied is the one of this time, milliseconds. */
  readonly at: number;
}

interface Course {
  readonly source: Kysely<Schema>;
  readonly target: RecordsBackend;
  readonly tell: (step: MovingProgress['step'], table: MovedTable, more: number) => void;
}

/**
 * Copies everything between two databases of any kind, while the source is being served: what is copied is one state of
 * it. Cut short it may be done again: what the target holds is compared with the source, and only what differs is moved.
 * The copy is paused until somebody says otherwise.
 * @throws {Fault} `store_not_empty`, `store_outdated`, `not_found`, `copy_differs`
 */
export async function copyDatabase(options: CopyOptions): Promise<CopyReport> {
  if (samePlace(options.from, options.to))
    throw new Fault('invalid_request', { detail: 'The copy would go to where the original is', hint: 'name another database with --to' });
  const source = await openDatabase(options.from, options.clock, { mustExist: true });
  try {
    const target = await openTarget(options);
    try {
      return await copyBetween(source, target, options);
    } finally {
      await target?.close();
    }
  } finally {
    await source.close();
  }
}

/** Undefined: a dry run, and there is nothing yet at that place. */
async function openTarget({ to, clock, dryRun }: CopyOptions): Promise<RecordsBackend | undefined> {
  if (dryRun !== true) return await openDatabase(to, clock);
  try {
    return await openDatabase(to, clock, { mustExist: true });
  } catch (error) {
    if (error instanceof Fault && error.code === 'not_found') return undefined;
    throw error;
  }
}

async function copyBetween(source: RecordsBackend, target: RecordsBackend | undefined, options: CopyOptions): Promise<CopyReport> {
  const { clock } = options;
  await refuseOutdated(source);
  const origin = await originOf(source);
  const resumed = target !== undefined && (await judgeTarget(target, origin));
  if (target === undefined || options.dryRun === true) return await preview(source, resumed, clock);
  await migrate(target, clock);
  const filling = await beginFilling(target, { by: 'copy', origin, at: clock.now() }, (standing) => isCopyOf(standing, origin));
  const { copied, at } = await copyState(source, filling.target, options);
  await target.renumber(movedTables.filter(({ numbered }) => numbered).map(({ name }) => name));
  const tables = await digestsOf(target, teller(sum(copied), options));
  refuseDifferent(copied, tables);
  await filling.end('paused');
  return { resumed, tables, at };
}

/** Of one moment. */
async function copyState(source: RecordsBackend, target: RecordsBackend, options: CopyOptions) {
  return await source.snapshot(async (db) => {
    const at = options.clock.now();
    const tell = teller(await totalOf(db), options);
    const copied: TableDigest[] = [];
    for (const table of movedTables) copied.push(await copyTable({ source: db, target, tell }, table));
    return { copied, at };
  });
}

async function preview(source: RecordsBackend, resumed: boolean, clock: Clock): Promise<CopyReport> {
  const tables: TableDigest[] = [];
  await source.snapshot(async (db) => {
    for (const table of movedTables) tables.push({ table: table.name, rows: await countRows(db, table), sha256: '' });
  });
  return { resumed, tables, at: clock.now() };
}

function samePlace(one: DatabasePlace, other: DatabasePlace): boolean {
  const name = ({ home, database }: DatabasePlace) => (database === undefined ? home : `${database.url} ${database.schema}`);
  return name(one) === name(other);
}

/** Rows are moved as this version knows them, so the source must be neither older nor newer. */
export async function refuseOutdated(source: RecordsBackend): Promise<void> {
  const applied = await source.read(undefined, migrationsIn);
  if (applied === undefined) throw new Fault('not_found', { detail: 'There is no database of Gatehouse at the source' });
  if (migrations.some(({ name }) => !applied.has(name))) throw new Fault('store_outdated');
  if (applied.size > migrations.length) throw new Fault('store_newer');
}

/** Which installation this is, whatever database it lies in: its first data key is its own. */
export async function originOf(backend: RecordsBackend): Promise<string> {
  const row = await backend.read(undefined, (db) => db.selectFrom('data_keys').select('id').orderBy('row').limit(1).executeTakeFirst());
  if (row === undefined) throw new Fault('not_found', { detail: 'The source was never served, so there is nothing to move' });
  return row.id;
}

/** True when it holds an earlier copy of the same installation that nobody has resumed. @throws {Fault} `store_not_empty` */
async function judgeTarget(target: RecordsBackend, origin: string): Promise<boolean> {
  if (await isEmpty(target)) return false;
  const standing = await standingOf(target);
  if (standing !== undefined && isCopyOf(standing, origin)) return true;
  throw new Fault('store_not_empty');
}

function isCopyOf({ by, origin: of }: Standing, origin: string): boolean {
  return by === 'copy' && of === origin;
}

async function totalOf(db: Kysely<Schema>): Promise<number> {
  let total = 0;
  for (const table of movedTables) total += await countRows(db, table);
  return total;
}

function sum(tables: readonly TableDigest[]): number {
  return tables.reduce((total, { rows }) => total + rows, 0);
}

function teller(total: number, { onProgress }: Pick<CopyOptions, 'onProgress'>): Course['tell'] {
  let done = 0;
  return (step, { name }, more) => {
    done += more;
    onProgress?.({ step, table: name, done, total });
  };
}

async function copyTable({ source, target, tell }: Course, table: MovedTable): Promise<TableDigest> {
  const fresh = (await target.read(undefined, (db) => readRows(db, table, {}))).length === 0;
  if (!fresh) await removeOthers(source, target, table);
  const digest = digesting(table.name);
  let after: MovedRow | undefined;
  for await (const rows of pagesOf(source, table)) {
    for (const row of rows) digest.add(row);
    const upTo = rows.at(-1);
    if (upTo !== undefined) await insertRows(target, table, fresh ? rows : await missing(target, table, rows, { after, upTo }));
    after = upTo ?? after;
    tell('copying', table, rows.length);
  }
  return digest.end();
}

/** Rows of the target that the source does not have in just this form: unique values they hold may be another row's by now. */
async function removeOthers(source: Kysely<Schema>, target: RecordsBackend, table: MovedTable): Promise<void> {
  let after: MovedRow | undefined;
  for (;;) {
    const rows = await target.read(undefined, (db) => readRows(db, table, { after }));
    const upTo = rows.at(-1);
    if (upTo === undefined) return;
    const there = new Set((await readRows(source, table, { after, upTo })).map(canonical));
    await deleteRows(
      target,
      table,
      rows.filter((row) => isMoved(table, row) && !there.has(canonical(row))),
    );
    after = upTo;
  }
}

/** Those of a page that the target lacks. */
async function missing(
  target: RecordsBackend,
  table: MovedTable,
  rows: readonly MovedRow[],
  range: { readonly after: MovedRow | undefined; readonly upTo: MovedRow },
): Promise<readonly MovedRow[]> {
  const there = new Set((await target.read(undefined, (db) => readRows(db, table, range))).map(canonical));
  return rows.filter((row) => !there.has(canonical(row)));
}

/** What a database holds, read anew. */
export async function digestsOf(backend: RecordsBackend, tell: Course['tell'] = () => {}): Promise<readonly TableDigest[]> {
  return await backend.snapshot(async (db) => {
    const tables: TableDigest[] = [];
    for (const table of movedTables) {
      const digest = digesting(table.name);
      for await (const rows of pagesOf(db, table)) {
        for (const row of rows) digest.add(row);
        tell('verifying', table, rows.length);
      }
      tables.push(digest.end());
    }
    return tables;
  });
}

/** @throws {Fault} `copy_differs`, which names the tables */
export function refuseDifferent(wanted: readonly TableDigest[], found: readonly TableDigest[]): void {
  const byName = new Map(found.map((one) => [one.table, one]));
  const differing = wanted.filter(({ table, rows, sha256 }) => byName.get(table)?.rows !== rows || byName.get(table)?.sha256 !== sha256);
  if (differing.length > 0)
    throw new Fault('copy_differs', {
      detail: `What was written is not what was read, in ${differing.map(({ table }) => table).join(', ')}`,
    });
}
