import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely, QueryResult } from 'kysely';
import { type Clock, Fault, type Log } from '#kernel';
import type { ColumnWords, RecordsBackend, RunnableQuery } from '../backend.ts';
import { isUniqueViolation, StoreMisuse } from '../errors.ts';
import type { Narrowing } from '../narrowing.ts';
import type { Ephemera } from '../ports.ts';
import type { Push } from '../push.ts';
import type { Schema } from '../schema.ts';
import { type Handle, handlesIn, type Language, type Run } from './handle.ts';

/** The database undid this work because of somebody else's; it may be done again from the start. Never leaves the backend. */
export class Conflict extends Error {}

/** The connection is gone, or the server takes no work: nothing that was not committed has happened. Never leaves the backend. */
export class Lost extends Error {}

/** A connection lent by a pool. Its errors are `UniqueViolation`, `Conflict`, `Lost`, a `Fault`, or what the database said, without values. */
export interface Session {
  run(query: Pick<RunnableQuery, 'sql' | 'parameters' | 'each'> & Partial<Pick<RunnableQuery, 'query'>>): Promise<QueryResult<unknown>>;
  /** Runs statements that have no parameters; answers the rows of the last one. */
  command(sql: string): Promise<readonly unknown[]>;
  /** Gives it back; with `discard` it is closed instead. */
  release(discard: boolean): void;
}

export interface Pool {
  acquire(): Promise<Session>;
  /** Waits for what is lent. */
  close(): Promise<void>;
}

/** A pool whose connections can all be replaced, for the server behind them is not the right one any more. */
export interface RenewablePool extends Pool {
  /** What is lent is closed when it is given back. */
  renew(): void;
  /** Calls `listener` when a connection turned out to be lost, unless it was replaced already. */
  onLoss(listener: () => void): void;
}

/** How a transaction of Records begins and ends. */
export interface Transactions {
  /** Begins one in which what is read stays true; its id, where the database can say later what became of it. */
  begin(session: Session): Promise<string | undefined>;
  /** Begins one that sees the state of its beginning, and writes nothing. */
  look(session: Session): Promise<void>;
  /** What became of a transaction whose COMMIT was not answered. */
  outcome(id: string): Promise<'committed' | 'undone' | 'unknown'>;
}

/** One database server, as Records need it. */
export interface SqlServer {
  readonly columns: ColumnWords;
  readonly language: Language;
  /** Connections that cannot write. */
  readonly reading: Pool;
  readonly writing: Pool;
  /** Connections that cannot write, for reads that take long. */
  readonly looking: Pool;
  readonly transactions: Transactions;
  /** Lets the database give row ids above those that a table has. */
  renumber(session: Session, table: string): Promise<void>;
  /** Runs `fn` while no other process runs its own, with a session that may change the schema. */
  alone<T>(fn: (session: Session) => Promise<T>): Promise<T>;
  /** True while the server that the session leads to takes no writes from anybody. */
  isStandby(session: Session): Promise<boolean>;
  /** Closes what else it has. */
  close(): Promise<void>;
}

/** With what a database server is opened. */
export interface OpenOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Ephemera are kept here too. */
  readonly ephemera: boolean;
  /** Processes of one service, which share its connections. */
  readonly processes?: number;
}

/** What opening a database gives: two ports on one server. Close Records first. */
export interface SqlDatabase {
  readonly records: RecordsBackend;
  /** Unless they are kept elsewhere. */
  readonly ephemera: Ephemera | undefined;
  /** Where the database has one; closed by who listens. */
  readonly push?: Push;
  /** Settings of the server, such as `fsync = off`, by which a crash of its host could undo what was committed. */
  readonly weaknesses: readonly string[];
}

const patience = 1_000;
const mostConflicts = 30;
const mostLosses = 3;

/**
 * Records on a database server. Writes of one process run one after the other, for nearly every one of them appends to
 * the process's own audit chain; between processes the database's serializable transactions keep them apart.
 */
