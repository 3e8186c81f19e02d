import { StoreMisuse } from './errors.ts';
import type { Ephemera } from './ports.ts';

/** Ephemera that refuse to be used inside a `read` or `write`: they are no part of its transaction, and may be far away. */
export function outsideOf(inside: () => boolean, ephemera: Ephemera): Ephemera {
  const refused = () => Promise.reject(new StoreMisuse('Ephemera inside a read or write: spend first, then write'));
  return Object.freeze({
    get: (key: string) => (inside() ? refused() : ephemera.get(key)),
    put: (key: string, value: string, ttl: number) => (inside() ? refused() : ephemera.put(key, value, ttl)),
    claim: (key: string, value: string, ttl: number) => (inside() ? refused() : ephemera.claim(key, value, ttl)),
    take: (key: string) => (inside() ? refused() : ephemera.take(key)),
    drop: (key: string, value: string) => (inside() ? refused() : ephemera.drop(key, value)),
    bump: (key: string, ttl: number) => (inside() ? refused() : ephemera.bump(key, ttl)),
    since: (key: string) => (inside() ? refused() : ephemera.since(key)),
    ping: () => ephemera.ping(),
    sweep: () => ephemera.sweep(),
    close: () => ephemera.close(),
  });
}
