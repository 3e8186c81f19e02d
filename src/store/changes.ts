import type { Clock, Log } from '#kernel';
import type { RecordsBackend } from './backend.ts';
import { type Changes, type Topic, topics } from './ports.ts';
import type { Push } from './push.ts';

const pollEvery = 500;
/** After a poll, even when one announcement follows the other. */
const calm = 25;

type Listener = (generation: number) => void;

/** The change feed of one process, with the levers that the store itself pulls. */
export interface ChangeFeed extends Changes {
  /** Reads every generation now. False: the table could not be read, and the feed is as old as before. */
  poll(): Promise<boolean>;
  /** Changes of this process were committed: told here now, and announced to the others. */
  committed(bumped: ReadonlyMap<Topic, number>): void;
  close(): Promise<void>;
}

interface Deps {
  readonly backend: RecordsBackend;
  readonly push: Push;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Follows the generation counters: at once for this process's own changes; for everybody else's when they are announced, and
 * every 500 ms whether they are or not.
 */
export function createChangeFeed({ backend, push, clock, log }: Deps): ChangeFeed {
  const known = new Map<Topic, number>(topics.map((topic) => [topic, 0]));
  const listeners = new Map<Topic, Set<Listener>>(topics.map((topic) => [topic, new Set()]));
  let pollBegan: number | undefined;
  let failing = false;
  let timer: NodeJS.Timeout | undefined;
  let polling: Promise<unknown> = Promise.resolve();
  let announced = false;
  let pollEnded = Number.NEGATIVE_INFINITY;
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
      const [rows] = await Promise.all([
        backend.read(undefined, (db) => db.selectFrom('generations').select(['topic', 'value']).execute()),
        backend.assertPrimary(),
      ]);
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

  function schedule(wait: number): void {
    if (closed) return;
    timer = setTimeout(() => {
      timer = undefined;
      announced = false;
      polling = poll().finally(() => {
        pollEnded = performance.now();
        schedule(announced ? calm : pollEvery);
      });
    }, wait);
    timer.unref();
  }

  /** The next poll comes now, or at once after the one under way, which may have looked too early. */
  function hear(): void {
    if (announced) return;
    announced = true;
    if (timer === undefined) return;
    clearTimeout(timer);
    schedule(Math.max(0, pollEnded + calm - performance.now()));
  }

  push.listen(hear);
  schedule(pollEvery);

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
    committed(bumped: ReadonlyMap<Topic, number>) {
      for (const [topic, generation] of bumped) tell(topic, generation);
      if (bumped.size > 0) push.announce();
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await push.close();
      await polling;
    },
  });
}

function isTopic(name: string): name is Topic {
  return (topics as readonly string[]).includes(name);
}
