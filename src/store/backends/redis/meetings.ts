import type { StoreServer } from '../../ports.ts';

/** The servers that were met without being named in the URL. */
export interface Meetings {
  meet(server: StoreServer): void;
  /** Whom a primary names as its replicas, by what it says of itself. */
  meetReplicas(facts: ReadonlyMap<string, string>): void;
  watch(listener: (server: StoreServer) => void): void;
}

/** The oldest is forgotten beyond this many; who was told of it still knows. */
const most = 1_000;

export function createMeetings(): Meetings {
  const met = new Map<string, StoreServer>();
  const listeners: ((server: StoreServer) => void)[] = [];

  function meet(server: StoreServer): void {
    const name = `${server.host}:${server.port}`;
    if (met.has(name)) return;
    met.set(name, server);
    const [oldest] = met.keys();
    if (met.size > most && oldest !== undefined) met.delete(oldest);
    for (const listener of listeners) listener(server);
  }

  return Object.freeze({
    meet,
    meetReplicas(facts) {
      for (const [name, told] of facts) {
        const place = /^slave\d+$/.test(name) ? /^ip=([^,]+),port=(\d+)/.exec(told) : null;
        if (place !== null) meet({ host: place[1] as string, port: Number(place[2]) });
      }
    },
    watch(listener) {
      listeners.push(listener);
      for (const server of met.values()) listener(server);
    },
  } satisfies Meetings);
}
