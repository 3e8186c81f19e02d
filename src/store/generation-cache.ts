import type { Changes, Topic } from './ports.ts';

/** What was loaded since the last change of a topic. */
export interface GenerationCache<V> {
  /** The value as last loaded; `load` runs once for all who wait, and what it found absent (undefined) is not kept. */
  get(key: string, load: () => Promise<V | undefined>): Promise<V | undefined>;
  close(): void;
}

/**
 * A cache of at most `limit` values (oldest out first) that forgets everything when the topic changes. A load that
 * began before a change is handed to whoever waited for it, and not kept.
 */
export function cacheByGeneration<V>(changes: Changes, topic: Topic, limit: number): GenerationCache<V> {
  let kept = new Map<string, V>();
  let closed = false;
  let loading = new Map<string, Promise<V | undefined>>();
  const stop = changes.watch(topic, () => {
    kept = new Map();
    loading = new Map();
  });

  async function fill(key: string, load: () => Promise<V | undefined>, into: Map<string, V>): Promise<V | undefined> {
    const value = await load();
    if (value === undefined || into !== kept || closed) return value;
    if (kept.size >= limit) kept.delete(kept.keys().next().value as string);
    kept.set(key, value);
    return value;
  }

  return Object.freeze({
    get(key, load) {
      const value = kept.get(key);
      if (value !== undefined) return Promise.resolve(value);
      const waiting = loading.get(key);
      if (waiting !== undefined) return waiting;
      const mine = loading;
      const filling = fill(key, load, kept).finally(() => mine.delete(key));
      mine.set(key, filling);
      return filling;
    },
    close() {
      stop();
      closed = true;
      kept = new Map();
    },
  } satisfies GenerationCache<V>);
}
