import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, Fault, silentLog } from '#kernel';
import type { RecordsBackend } from './backend.ts';
import { createMemoryEphemera } from './backends/memory.ts';
import type { OpenOptions, SqlDatabase } from './backends/server.ts';
import { openSqliteEphemera } from './backends/sqlite/ephemera.ts';
import { openSqliteRecords } from './backends/sqlite/records.ts';
import { type DatabaseOptions, type DatabaseServer, databaseServer, warningsOf } from './database-server.ts';
import { parseDatabaseUrl } from './database-url.ts';
import { StoreMisuse } from './errors.ts';
import { migrationsIn } from './migrate.ts';
import type { Ephemera } from './ports.ts';
import { type Standing, standingOf } from './standing.ts';

/** Where Records lie: files in the data folder, or a database server. */
export interface DatabasePlace {
  /** The data folder; made, for its owner only, if it is not there. */
  readonly home: string;
  /** A database server instead of files in `home`. */
  readonly database?: DatabaseOptions;
}

const recordsFile = 'gatehouse.db';
const ephemeraFile = 'ephemera.db';

/** Where Ephemera are kept that are not in the database. */
export interface EphemeraPlace {
  readonly outside: Ephemera | undefined;
  /** In this process; only beside files. */
  readonly memory: boolean;
}

/** What a place holds, once it is decided who keeps what lives briefly. */
export type OpenedDatabase = Omit<SqlDatabase, 'weaknesses'> & { readonly ephemera: Ephemera };

/** Opens Records and Ephemera; the driver of a database server is loaded only if one is named. */
export async function openDatabases(
  place: DatabasePlace,
  options: Omit<OpenOptions, 'ephemera'>,
  { outside, memory }: EphemeraPlace,
): Promise<OpenedDatabase> {
  const { clock, log } = options;
  const opened = await openServer(place, { ...options, ephemera: outside === undefined });
  if (opened !== undefined) {
    for (const warning of opened.warnings) log.warn(warning);
    const ephemera = outside ?? opened.ephemera;
    if (ephemera === undefined) throw new StoreMisuse('nobody keeps what lives briefly');
    return { ...opened, ephemera };
  }
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
  const opened = await openServer(place, { clock, log: silentLog, ephemera: false });
  const records = opened === undefined ? await openFile(place.home) : opened.records;
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

function absent(): Fault {
  return new Fault('not_found', { detail: 'There is no database of Gatehouse at that place' });
}

/** False: it would be a file, and there is none. */
export function mayBeThere({ home, database }: DatabasePlace): boolean {
  const isFile = database === undefined || parseDatabaseUrl(database.url) === undefined;
  return !isFile || existsSync(join(home, recordsFile));
}

interface OpenedServer extends SqlDatabase {
  readonly warnings: readonly string[];
}

async function openServer({ database }: DatabasePlace, options: OpenOptions): Promise<OpenedServer | undefined> {
  const server = database === undefined ? undefined : databaseServer(database);
  if (server === undefined) return undefined;
  const opened =
    server.address.kind === 'mysql'
      ? await (await import('./backends/mysql/open.ts')).openMysql(server, options)
      : await (await import('./backends/postgres/open.ts')).openPostgres(server, options);
  return { ...opened, warnings: sentencesOf(server, opened.weaknesses) };
}

function sentencesOf(server: DatabaseServer, weaknesses: readonly string[]): readonly string[] {
  const sentence = (weakness: string) =>
    `the database server is set to ${weakness}, so a crash of its host could undo what was done: a code that was spent could be accepted again`;
  return [...warningsOf(server), ...weaknesses.map(sentence)];
}

/**
 * What the operator should know of the database server that is named, and of the way to it. Makes nothing there.
 * @throws {Fault} `unavailable`, `invalid_setting` or `database_untrusted`
 */
export async function inspectDatabase(options: DatabaseOptions): Promise<readonly string[]> {
  const server = databaseServer(options);
  if (server === undefined) return [];
  const weaknesses =
    server.address.kind === 'mysql'
      ? await (await import('./backends/mysql/open.ts')).inspectMysql(server)
      : await (await import('./backends/postgres/open.ts')).inspectPostgres(server);
  return sentencesOf(server, weaknesses);
}

async function openFile(home: string): Promise<RecordsBackend> {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  return await openSqliteRecords(join(home, recordsFile));
}
