import { createHash } from 'node:crypto';
import type { ExpressionBuilder, Kysely } from 'kysely';
import type { RecordsBackend } from '../backend.ts';
import type { Schema } from '../schema.ts';
import { standingFact } from '../standing.ts';
import type { MovedTable } from './tables.ts';

export type Cell = string | number | null | Uint8Array;
export type MovedRow = Readonly<Record<string, Cell>>;

/** How many rows are read at once, and about how many bytes are written at once: every database takes that much in one statement. */
export const pageSize = 250;
const bytesAtOnce = 1_000_000;

// biome-ignore lint/suspicious/noExplicitAny: rows of any table, as the database gives them
type AnyTables = Record<string, any>;

function tablesOf(db: Kysely<Schema>): Kysely<AnyTables> {
  return db as unknown as Kysely<AnyTables>;
}

/** Where a page begins and ends: after the key of one row, up to that of another. */
export interface Range {
  readonly after?: MovedRow | undefined;
  readonly upTo?: MovedRow | undefined;
}

/** Rows of a table in the order of its key, all of a range that ends; else at most a page. */
export async function readRows(db: Kysely<Schema>, { name, keys }: MovedTable, { after, upTo }: Range): Promise<readonly MovedRow[]> {
  let query = tablesOf(db).selectFrom(name).selectAll();
  for (const key of keys) query = query.orderBy(key);
  if (after !== undefined) query = query.where((row) => beyond(row, keys, after));
  if (upTo !== undefined) query = query.where((row) => row.not(beyond(row, keys, upTo)));
  else query = query.limit(pageSize);
  return (await query.execute()) as MovedRow[];
}

/** The key of a row comes after that of `mark`. */
function beyond(row: ExpressionBuilder<AnyTables, string>, keys: readonly string[], mark: MovedRow) {
  return row.or(
    keys.map((key, index) => row.and([...keys.slice(0, index).map((before) => row(before, '=', mark[before])), row(key, '>', mark[key])])),
  );
}

/** Every page of a table, in order, without the row that belongs to the database itself. */
export async function* pagesOf(db: Kysely<Schema>, table: MovedTable): AsyncGenerator<readonly MovedRow[]> {
  let after: MovedRow | undefined;
  for (;;) {
    const rows = await readRows(db, table, { after });
    yield rows.filter((row) => isMoved(table, row));
    after = rows.at(-1);
    if (rows.length < pageSize) return;
  }
}

export function isMoved(table: MovedTable, row: MovedRow): boolean {
  return table.name !== 'platform_facts' || row.name !== standingFact;
}

export async function countRows(db: Kysely<Schema>, { name }: MovedTable): Promise<number> {
  const { count } = await tablesOf(db)
    .selectFrom(name)
    .select((row) => row.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** A row as text that is the same on every database: columns by name, each value with its kind and its length. */
export function canonical(row: MovedRow): string {
  let text = '';
  for (const column of Object.keys(row).sort()) text += `${column}=${printed(row[column] ?? null)};`;
  return text;
}

function printed(cell: Cell): string {
  if (cell === null) return 'n';
  if (typeof cell === 'number') return `i${cell}`;
  if (typeof cell === 'string') return `t${cell.length}:${cell}`;
  return `b${Buffer.from(cell.buffer, cell.byteOffset, cell.byteLength).toString('hex')}`;
}

/** What one table holds: how many rows, and the SHA-256 of them all in order. */
export interface TableDigest {
  readonly table: string;
  readonly rows: number;
  readonly sha256: string;
}

/** Takes rows in order; gives what they come to. */
export function digesting(table: string) {
  const hash = createHash('sha256');
  let rows = 0;
  return {
    add(row: MovedRow): void {
      hash.update(canonical(row));
      hash.update('\n');
      rows += 1;
    },
    get rows() {
      return rows;
    },
    end: (): TableDigest => ({ table, rows, sha256: hash.digest('hex') }),
  };
}

/** Puts rows in, in statements that every database takes, each in a transaction of its own. */
export async function insertRows(backend: RecordsBackend, table: MovedTable, rows: readonly MovedRow[]): Promise<void> {
  for (const chunk of chunksOf(rows))
    await backend.write(undefined, (db) => tablesOf(db).insertInto(table.name).values(chunk.map(plain)).execute());
}

function plain(row: MovedRow): Record<string, Cell> {
  return { ...row };
}

function* chunksOf(rows: readonly MovedRow[]): Generator<readonly MovedRow[]> {
  let chunk: MovedRow[] = [];
  let size = 0;
  for (const row of rows) {
    const bytes = sizeOf(row);
    if (chunk.length > 0 && size + bytes > bytesAtOnce) {
      yield chunk;
      chunk = [];
      size = 0;
    }
    chunk.push(row);
    size += bytes;
  }
  if (chunk.length > 0) yield chunk;
}

function sizeOf(row: MovedRow): number {
  let size = 0;
  for (const cell of Object.values(row)) size += typeof cell === 'string' || cell instanceof Uint8Array ? cell.length : 8;
  return size;
}

/** Removes every row, but the one that belongs to the database itself. */
export async function clearTable(backend: RecordsBackend, table: MovedTable): Promise<void> {
  for (;;) {
    const rows = await backend.read(undefined, (db) => readRows(db, table, {}));
    await deleteRows(
      backend,
      table,
      rows.filter((row) => isMoved(table, row)),
    );
    if (rows.length < pageSize) return;
  }
}

/** Removes these rows, by their keys. */
export async function deleteRows(backend: RecordsBackend, { name, keys }: MovedTable, rows: readonly MovedRow[]): Promise<void> {
  if (rows.length === 0) return;
  await backend.write(undefined, (db) =>
    tablesOf(db)
      .deleteFrom(name)
      .where((row) => row.or(rows.map((one) => row.and(keys.map((key) => row(key, '=', one[key]))))))
      .execute(),
  );
}
