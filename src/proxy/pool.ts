import type { Duplex } from 'node:stream';
import { type Clock, Fault } from '#kernel';
import type { Deadlines } from './deadlines.ts';
import type { Limits } from './limits.ts';
import { Upstream } from './upstream.ts';

interface Line {
  readonly idle: Upstream[];
  /** Connections open or being dialled. */
  open: number;
  readonly waiting: Waiter[];
}

interface Waiter {
  go: () => void;
  deadline: number;
  expired(): void;
}

/**
 * Upstream connections, shared by all tunnels of an organization, never beyond one key: organization, connection and
 * origin (SECURITY 11). A pooled connection was dialled to a judged address; every new one is judged anew.
 */
export class Pool {
  readonly #lines = new Map<string, Line>();
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #deadlines: Deadlines;
  #idle = 0;

  constructor(clock: Clock, limits: Limits, deadlines: Deadlines) {
    this.#clock = clock;
    this.#limits = limits;
    this.#deadlines = deadlines;
  }

  /** An idle connection, the last used first. `fresh`: only one whose peer hardly had time to close it. */
  take(key: string, fresh: boolean): Upstream | undefined {
    const line = this.#lines.get(key);
    if (line === undefined) return undefined;
    for (let upstream = line.idle.at(-1); upstream !== undefined; upstream = line.idle.at(-1)) {
      if (fresh && this.#clock.monotonic() - upstream.idleSince > this.#limits.poolFresh) return undefined;
      line.idle.pop();
      this.#idle--;
      upstream.deadline = Number.POSITIVE_INFINITY;
      if (upstream.reusable) return upstream;
      upstream.destroy();
    }
    return undefined;
  }

  /** A new connection, by `connect`, once the key has room. @throws {Fault} what `connect` throws, `busy` */
  async dial(key: string, connect: () => Promise<Duplex>): Promise<Upstream> {
    while (this.#line(key).open >= this.#limits.poolPerOrigin) {
      await this.#turn(this.#line(key));
      const idle = this.take(key, false);
      if (idle !== undefined) return idle;
    }
    const line = this.#line(key);
    line.open++;
    try {
      const upstream = new Upstream(await connect(), key, this.#limits, this.#deadlines);
      upstream.onGone = (one) => this.#left(one);
      return upstream;
    } catch (error) {
      this.#free(key, line);
      throw error;
    }
  }

  /** Takes a connection back when it can be used again, else destroys it. */
  give(upstream: Upstream): void {
    const line = this.#lines.get(upstream.key);
    upstream.detach();
    if (line === undefined || !upstream.reusable || this.#idle >= this.#limits.poolTotal) {
      upstream.destroy();
      return;
    }
    upstream.idleSince = this.#clock.monotonic();
    upstream.deadline = upstream.idleSince + this.#limits.poolIdle;
    line.idle.push(upstream);
    this.#idle++;
    line.waiting.shift()?.go();
  }

  close(): void {
    for (const line of this.#lines.values()) for (const upstream of [...line.idle]) upstream.destroy();
  }

  #line(key: string): Line {
    let line = this.#lines.get(key);
    if (line === undefined) {
      line = { idle: [], open: 0, waiting: [] };
      this.#lines.set(key, line);
    }
    return line;
  }

  #turn(line: Line): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#deadlines.forget(waiter);
        const at = line.waiting.indexOf(waiter);
        if (at >= 0) line.waiting.splice(at, 1);
      };
      const waiter: Waiter = {
        go: () => {
          leave();
          resolve();
        },
        deadline: this.#clock.monotonic() + this.#limits.connectTimeout,
        expired: () => {
          leave();
          reject(new Fault('busy', { detail: 'Too many calls to this upstream at once' }));
        },
      };
      line.waiting.push(waiter);
      this.#deadlines.watch(waiter);
    });
  }

  #left(upstream: Upstream): void {
    const line = this.#lines.get(upstream.key);
    if (line === undefined) return;
    const at = line.idle.indexOf(upstream);
    if (at >= 0) {
      line.idle.splice(at, 1);
      this.#idle--;
    }
    this.#free(upstream.key, line);
  }

  #free(key: string, line: Line): void {
    line.open--;
    const next = line.waiting.shift();
    if (next !== undefined) next.go();
    else if (line.open === 0) this.#lines.delete(key);
  }
}
