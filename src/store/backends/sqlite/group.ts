import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { Fault } from '#kernel';
import { StoreMisuse } from '../../errors.ts';
import { type Connection, whenFree } from './file.ts';

/** One write waiting for its turn. */
interface Member {
  run(): Promise<unknown>;
  /** Called when it took too long: its handle must not work any more. */
  abandon(): void;
  committed(): void;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

type Outcome = { readonly member: Member; readonly value: unknown };

const largestGroup = 256;
const patience = 1_000;
const contentionMemory = 1_000;

export interface GroupCommit {
  /** Runs `run` in a transaction shared with its neighbours; resolves after COMMIT. */
  write<T>(work: { run(): Promise<T>; abandon(): void; committed(): void }): Promise<T>;
  /** Waits for every write that was accepted. */
  close(): Promise<void>;
}

const begin = { sql: 'begin immediate', parameters: [] };
const commit = { sql: 'commit', parameters: [] };
const rollback = { sql: 'rollback', parameters: [] };
const mark = { sql: 'savepoint member', parameters: [] };
const keep = { sql: 'release member', parameters: [] };
const undo = { sql: 'rollback to member', parameters: [] };

/**
 * Group commit: writes that wait at once share one transaction, a savepoint each, so that one sync serves many.
 * A failing member is undone alone. If the transaction itself is gone, every member rejects.
 */
export function createGroupCommit(connection: Connection): GroupCommit {
  const queue: Member[] = [];
  let running: Promise<void> | undefined;
  let closed = false;
  let contended = Number.NEGATIVE_INFINITY;

  const noteContention = () => {
    contended = performance.now();
  };

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      await pause();
      const members = queue.splice(0, largestGroup);
      await runGroup(connection, members, noteContention);
    }
    running = undefined;
  }

  /** A turn of the loop gathers neighbours; a little longer lets another process have the file. */
  function pause(): Promise<void> {
    return performance.now() - contended < contentionMemory ? sleep(1 + Math.random() * 3) : turn();
  }

  return Object.freeze({
    write<T>(work: { run(): Promise<T>; abandon(): void; committed(): void }): Promise<T> {
      if (closed) return Promise.reject(new Fault('shutting_down'));
      return new Promise<T>((resolve, reject) => {
        queue.push({ ...work, resolve: resolve as (value: unknown) => void, reject });
        running ??= drain();
      });
    },
    async close() {
      closed = true;
      await running;
    },
  });
}

async function runGroup(connection: Connection, members: readonly Member[], onBusy: () => void): Promise<void> {
  try {
    connection.assertThere();
    await whenFree(() => connection.run(begin), onBusy);
  } catch (error) {
    for (const member of members) member.reject(error);
    return;
  }
  const done = await runMembers(connection, members);
  if (done.length === 0 && !connection.database.isTransaction) return;
  const failure = await end(connection, onBusy);
  for (const { member, value } of done) {
    if (failure !== undefined) {
      member.reject(failure);
      continue;
    }
    member.committed();
    member.resolve(value);
  }
}

/**
 * Runs the members one after the other. Those that failed were told; the others wait for COMMIT. One that is alone needs
 * no savepoint: the transaction is its own.
 */
async function runMembers(connection: Connection, members: readonly Member[]): Promise<readonly Outcome[]> {
  const done: Outcome[] = [];
  const watch = watchForStalls();
  const alone = members.length === 1;
  for (const member of members) {
    try {
      if (!connection.database.isTransaction) throw new Fault('unavailable');
      if (!alone) connection.run(mark);
      const value = await watch.guard(member);
      if (!alone) connection.run(keep);
      done.push({ member, value });
    } catch (error) {
      if (!alone) undoMember(connection);
      else if (connection.database.isTransaction) connection.run(rollback);
      member.reject(error);
    }
  }
  watch.stop();
  return done;
}

/** Undoes one member, if the transaction still stands: some errors (disk full, I/O) end it as a whole. */
function undoMember(connection: Connection): void {
  if (!connection.database.isTransaction) return;
  try {
    connection.run(undo);
    connection.run(keep);
  } catch {
    if (connection.database.isTransaction) connection.run(rollback);
  }
}

/** Commits; the reason why nobody's write happened, or undefined. */
async function end(connection: Connection, onBusy: () => void): Promise<unknown> {
  if (!connection.database.isTransaction) return new Fault('unavailable');
  try {
    await whenFree(() => connection.run(commit), onBusy);
    return undefined;
  } catch (error) {
    if (connection.database.isTransaction) connection.run(rollback);
    return error;
  }
}

/**
 * A write holds the file, so it may wait for nothing but its own queries, which are over within the turn. One that
 * still runs after a second waits for something else: it is undone, and its handle ends.
 */
function watchForStalls() {
  let current: { readonly member: Member; readonly fail: (error: Error) => void; since: number } | undefined;
  const timer = setInterval(() => {
    if (current === undefined || performance.now() - current.since < patience) return;
    current.member.abandon();
    current.fail(new StoreMisuse('a write waited for something other than its own queries'));
  }, patience / 4);
  return {
    guard(member: Member): Promise<unknown> {
      return new Promise((resolve, reject) => {
        current = { member, fail: reject, since: performance.now() };
        member.run().then(resolve, reject);
      });
    },
    stop(): void {
      clearInterval(timer);
    },
  };
}
