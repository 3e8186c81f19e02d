import type { Duplex } from 'node:stream';
import { Fault, isFault } from '#kernel';
import type { Deadlines, Timed } from './deadlines.ts';
import { connectionTokens } from './fields.ts';
import { type BodyReader, type BodySink, bodyReader, type Framing, responseFraming } from './framing.ts';
import { type Fields, findHeadEnd, judgeIncomplete, parseResponseHead, type ResponseHead } from './head.ts';
import type { Limits } from './limits.ts';
import { Wire, type WireEvents } from './wire.ts';

/** Who is using an upstream connection, and what it is told. */
export interface UpstreamUser {
  informational(head: ResponseHead): void;
  /** The answer's head. `hold`: nothing more until `proceed`; `raw`: what follows is no HTTP. `bytes` is the head as it came. */
  answered(head: ResponseHead, framing: Framing, bytes: Buffer): 'body' | 'hold' | 'raw';
  answerBody(slice: Buffer): void;
  answerEnded(trailers: Fields | undefined): void;
  /** Everything that had arrived was handed over. */
  upstreamRead(): void;
  rawFromUpstream(chunk: Buffer): void;
  upstreamClosedRaw(): void;
  upstreamDrained(): void;
  /** The connection failed, or its bytes are no answer. It is destroyed. `silent`: not one byte of an answer had come. */
  upstreamFailed(fault: Fault, silent: boolean): void;
}

type State = 'idle' | 'head' | 'held' | 'body' | 'raw' | 'done' | 'gone';

/** One connection to an upstream: the answers to one request after the other, read strictly. */
export class Upstream implements WireEvents, Timed, BodySink {
  readonly wire: Wire;
  /** Where it belongs in the pool. */
  readonly key: string;
  deadline = Number.POSITIVE_INFINITY;
  /** It carried an exchange before. */
  reused = false;
  idleSince = 0;
  onGone: (upstream: Upstream) => void = () => {};
  #state: State = 'idle';
  #user: UpstreamUser | undefined;
  #method = '';
  #pending: Buffer | undefined;
  #searched = 0;
  #reader: BodyReader | undefined;
  #silent = true;
  #persistent = true;
  readonly #limits: Limits;
  readonly #deadlines: Deadlines;

  constructor(socket: Duplex, key: string, limits: Limits, deadlines: Deadlines) {
    this.key = key;
    this.#limits = limits;
    this.#deadlines = deadlines;
    this.wire = new Wire(socket, this);
    deadlines.watch(this);
  }

