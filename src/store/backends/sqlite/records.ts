import { AsyncLocalStorage } from 'node:async_hooks';
import { type CompiledQuery, type Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import { Fault } from '#kernel';
import type { ColumnWords, RecordsBackend } from '../../backend.ts';
import { StoreMisuse } from '../../errors.ts';
import type { Narrowing } from '../../narrowing.ts';
import type { Schema } from '../../schema.ts';
import { type Handle, handlesIn, type Run } from '../handle.ts';
import { createCheckpointer } from './checkpoint.ts';
import { Busy, type Connection, openConnection, whenFree } from './file.ts';
import { createGroupCommit } from './group.ts';

const openHandle = handlesIn({
  compiler: new SqliteQueryCompiler(),
  adapter: new SqliteAdapter(),
  introspector: (db) => new SqliteIntrospector(db),
});

const columns: ColumnWords = { row: 'integer', key: 'text', text: 'text', integer: 'integer', bytes: 'blob' };

/** The log is copied to the file by the job of a server, or when it is longer than this; never by a commit, which would wait for the disk. */
const longestLog = 64 * 1024 * 1024;
const writing = [
  'journal_mode = wal',
  'synchronous = full',
  'wal_autocheckpoint = 0',
  'temp_store = memory',
  'cache_size = -16000',
  'trusted_schema = off',
];
const reading = ['query_only = on', 'temp_store = memory', 'cache_size = -32000', 'trusted_schema = off'];

/**
 * Records in one SQLite file: a writing connection behind a group commit, and a read-only one beside it, which sees
 * what was committed.
 */
export async function openSqliteRecords(path: string): Promise<RecordsBackend> {
  const writer = await whenFree(() => openConnection(path, writing));
  const reader = await whenFree(() => openConnection(path, reading, true));
  const group = createGroupCommit(writer);
  const checkpointer = createCheckpointer(path, longestLog);
  const handles = new AsyncLocalStorage<Handle>();
  const runWrite: Run = (query) => runOnWriter(writer, query);
  const runRead: Run = (query) => runOnReader(reader, query);
  let closed = false;

  const inside = () => handles.getStore()?.open === true;

  function enter(run: Run, narrowing: Narrowing | undefined): Handle {
    if (inside()) throw new StoreMisuse('a read or a write inside another: use the handle at hand');
    return openHandle(run, narrowing);
  }

  async function read<T>(narrowing: Narrowing | undefined, fn: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    if (closed) throw new Fault('shutting_down');
    reader.assertThere();
    const handle = enter(runRead, narrowing);
    try {
      return await handles.run(handle, fn, handle.db);
    } finally {
      handle.close();
    }
  }

  async function write<T>(
    narrowing: Narrowing | undefined,
    fn: (db: Kysely<Schema>) => Promise<T>,
    committed: () => void = () => {},
  ): Promise<T> {
    const handle = enter(runWrite, narrowing);
    checkpointer.watch();
    return await group.write({ run: () => runHandle(handles, handle, fn), abandon: () => handle.close(), committed });
  }

  /** A connection of its own: as long as it lives, the log keeps what was written since. */
  async function snapshot<T>(fn: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    const looker = await whenFree(() => openConnection(path, reading, true));
    const handle = enter((query) => runOnReader(looker, query), undefined);
    try {
      await whenFree(() => looker.run({ sql: 'begin', parameters: [] }));
      await whenFree(() => looker.run({ sql: 'select 1 from sqlite_schema limit 1', parameters: [] }));
      return await handles.run(handle, fn, handle.db);
    } finally {
      handle.close();
      looker.close();
    }
  }

  return Object.freeze({
    columns,
    /** A file has nobody before it. */
    assertPrimary: async () => {},
    read,
    write,
    exclusively: <T>(fn: (db: Kysely<Schema>) => Promise<T>) => write(undefined, fn),
    snapshot,
    checkpoint: checkpointer.run,
    /** The next row id is the highest and one. */
    renumber: async () => {},
    inside,
    async close() {
      await group.close();
      await checkpointer.close();
      closed = true;
      reader.close();
      writer.close();
    },
  });
}

async function runHandle<T>(handles: AsyncLocalStorage<Handle>, handle: Handle, fn: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
  try {
    return await handles.run(handle, fn, handle.db);
  } finally {
    handle.close();
  }
}

/** Once the transaction is gone a query would commit on its own, so it does not run. */
function runOnWriter(writer: Connection, query: CompiledQuery): ReturnType<Run> {
  if (!writer.database.isTransaction) throw new Fault('unavailable');
  return writer.run(query);
}

/** A reader is almost never locked out in WAL mode (recovery, a closing connection); then the one statement waits. */
function runOnReader(reader: Connection, query: CompiledQuery): ReturnType<Run> {
  try {
    return reader.run(query);
  } catch (error) {
    if (!(error instanceof Busy)) throw error;
    return whenFree(() => reader.run(query));
  }
}