export function createServerRecords(server: SqlServer): RecordsBackend {
  const openHandle = handlesIn(server.language);
  const handles = new AsyncLocalStorage<Handle>();
  const inside = () => handles.getStore()?.open === true;
  const runRead: Run = (query) => readOnce(server.reading, query);
  let lane: Promise<unknown> = Promise.resolve();
  let closed = false;

  function refuseNesting(): void {
    if (inside()) throw new StoreMisuse('a read or a write inside another: use the handle at hand');
  }

  /** A handle for as long as `fn` takes. */
  async function within<T>(run: Run, narrowing: Narrowing | undefined, fn: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    const handle = openHandle(run, narrowing);
    try {
      return await handles.run(handle, fn, handle.db);
    } finally {
      handle.close();
    }
  }

  async function read<T>(narrowing: Narrowing | undefined, fn: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    if (closed) throw new Fault('shutting_down');
    refuseNesting();
    return await within(runRead, narrowing, fn);
  }

  /** Once every write before it has ended. */
  function queued<T>(work: () => Promise<T>): Promise<T> {
    if (closed) return Promise.reject(new Fault('shutting_down'));
    const result = lane.then(work);
    lane = result.catch(() => {});
    return result;
  }

  async function write<T>(
    narrowing: Narrowing | undefined,
    fn: (db: Kysely<Schema>) => Promise<T>,
    committed: () => void = () => {},
  ): Promise<T> {
    refuseNesting();
    return await queued(async () => {
      const body: Body<T> = (run, activity) => {
        const handle = openHandle(run, narrowing);
        return untilStalled(handle, activity, () => handles.run(handle, fn, handle.db));
      };
      const value = await persist(() => transact(server, body));
      committed();
      return value;
    });
  }

  async function exclusively<T>(fn: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    refuseNesting();
    return await queued(() => server.alone((session) => within(session.run, undefined, fn)));
  }

  async function snapshot<T>(fn: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    if (closed) throw new Fault('shutting_down');
    refuseNesting();
    return await lendOnce(server.looking, async (session) => {
      await server.transactions.look(session);
      return await within(session.run, undefined, fn).finally(() => undo(session));
    });
  }

  return Object.freeze({
    columns: server.columns,
    assertPrimary: () => persist(() => lend(server.reading, (session) => assertPrimary(server, session))),
    read,
    write,
    exclusively,
    snapshot,
    checkpoint: async () => undefined,
    async renumber(tables: readonly string[]) {
      await queued(() =>
        server.alone(async (session) => {
          for (const table of tables) await server.renumber(session, table);
        }),
      );
    },
    inside,
    async close() {
      closed = true;
      await lane;
      await Promise.all([server.reading.close(), server.looking.close(), server.writing.close(), server.close()]);
    },
  });
}

/** A standby may lag, or be cut off from its primary for ever: what it tells of changes is not the truth. */
async function assertPrimary(server: SqlServer, session: Session): Promise<void> {
  if (await server.isStandby(session)) throw new Lost('the database server is a standby');
}

/** A read changes nothing, so a lost connection is taken as an accident once. */
async function readOnce(pool: Pool, query: RunnableQuery): Promise<QueryResult<unknown>> {
  return await persist(() => lend(pool, (session) => session.run(query)));
}

/** Lends a session to `fn`. One that failed in a way that leaves it in doubt is not lent again. */
export async function lend<T>(pool: Pool, fn: (session: Session) => Promise<T>): Promise<T> {
  const session = await pool.acquire();
  let discard = true;
  try {
    const value = await fn(session);
    discard = false;
    return value;
  } catch (error) {
    discard = error instanceof Lost;
    throw error;
  } finally {
    session.release(discard);
  }
}

/** As `lend`, where doing it twice would be wrong: what was under way when the connection was lost may have happened. */
export async function lendOnce<T>(pool: Pool, fn: (session: Session) => Promise<T>): Promise<T> {
  return await persist(() =>
    lend(pool, (session) =>
      fn(session).catch((error: unknown) => {
        throw error instanceof Lost ? new LostUnderWay(error.message, { cause: error }) : error;
      }),
    ),
  );
}

/** As `Lost`, after something was sent that must not be sent again. */
class LostUnderWay extends Lost {}

/**
 * Does `work` again, from the start, after a conflict or a lost connection: neither left anything behind. Bounded, and
 * with a growing random wait, so that two that met do not meet again.
 * @throws {Fault} `busy` or `unavailable` when it is given up
 */
export async function persist<T>(work: () => Promise<T>): Promise<T> {
  let losses = 0;
  for (let conflicts = 0; ; ) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Conflict) {
        if (++conflicts > mostConflicts) throw new Fault('busy', { cause: error });
      } else if (!(error instanceof Lost)) throw error;
      else if (error instanceof LostUnderWay || ++losses >= mostLosses) throw new Fault('unavailable', { cause: error });
    }
    await sleep(Math.random() * Math.min(100, 4 * 2 ** (conflicts + losses)));
  }
}