  /** It may carry another request. */
  get reusable(): boolean {
    return (this.#state === 'done' || this.#state === 'idle') && this.#persistent && this.wire.alive;
  }

  /** Begins an exchange; the user writes the request on `wire`. */
  begin(user: UpstreamUser, method: string): void {
    this.#user = user;
    this.#method = method;
    this.#state = 'head';
    this.#silent = true;
    this.deadline = Number.POSITIVE_INFINITY;
  }

  /** Goes on after `hold`. */
  proceed(raw = false): void {
    this.#state = raw ? 'raw' : 'body';
    this.wire.resume();
    const pending = this.#pending;
    if (raw || !this.#reader?.done) this.#pending = undefined;
    if (!raw && this.#reader?.done) this.#finishBody();
    else if (pending !== undefined) this.bytes(pending);
  }

  /** Lets go of the user: it is told nothing more. */
  detach(): void {
    this.#user = undefined;
    if (this.#state === 'done') {
      this.#state = 'idle';
      this.reused = true;
    }
  }

  destroy(): void {
    this.#user = undefined;
    this.wire.destroy();
  }

  expired(): void {
    this.destroy();
  }

  bytes(chunk: Buffer): void {
    const user = this.#user;
    this.#silent = false;
    try {
      this.#read(chunk);
    } catch (error) {
      const broken = isFault(error, 'bad_framing');
      this.#fail(
        broken ? new Fault('upstream_invalid', { detail: `The upstream sent ${error.message}` }) : new Fault('internal', { cause: error }),
      );
      return;
    }
    user?.upstreamRead();
  }

  #read(chunk: Buffer): void {
    switch (this.#state) {
      case 'head':
        this.#pending = this.#pending === undefined ? chunk : Buffer.concat([this.#pending, chunk]);
        this.#readHead();
        break;
      case 'body':
        this.#readBody(chunk, 0);
        break;
      case 'raw':
        this.#user?.rawFromUpstream(chunk);
        break;
      case 'held':
        this.#pending = this.#pending === undefined ? chunk : Buffer.concat([this.#pending, chunk]);
        this.wire.pause();
        break;
      default:
        // Bytes nobody asked for: whoever used this connection next could take them for its answer.
        this.#persistent = false;
        this.destroy();
    }
  }

  #readHead(): void {
    while (this.#pending !== undefined && this.#state === 'head') {
      const pending = this.#pending;
      const end = findHeadEnd(pending, this.#searched);
      if (end < 0) {
        judgeIncomplete(pending, this.#limits);
        this.#searched = pending.length;
        return;
      }
      this.#searched = 0;
      const head = parseResponseHead(pending, end, this.#limits);
      this.#pending = end === pending.length ? undefined : pending.subarray(end);
      if (head.status < 200 && head.status !== 101) this.#user?.informational(head);
      else this.#readAnswer(head, pending.subarray(0, end));
    }
  }

  #readAnswer(head: ResponseHead, bytes: Buffer): void {
    const framing = responseFraming(head, this.#method);
    const tokens = connectionTokens(head);
    this.#persistent = framing.kind !== 'close' && head.status !== 101 && !tokens.close && (head.minor === 1 || tokens.keepAlive);
    this.#reader = bodyReader(framing, this.#limits);
    const how = this.#user?.answered(head, framing, bytes);
    if (how === 'hold') {
      this.#state = 'held';
      if (this.#pending !== undefined) this.wire.pause();
      return;
    }
    this.#state = how === 'raw' ? 'raw' : 'body';
    if (how !== 'raw' && this.#reader.done) {
      this.#finishBody();
      return;
    }
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending !== undefined) this.#read(pending);
  }

  #readBody(chunk: Buffer, from: number): void {
    const reader = this.#reader as BodyReader;
    if (this.#user === undefined) return;
    const at = reader.push(chunk, from, this);
    if (!reader.done) return;
    if (at < chunk.length) this.#persistent = false;
    this.#finishBody();
  }

  body(slice: Buffer): void {
    this.#user?.answerBody(slice);
  }

  #finishBody(): void {
    if (this.#pending !== undefined) this.#persistent = false;
    this.#pending = undefined;
    this.#state = 'done';
    const trailers = this.#reader?.trailers;
    this.#reader = undefined;
    this.#user?.answerEnded(trailers);
  }

  ended(): void {
    if (this.#state === 'body' && this.#reader?.closed()) {
      const user = this.#user;
      this.#finishBody();
      user?.upstreamRead();
      return;
    }
    if (this.#state === 'raw') {
      this.#user?.upstreamClosedRaw();
      return;
    }
    if (this.#state === 'done') this.#persistent = false;
    else
      this.#fail(
        new Fault(this.#silent ? 'upstream_unreachable' : 'upstream_invalid', {
          detail: 'The upstream closed before its answer was whole',
        }),
      );
  }

  gone(error: Error | undefined): void {
    const state = this.#state;
    if (state === 'raw') this.#user?.upstreamClosedRaw();
    else if (state === 'head' || state === 'body' || state === 'held') {
      const detail = 'The connection to the upstream broke';
      this.#fail(new Fault(this.#silent ? 'upstream_unreachable' : 'upstream_invalid', { detail, cause: error }));
    }
    this.#state = 'gone';
    this.#deadlines.forget(this);
    this.onGone(this);
  }

  drained(): void {
    this.#user?.upstreamDrained();
  }

  #fail(fault: Fault): void {
    const user = this.#user;
    this.#persistent = false;
    this.destroy();
    user?.upstreamFailed(fault, this.#silent);
  }
}
