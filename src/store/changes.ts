import type { Clock, Log } from '#kernel';
import type { RecordsBackend } from './backend.ts';
import { type Changes, type Topic, topics } from './ports.ts';

const pollEvery = 500;

type Listener = (generation: number) => void;

/** The change feed of one process, with the levers that the store itself pulls. */
export interface ChangeFeed extends Changes {
  /** Reads every generation now. False: the table could not be read, and the feed is as old as before. */
  poll(): Promise<boolean>;
  /** A change of this process was committed. */
  tell(topic: Topic, generation: number): void;
  close(): Promise<void>;
}

/** Follows the generation counters: at once for this process's own changes, every 500 ms for everybody else's. */
export function createChangeFeed(deps: { readonly backend: RecordsBackend; readonly clock: Clock; readonly log: Log }): ChangeFeed {
  const { backend, clock, log } = deps;
  const known = new Map<Topic, number>(topics.map((topic) => [topic, 0]));
  const listeners = new Map<Topic, Set<Listener>>(topics.map((topic) => [topic, new Set()]));
  let pollBegan: number | undefined;
  let failing = false;
  let timer: NodeJS.Timeout | undefined;
  let polling: Promise<unknown> = Promise.resolve();
  let closed = false;

  function tell(topic: Topic, generation: number): void {
    if (generation <= (known.get(topic) ?? 0)) return;
    known.set(topic, generation);
    for (const listener of [...(listeners.get(topic) ?? [])]) {
      try {
        listener(generation);
      } catch (error) {
        log.error('a listener to changes failed', { topic, error });
      }
    }
  }

  async function poll(): Promise<boolean> {
    const began = clock.monotonic();
    try {
      const rows = await backend.read(undefined, (db) => db.selectFrom('generations').select(['topic', 'value']).execute());
      for (const { topic, value } of rows) if (isTopic(topic)) tell(topic, value);
      pollBegan = began;
      failing = false;
      return true;
    } catch (error) {
      if (!failing && pollBegan !== undefined) log.error('cannot learn what changed', { error });
      failing = true;
      return false;
    }
  }

  function schedule(): void {
    if (closed) return;
    timer = setTimeout(() => {
      polling = poll().finally(schedule);
    }, pollEvery);
    timer.unref();
  }

  schedule();

  return Object.freeze({
    watch(topic: Topic, listener: Listener) {
      const own: Listener = (generation) => listener(generation);
      listeners.get(topic)?.add(own);
      return () => {
        listeners.get(topic)?.delete(own);
      };
    },
    generation: (topic: Topic) => known.get(topic) ?? 0,
    age: () => (pollBegan === undefined ? Number.POSITIVE_INFINITY : clock.monotonic() - pollBegan),
    poll,
    tell,
    async close() {
      closed = true;
      clearTimeout(timer);
      await polling;
    },
  });
}

function isTopic(name: string): name is Topic {
  return (topics as readonly string[]).includes(name);
}
