/** Where time comes from. */
export interface Clock {
  /** Wall-clock time, integer milliseconds since 1970. */
  now(): number;
  /** Milliseconds that never go back; only differences mean something. */
  monotonic(): number;
}

export const systemClock: Clock = Object.freeze({
  now: () => Date.now(),
  monotonic: () => performance.now(),
});

/** A clock that moves only when told to, for tests. */
export interface FakeClock extends Clock {
  advance(milliseconds: number): void;
  set(now: number): void;
}

export function fakeClock(start = Date.UTC(2026, 0, 1)): FakeClock {
  let wall = start;
  let steady = 0;
  return {
    now: () => wall,
    monotonic: () => steady,
    advance(milliseconds) {
      wall += milliseconds;
      steady += milliseconds;
    },
    set(now) {
      wall = now;
    },
  };
}
