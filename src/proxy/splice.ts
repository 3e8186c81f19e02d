import type { Duplex } from 'node:stream';
import type { LiveRun } from '#broker';
import type { Timed } from './deadlines.ts';
import type { Cuttable, Plane } from './plane.ts';
import type { Authority } from './target.ts';

/** A blind tunnel: bytes both ways with back-pressure, counted, and nothing else. */
export class Splice implements Timed, Cuttable {
  deadline: number;
  readonly #plane: Plane;
  readonly #client: Duplex;
  readonly #upstream: Duplex;
  readonly #run: LiveRun;
  readonly #target: Authority;
  readonly #started: number;
  #sent = 0;
  #received = 0;
  #open = 2;

  constructor(plane: Plane, client: Duplex, upstream: Duplex, run: LiveRun, target: Authority) {
    this.#plane = plane;
    this.#client = client;
    this.#upstream = upstream;
    this.#run = run;
    this.#target = target;
    this.#started = plane.clock.monotonic();
    this.deadline = this.#started + plane.limits.streamIdle;
  }

  start(): void {
    this.#plane.deadlines.watch(this);
    this.#plane.work.add(this.#run, this);
    this.#plane.splices.add(this);
    this.#upstream.allowHalfOpen = true;
    this.#pass(this.#client, this.#upstream, (bytes) => {
      this.#sent += bytes;
    });
    this.#pass(this.#upstream, this.#client, (bytes) => {
      this.#received += bytes;
    });
  }

  #pass(from: Duplex, to: Duplex, count: (bytes: number) => void): void {
    from.on('data', (chunk: Buffer) => {
      count(chunk.length);
      this.deadline = this.#plane.clock.monotonic() + this.#plane.limits.streamIdle;
      if (to.writable && !to.write(chunk)) from.pause();
    });
    to.on('drain', () => from.resume());
    from.on('end', () => to.writable && to.end());
    from.on('error', () => to.destroy());
    from.on('close', () => {
      if (!to.writableFinished) to.end();
      if (from.errored || !from.readableEnded) to.destroy();
      if (--this.#open === 0) this.#closed();
    });
    from.resume();
  }

  #closed(): void {
    this.#plane.deadlines.forget(this);
    this.#plane.work.remove(this.#run, this);
    this.#plane.splices.delete(this);
    const end = { sent: this.#sent, received: this.#received, ms: this.#plane.clock.monotonic() - this.#started };
    this.#plane.broker.tunnel(this.#run, this.#target, end).catch((cause: unknown) => {
      this.#plane.log.error('the end of a tunnel could not be recorded', { run: this.#run.id, cause });
    });
  }

  expired(): void {
    this.cut();
  }

  cut(): void {
    this.#client.destroy();
    this.#upstream.destroy();
  }
}
