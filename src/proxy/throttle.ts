import type { Clock } from '#kernel';

interface Bad {
  count: number;
  since: number;
}

const window = 60_000;
const longest = 5_000;
const remembered = 10_000;

/**
 * Slows refusals to an address that keeps showing bad credentials. Good requests from the same address are not looked
 * at, so a neighbour behind it cannot slow them.
 */
export class Throttle {
  readonly #seen = new Map<string, Bad>();
  readonly #clock: Clock;
  readonly #free: number;

  constructor(clock: Clock, free: number) {
    this.#clock = clock;
    this.#free = free;
  }

  /** Counts one bad credential; returns how many milliseconds its refusal must wait. */
  bad(address: string): number {
    const now = this.#clock.monotonic();
    let bad = this.#seen.get(address);
    if (bad === undefined || now - bad.since > window) {
      if (this.#seen.size >= remembered) this.#seen.clear();
      bad = { count: 0, since: now };
      this.#seen.set(address, bad);
    }
    bad.count++;
    return bad.count <= this.#free ? 0 : Math.min(longest, 50 * 2 ** Math.min(bad.count - this.#free, 10));
  }
}
