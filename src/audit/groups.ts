import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { Fault, type Log } from '#kernel';
import { isUniqueViolation } from '#store';
import type { Prepared } from './body.ts';
import type { AuditQueries } from './events.sql.ts';

export interface Groups {
  /** Resolves when the event is durable; in mode `after` at once. @throws {Fault} `audit_unavailable` */
  add(event: Prepared, when: 'now' | 'soon'): Promise<void>;
  /** Resolves when everything that was added is durable, or was refused. */
  flush(): Promise<void>;
}

interface Deps {
  readonly queries: AuditQueries;
  readonly log: Log;
  readonly writer: string;
  readonly mode: 'before' | 'after';
}

interface Waiting {
  readonly event: Prepared;
  /** Somebody waits for it; the others come along with the next group. */
  readonly urgent: boolean;
  resolve(): void;
  reject(fault: Fault): void;
}

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

function createDurable({ queries, writer }: Deps, outside: Outside): Groups {
  const queue: Waiting[] = [];
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
    } while (urgent > 0 || queue.length >= largestGroup);
    flying = undefined;
    if (queue.length > 0) launchLater();
  }

  async function gather(): Promise<void> {
    if (waitedFor < shared) return;
    for (let i = 0, before = 0; i < looks && urgent < largestGroup; i++) {
      before = urgent;
      await wait(look);
      if (urgent - before < shared) return;
    }
  }

  function take(): Waiting[] {
    const group = queue.splice(0, largestGroup);
    waitedFor = group.reduce((count, waiting) => count + (waiting.urgent ? 1 : 0), 0);
    urgent -= waitedFor;
    return group;
  }

  /** The group is taken when its transaction begins, and stays the same if the transaction is tried again. */
  async function writeGroup(): Promise<void> {
    let group: Waiting[] | undefined;
    const events = () => {
      group ??= take();
      return group.map((waiting) => waiting.event);
    };
    try {
      await queries.appendMany(writer, events);
      for (const waiting of group ?? []) waiting.resolve();
    } catch (cause) {
      const fault = unavailable(cause);
      for (const waiting of group ?? take()) waiting.reject(fault);
    }
  }

  return Object.freeze({
    add(event: Prepared, when: 'now' | 'soon') {
      if (queue.length >= longestQueue) return Promise.reject(unavailable());
      return new Promise<void>((resolve, reject) => {
        queue.push({ event, urgent: when === 'now', resolve, reject });
        if (when === 'now') urgent++;
        if (when === 'now' || queue.length >= largestGroup) launch();
        else launchLater();
      });
    },
    async flush() {
      while (flying !== undefined || queue.length > 0) await launch();
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
    add(event: Prepared) {
      if (queue.length >= longestQueue) return Promise.reject(unavailable());
      queue.push(event);
      flying ??= outside(fly);
      return Promise.resolve();
    },
    async flush() {
      await flying;
    },
  });
}
