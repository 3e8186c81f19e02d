import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { Fault, type Log } from '#kernel';
import { isUniqueViolation } from '#store';
import { type Noted, type Prepared, prepare } from './body.ts';
import type { AuditQueries } from './events.sql.ts';

export interface Groups {
  /** Resolves when the event is durable; in mode `after` at once. @throws {Fault} `audit_unavailable`, `internal` as `prepare` */
  add(event: Noted, when: 'now' | 'soon'): Promise<void>;
  /** Resolves when everything that was added is durable, or was refused. */
  flush(): Promise<void>;
}

interface Deps {
  readonly queries: AuditQueries;
  readonly log: Log;
  readonly writer: string;
  readonly mode: 'before' | 'after';
}

/** Events that are written together, and what their callers wait for. */
interface Group {
  readonly events: Noted[];
  /** How many callers wait for it; the other events come along. */
  urgent: number;
  readonly written: Promise<Refused>;
  resolve(refused: Refused): void;
  reject(fault: Fault): void;
}

/** Drafts that were no events, and why. */
type Refused = ReadonlyMap<Noted, unknown>;

const largestGroup = 512;
/** More than this many waiting events is a database that does not answer. */
const longestQueue = 16_384;
const delay = 50;
/** A group that this many callers waited for has neighbours worth waiting for. */
const shared = 3;
/** Milliseconds of one look for neighbours, and how many looks. */
const look = 1;
const looks = 4;

/**
 * Writes events of all callers in groups: at once when nothing is under way, else all that came meanwhile together, so
 * that one transaction and one sync serve many. While calls come thick, a group is held open for a few milliseconds more.
 */
export function createGroups(deps: Deps): Groups {
  // A caller may be inside a read or write of its own, which is none of ours.
  const outside = AsyncLocalStorage.snapshot();
  return deps.mode === 'before' ? createDurable(deps, outside) : createDelayed(deps, outside);
}

type Outside = ReturnType<typeof AsyncLocalStorage.snapshot>;

function unavailable(cause?: unknown): Fault {
  return new Fault('audit_unavailable', cause === undefined ? {} : { cause });
}

/** All events of a group are made ready in one go: code and data stay in the processor's caches. */
function prepareAll(notes: readonly Noted[], writer: string): { readonly events: readonly Prepared[]; readonly refused: Refused } {
  const refused = new Map<Noted, unknown>();
  const events: Prepared[] = [];
  for (const noted of notes) {
    try {
      events.push(prepare(noted, writer));
    } catch (error) {
      refused.set(noted, error);
    }
  }
  return { events, refused };
}

function newGroup(): Group {
  const { promise: written, resolve, reject } = Promise.withResolvers<Refused>();
  // Those that nobody waits for learn of a failure too, but need not.
  written.catch(() => {});
  return { events: [], urgent: 0, written, resolve, reject };
}

function createDurable({ queries, writer }: Deps, outside: Outside): Groups {
  const queue: Group[] = [];
  let waiting = 0;
  let urgent = 0;
  let waitedFor = 0;
  let flying: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const launch = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    flying ??= outside(fly);
    return flying;
  };
  const launchLater = () => {
    if (flying === undefined) timer ??= setTimeout(launch, delay);
  };

  async function fly(): Promise<void> {
    do {
      await gather();
      await writeGroup();
    } while (urgent > 0 || waiting >= largestGroup);
    flying = undefined;
    if (waiting > 0) launchLater();
  }

  async function gather(): Promise<void> {
    if (waitedFor < shared) return;
    for (let i = 0, before = 0; i < looks && urgent < largestGroup; i++) {
      before = urgent;
      await wait(look);
      if (urgent - before < shared) return;
    }
  }

  function open(): Group {
    const last = queue.at(-1);
    if (last !== undefined && last.events.length < largestGroup) return last;
    const group = newGroup();
    queue.push(group);
    return group;
  }

  function take(): Group {
    const group = queue.shift() ?? newGroup();
    waiting -= group.events.length;
    waitedFor = group.urgent;
    urgent -= waitedFor;
    return group;
  }

  /** The group is taken when its transaction begins, and stays the same if the transaction is tried again. */
  async function writeGroup(): Promise<void> {
    let group: Group | undefined;
    let ready: ReturnType<typeof prepareAll> | undefined;
    const events = () => {
      group ??= take();
      ready ??= prepareAll(group.events, writer);
      return ready.events;
    };
    try {
      await queries.appendMany(writer, events);
      if (ready !== undefined) group?.resolve(ready.refused);
    } catch (cause) {
      (group ?? take()).reject(unavailable(cause));
    }
  }

  return Object.freeze({
    async add(event: Noted, when: 'now' | 'soon') {
      if (waiting >= longestQueue) throw unavailable();
      const group = open();
      group.events.push(event);
      waiting++;
      if (when === 'now') {
        group.urgent++;
        urgent++;
      }
      if (when === 'now' || waiting >= largestGroup) launch();
      else launchLater();
      const refused = await group.written;
      if (refused.has(event)) throw refused.get(event);
    },
    async flush() {
      while (flying !== undefined || waiting > 0) await launch();
    },
  });
}

/** Answers at once and writes within 50 ms. What a killed process held is lost; what the database refused is tried again. */
function createDelayed({ queries, writer, log }: Deps, outside: Outside): Groups {
  let queue: Prepared[] = [];
  let flying: Promise<void> | undefined;

  async function fly(): Promise<void> {
    await wait(delay);
    while (queue.length > 0) {
      const group = queue.splice(0, largestGroup);
      try {
        await queries.appendMany(writer, () => group);
      } catch (error) {
        log.error('events could not be recorded and are tried again', { count: group.length, error });
        queue = [...(await unrecorded(group, error)), ...queue];
        await wait(delay * 10);
      }
    }
    flying = undefined;
  }

  /** An unknown outcome is looked up by the events' own ids, never repeated blindly. */
  async function unrecorded(group: readonly Prepared[], error: unknown): Promise<readonly Prepared[]> {
    if (!isUniqueViolation(error, 'events.id')) return group;
    const known = await queries.recorded(group).catch(() => new Set<string>());
    return group.filter((event) => !known.has(event.id));
  }

  return Object.freeze({
    async add(event: Noted) {
      if (queue.length >= longestQueue) throw unavailable();
      queue.push(prepare(event, writer));
      flying ??= outside(fly);
    },
    async flush() {
      await flying;
    },
  });
}
