import type { Clock } from '#kernel';

/** Something that ends when nothing happened until its deadline. Moving the deadline is one assignment. */
export interface Timed {
  /** Monotonic milliseconds; `Infinity`: none. */
  deadline: number;
  expired(): void;
}

/** One coarse timer for everything that can time out: thousands of timers armed and disarmed per second would cost more. */
export class Deadlines {
  readonly #watched = new Set<Timed>();
  readonly #clock: Clock;
  readonly #timer: NodeJS.Timeout;

  constructor(clock: Clock, tick: number) {
    this.#clock = clock;
    this.#timer = setInterval(() => this.sweep(), tick);
    this.#timer.unref();
  }

  watch(timed: Timed): void {
    this.#watched.add(timed);
  }

  forget(timed: Timed): void {
    this.#watched.delete(timed);
  }

  sweep(): void {
    const now = this.#clock.monotonic();
    for (const timed of this.#watched) {
      if (timed.deadline <= now) {
        timed.deadline = Number.POSITIVE_INFINITY;
        timed.expired();
      }
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watched.clear();
  }
}