/** What the queries of one transaction did so far. */
class Activity {
  #running = 0;
  #since = performance.now();
  #last: Promise<unknown> = Promise.resolve();
  #ended = false;
  /** The first query that failed: a transaction does not end well after it, whatever became of the error. */
  failure: unknown;
  looked = false;

  /** One after the other, and none after one that failed: where the database has undone the transaction, it would commit on its own. */
  async watch(query: RunnableQuery, run: () => Promise<QueryResult<unknown>>): Promise<QueryResult<unknown>> {
    this.looked ||= query.query.kind === 'SelectQueryNode';
    this.#running++;
    const mine = this.#last.then(() => this.#run(run));
    this.#last = mine.catch(() => {});
    try {
      return await mine;
    } finally {
      this.#running--;
      this.#since = performance.now();
    }
  }

  /** Once all that was asked for is done. */
  async settled(): Promise<void> {
    await this.#last;
  }

  /** What is still asked for is not done any more. */
  end(): void {
    this.#ended = true;
  }

  async #run(run: () => Promise<QueryResult<unknown>>): Promise<QueryResult<unknown>> {
    if (this.failure !== undefined) throw this.failure;
    if (this.#ended) throw new StoreMisuse('this write has ended: await every query before its function returns');
    try {
      return await run();
    } catch (error) {
      this.failure ??= error;
      throw error;
    }
  }

  get stalled(): boolean {
    return this.#running === 0 && performance.now() - this.#since >= patience;
  }
}

type Body<T> = (run: Run, activity: Activity) => Promise<T>;

/** One transaction. A unique value may have been taken since it looked: it looks once more, so that it sees the row. */
async function transact<T>(server: SqlServer, body: Body<T>): Promise<T> {
  const first = await attempt(server, body);
  if (!('again' in first)) return first.value;
  const second = await attempt(server, body);
  if ('again' in second) throw second.again;
  return second.value;
}

type Attempt<T> = { readonly value: T } | { readonly again: unknown };

async function attempt<T>({ transactions, writing }: SqlServer, body: Body<T>): Promise<Attempt<T>> {
  const session = await writing.acquire();
  const activity = new Activity();
  let sound = false;
  try {
    const id = await transactions.begin(session);
    try {
      const value = await body((query) => activity.watch(query, () => session.run(query)), activity);
      await activity.settled();
      if (activity.failure !== undefined) throw activity.failure;
      sound = await commit(transactions, session, id);
      return { value };
    } catch (error) {
      activity.end();
      // On a server that takes no more writes it can be undone, and yet it is the wrong connection.
      if (!(error instanceof OpenOutcome)) sound = (await undo(session)) && !(activity.failure instanceof Lost);
      throw error;
    }
  } catch (error) {
    const { failure } = activity;
    if (failure instanceof Conflict || failure instanceof Lost) throw failure;
    if (error === failure && isUniqueViolation(error) && activity.looked) return { again: error };
    throw error instanceof OpenOutcome ? new Fault('unavailable', { cause: error.cause }) : error;
  } finally {
    session.release(!sound);
  }
}

/** Nobody can say whether the transaction was committed. */
class OpenOutcome extends Error {}

/** True if the session stands after COMMIT. A connection lost in it leaves the outcome open: it is looked up, and never guessed. */
async function commit(transactions: Transactions, session: Session, id: string | undefined): Promise<boolean> {
  try {
    await session.command('commit');
    return true;
  } catch (error) {
    if (!(error instanceof Lost)) throw error;
    const outcome = id === undefined ? 'unknown' : await transactions.outcome(id);
    if (outcome === 'undone') throw error;
    if (outcome === 'unknown') throw new OpenOutcome('the answer to COMMIT was lost', { cause: error });
    return false;
  }
}

/** False if it could not be undone on this session: closing that undoes it. */
async function undo(session: Session): Promise<boolean> {
  return await session.command('rollback').then(
    () => true,
    () => false,
  );
}

/**
 * A write holds rows that others wait for, so it may wait for nothing but its own queries. When none of them has run
 * for a second it waits for something else: its handle ends, and it is undone.
 */
async function untilStalled<T>(handle: Handle, activity: Activity, run: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      if (activity.stalled) reject(new StoreMisuse('a write waited for something other than its own queries'));
    }, patience / 4);
  });
  try {
    return await Promise.race([run(), stalled]);
  } finally {
    clearInterval(timer);
    handle.close();
  }
}
