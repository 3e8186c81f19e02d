import type { CompiledQuery, Kysely } from 'kysely';
import type { Narrowing } from './narrowing.ts';
import type { Schema } from './schema.ts';

/** How one database spells the column types that migrations use. */
export interface ColumnWords {
  /** The integer row id: primary key, given by the database, growing. */
  readonly row: string;
  /** Up to 512 bytes, compared byte by byte, may be indexed. */
  readonly key: string;
  readonly text: string;
  /** 64 bits. */
  readonly integer: string;
  readonly bytes: string;
  /** What stands behind the columns of every table. */
  readonly ending?: string;
  /** Statements that make the table of Ephemera, where it lies beside those of Records. */
  readonly ephemera?: readonly string[];
}

/** A compiled query, or one that runs once for each of `each`, in order, and answers nothing. */
export interface RunnableQuery<R = unknown> extends CompiledQuery<R> {
  readonly each?: readonly (readonly unknown[])[];
}

/** What a SQL database must offer: reading and writing handles. Everything else about Records is built on it, once. */
export interface RecordsBackend {
  readonly columns: ColumnWords;
  /** @throws {Fault} `unavailable` where what is read may be old, for the server is not the one that takes writes */
  assertPrimary(): Promise<void>;
  /** `narrowing` is applied to every query of the handle. */
  read<T>(narrowing: Narrowing | undefined, fn: (db: Kysely<Schema>) => Promise<T>): Promise<T>;
  /** Calls `committed` after COMMIT and before it resolves; not at all if the write did not happen. */
  write<T>(narrowing: Narrowing | undefined, fn: (db: Kysely<Schema>) => Promise<T>, committed?: () => void): Promise<T>;
  /** A write that no other process runs at the same time, which may change the schema. */
  exclusively<T>(fn: (db: Kysely<Schema>) => Promise<T>): Promise<T>;
  /** Reads one state of everything, whatever is written meanwhile; may take long, and ends with `unavailable` when it is lost. */
  snapshot<T>(fn: (db: Kysely<Schema>) => Promise<T>): Promise<T>;
  /** Copies what a log of the database's own holds to where it belongs, and empties it; undefined where a server does that itself. */
  checkpoint(): Promise<{ readonly pages: number; readonly truncated: boolean } | undefined>;
  /** After rows were put in with their row ids: the ones that the database gives from now on come after them. */
  renumber(tables: readonly (keyof Schema)[]): Promise<void>;
  /** True while the calling asynchronous context is inside a `read` or `write` of this backend. */
  inside(): boolean;
  close(): Promise<void>;
}
