import { closeSync, openSync, statSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CompiledQuery, QueryResult } from 'kysely';
import { Fault } from '#kernel';
import type { RunnableQuery } from '../../backend.ts';
import { UniqueViolation } from '../../errors.ts';

const cachedStatements = 500;
const busyPatience = 15_000;
const lookEvery = 100;

/** The file is locked by another connection just now. Never leaves the backend. */
export class Busy extends Error {}

/** One connection to one file, with its prepared statements. `busy_timeout` is 0: waiting is the caller's, and asynchronous. */
export interface Connection {
  readonly database: DatabaseSync;
  /** Runs one statement. @throws {Busy} @throws {UniqueViolation} @throws {Fault} `unavailable` */
  run(query: Pick<RunnableQuery, 'sql' | 'parameters' | 'each'>): QueryResult<unknown>;
  /**
   * Looks, at most every 100 ms, whether the path still leads to this file: what is written to one that was moved, removed
   * or replaced is lost to everybody else. @throws {Fault} `unavailable`
   */
  assertThere(): void;
  close(): void;
}

interface Prepared {
  readonly statement: StatementSync;
  readonly answers: boolean;
}

/** Opens a connection to a file that only its owner may read. Creates the file unless `readOnly`. */
export function openConnection(path: string, pragmas: readonly string[], readOnly = false): Connection {
  if (!readOnly) closeSync(openSync(path, 'a', 0o600));
  const database = new DatabaseSync(path, { readOnly, timeout: 0, enableForeignKeyConstraints: false });
  try {
    for (const pragma of pragmas) database.exec(`pragma ${pragma}`);
  } catch (error) {
    database.close();
    throw translate(error);
  }
  const prepared = new Map<string, Prepared>();
  return {
    database,
    assertThere: watchOver(path),
    run(query) {
      try {
        const { statement, answers } = prepare(database, prepared, query.sql);
        if (query.each !== undefined) return runEach(statement, query.each);
        return answers ? { rows: statement.all(...parametersOf(query)) } : changed(statement, query);
      } catch (error) {
        throw translate(error);
      }
    },
    close() {
      prepared.clear();
      if (database.isOpen) database.close();
    },
  };
}

function watchOver(path: string): Connection['assertThere'] {
  const opened = fileAt(path);
  let seen = performance.now();
  return () => {
    if (performance.now() - seen < lookEvery) return;
    const found = fileAt(path);
    if (found === undefined || found !== opened)
      throw new Fault('unavailable', { cause: new Error('the database file is not where it was') });
    seen = performance.now();
  };
}

/** Which file that is; undefined when none can be seen there. */
function fileAt(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev} ${ino}`;
  } catch {
    return undefined;
  }
}

/** The cached statement; when the cache is full the oldest leaves. */
function prepare(database: DatabaseSync, prepared: Map<string, Prepared>, sql: string): Prepared {
  const known = prepared.get(sql);
  if (known !== undefined) return known;
  const statement = database.prepare(sql);
  const fresh = { statement, answers: statement.columns().length > 0 };
  if (prepared.size >= cachedStatements) {
    for (const oldest of prepared.keys()) {
      prepared.delete(oldest);
      break;
    }
  }
  prepared.set(sql, fresh);
  return fresh;
}

function parametersOf(query: Pick<CompiledQuery, 'parameters'>): SQLInputValue[] {
  return query.parameters as SQLInputValue[];
}

const nothing: QueryResult<unknown> = Object.freeze({ rows: [] });

function runEach(statement: StatementSync, each: readonly (readonly unknown[])[]): QueryResult<unknown> {
  for (const parameters of each) statement.run(...(parameters as SQLInputValue[]));
  return nothing;
}

function changed(statement: StatementSync, query: Pick<CompiledQuery, 'parameters'>): QueryResult<unknown> {
  const { changes, lastInsertRowid } = statement.run(...parametersOf(query));
  return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
}

/** Result codes: https://www.sqlite.org/rescode.html */
function translate(error: unknown): unknown {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return error;
  if (error.errcode === 2067 || error.errcode === 1555) return new UniqueViolation(columnsNamedBy(error.message), error);
  switch (error.errcode & 0xff) {
    case 5:
    case 6:
      return new Busy('the file is locked', { cause: error });
    case 8:
    case 10:
    case 11:
    case 13:
    case 14:
    case 26:
      return new Fault('unavailable', { cause: error });
    default:
      return error;
  }
}

/** `UNIQUE constraint failed: users.organization_id, users.email_key` */
function columnsNamedBy(message: string): string[] {
  return message
    .slice(message.indexOf(':') + 1)
    .split(',')
    .map((column) => column.trim());
}

/** Runs `attempt` until the file is free, waiting without blocking the loop. @throws {Fault} `busy` after 15 seconds */
export async function whenFree<T>(attempt: () => T, onBusy?: () => void): Promise<T> {
  const started = performance.now();
  for (let tries = 0; ; tries++) {
    try {
      return attempt();
    } catch (error) {
      if (!(error instanceof Busy)) throw error;
      onBusy?.();
      if (performance.now() - started > busyPatience) throw new Fault('busy', { cause: error });
      await sleep(jitter(tries));
    }
  }
}

/** Milliseconds, growing to at most 12 or so: short, because a holder keeps the file for a few milliseconds at most. */
function jitter(tries: number): number {
  return 1 + Math.random() * Math.min(12, 2 + tries);
}
