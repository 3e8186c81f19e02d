import type { Broker, LiveRun } from '#broker';
import type { Clock, FaultCode, Log, RequestId, RunId } from '#kernel';
import type { Net } from '#net';
import type { ClientConnection } from './client.ts';
import type { Deadlines } from './deadlines.ts';
import type { Leaves } from './leaves.ts';
import type { Limits } from './limits.ts';
import type { Pool } from './pool.ts';
import type { Splice } from './splice.ts';
import type { Throttle } from './throttle.ts';
import type { Turns } from './turns.ts';

/** What the files of this room share. */
export interface Plane {
  readonly broker: Broker;
  readonly net: Net;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: Limits;
  readonly deadlines: Deadlines;
  readonly pool: Pool;
  readonly leaves: Leaves;
  readonly throttle: Throttle;
  readonly turns: Turns;
  readonly work: OpenWork;
  /** Open connections of clients, tunnels by their inner connection. */
  readonly clients: Set<ClientConnection>;
  readonly splices: Set<Splice>;
  /** The listeners are closed: each connection's next answer is its last. */
  draining: boolean;
  /** No request is begun any more. */
  closing: boolean;
}

/** Something of a run that is under way and can be cut. */
export interface Cuttable {
  cut(code: FaultCode): void;
}

/** What is under way, by run and by exchange. */
export class OpenWork {
  readonly #runs = new Map<RunId, Set<Cuttable>>();
  readonly #exchanges = new Map<RequestId, Cuttable>();

  add(run: LiveRun, work: Cuttable, exchange?: RequestId): void {
    let set = this.#runs.get(run.id);
    if (set === undefined) {
      set = new Set();
      this.#runs.set(run.id, set);
    }
    set.add(work);
    if (exchange !== undefined) this.#exchanges.set(exchange, work);
  }

  remove(run: LiveRun, work: Cuttable, exchange?: RequestId): void {
    const set = this.#runs.get(run.id);
    if (set?.delete(work) && set.size === 0) this.#runs.delete(run.id);
    if (exchange !== undefined) this.#exchanges.delete(exchange);
  }

  cutRun(run: RunId, code: FaultCode): void {
    for (const work of [...(this.#runs.get(run) ?? [])]) work.cut(code);
  }

  cutExchange(exchange: RequestId, code: FaultCode): void {
    this.#exchanges.get(exchange)?.cut(code);
  }

  cutAll(code: FaultCode): void {
    for (const run of [...this.#runs.keys()]) this.cutRun(run, code);
  }
}
