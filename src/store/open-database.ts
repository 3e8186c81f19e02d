import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, Fault, silentLog } from '#kernel';
import type { RecordsBackend } from './backend.ts';
import { createMemoryEphemera } from './backends/memory.ts';
import type { OpenOptions, SqlDatabase } from './backends/server.ts';
import { openSqliteEphemera } from './backends/sqlite/ephemera.ts';
import { openSqliteRecords } from './backends/sqlite/records.ts';
import { parseDatabaseUrl } from './database-url.ts';
import { migrationsIn } from './migrate.ts';
import type { Ephemera } from './ports.ts';
import { type Standing, standingOf } from './standing.ts';

/** Where Records lie: files in the data folder, or a database server. */
export interface DatabasePlace {
  /** The data folder; made, for its owner only, if it is not there. */
  readonly home: string;
  /** A database server instead of files in `home`. */
  readonly database?: { readonly url: string; readonly schema: string };
}

const recordsFile = 'gatehouse.db';
const ephemeraFile = 'ephemera.db';

/** Where Ephemera are kept that are not in the database. */
export interface EphemeraPlace {
  readonly outside: Ephemera | undefined;
  /** In this process; only beside files. */
  readonly memory: boolean;
}

/** Opens Records and Ephemera; the driver of a database server is loaded only if one is named. */
export async function openDatabases(place: DatabasePlace, options: OpenOptions, { outside, memory }: EphemeraPlace): Promise<SqlDatabase> {
  const { clock } = options;
  const server = await openServer(place, options);
  if (server !== undefined) return outside === undefined ? server : { ...server, records: withoutEphemera(server), ephemera: outside };
  const records = await openFile(place.home);
  try {
    if (outside !== undefined) return { records, ephemera: outside };
    return { records, ephemera: memory ? createMemoryEphemera(clock) : await openSqliteEphemera(join(place.home, ephemeraFile), clock) };
  } catch (error) {
    await records.close();
    throw error;
  }
}

/** Opens Records alone. @throws {Fault} `not_found` with `mustExist` when there is nothing of ours, which is then not made */
export async function openDatabase(
  place: DatabasePlace,
  clock: Clock,
  options: { readonly mustExist?: boolean } = {},
): Promise<RecordsBackend> {
  const { mustExist = false } = options;
  if (mustExist && !mayBeThere(place)) throw absent();
  const server = await openServer(place, { clock, log: silentLog });
  const records = server === undefined ? await openFile(place.home) : withoutEphemera(server);
  if (mustExist && (await records.read(undefined, migrationsIn)) === undefined) {
    await records.close();
    throw absent();
  }
  return records;
}

/** How the installation at a place stands; undefined: it may be served, or nothing is there yet. */
export async function standingAt(place: DatabasePlace, clock: Clock): Promise<Standing | undefined> {
  const records = await openDatabase(place, clock, { mustExist: true });
  try {
    return await standingOf(records);
  } finally {
    await records.close();
  }
}

function withoutEphemera({ records, ephemera }: SqlDatabase): RecordsBackend {
  return Object.freeze({
    ...records,
    async close() {
      await records.close();
      await ephemera.close();
    },
  });
}

function absent(): Fault {
  return new Fault('not_found', { detail: 'There is no database of Gatehouse at that place' });
}

/** False: it would be a file, and there is none. */
export function mayBeThere({ home, database }: DatabasePlace): boolean {
  const isFile = database === undefined || parseDatabaseUrl(database.url) === undefined;
  return !isFile || existsSync(join(home, recordsFile));
}

async function openServer({ database }: DatabasePlace, options: OpenOptions): Promise<SqlDatabase | undefined> {
  const address = database === undefined ? undefined : parseDatabaseUrl(database.url);
  if (database === undefined || address === undefined) return undefined;
  return address.kind === 'mysql'
    ? await (await import('./backends/mysql/open.ts')).openMysql(address, options)
    : await (await import('./backends/postgres/open.ts')).openPostgres(address, database.schema, options);
}

async function openFile(home: string): Promise<RecordsBackend> {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  return await openSqliteRecords(join(home, recordsFile));
}
