import type { Duplex } from 'node:stream';
import { Fault, isFault, newId, type RequestId } from '#kernel';
import type { Timed } from './deadlines.ts';
import { type BodyReader, type BodySink, bodyReader, type Framing } from './framing.ts';
import { type Fields, findHeadEnd, judgeIncomplete, parseRequestHead, type RequestHead } from './head.ts';
import type { Plane } from './plane.ts';
import { type Refusal, refusalOf, renderRefusal } from './refusal.ts';
import { Wire, type WireEvents } from './wire.ts';

/** Who takes the body of the request under way and writes its answer. */
export interface ClientUser {
  requestBody(slice: Buffer): void;
  requestEnded(trailers: Fields | undefined): void;
  /** Everything that had arrived was handed over. */
  requestRead(): void;
  /** The request's body is not framed; the connection cannot go on. */
  requestBroken(fault: Fault): void;
  rawFromClient(chunk: Buffer): void;
  /** The client will send no more on a connection that is no longer HTTP. */
  clientEndedRaw(): void;
  clientDrained(): void;
  clientGone(): void;
}

/** Serves one request; `bytes` is the head as it came. */
export type Serve = (client: ClientConnection, head: RequestHead, bytes: Buffer) => void;

type State = 'head' | 'busy' | 'body' | 'drain' | 'raw' | 'linger' | 'released' | 'gone';

/** One connection from a program: one request after the other, read strictly. */
export class ClientConnection implements WireEvents, Timed, BodySink {
  readonly wire: Wire;
  readonly plane: Plane;
  readonly remote: string;
  /** Inside a tunnel a missing credential is no longer the program's to give. */
  readonly tunnelled: boolean;
  deadline: number;
  /** Told when the connection is over. */
  onGone: () => void = () => {};
  #state: State = 'head';
  #pending: Buffer | undefined;
  #searched = 0;
  #reader: BodyReader | undefined;
  #drained = 0;
  #user: ClientUser | undefined;
  #request: RequestHead | undefined;
  readonly #serve: Serve;

  constructor(plane: Plane, socket: Duplex, remote: string, serve: Serve, tunnelled: boolean) {
    this.plane = plane;
    this.remote = remote;
    this.tunnelled = tunnelled;
    this.#serve = serve;
    this.deadline = plane.clock.monotonic() + (tunnelled ? plane.limits.handshakeTimeout : plane.limits.clientIdle);
    this.wire = new Wire(socket, this);
    plane.clients.add(this);
    plane.deadlines.watch(this);
  }

  /** Nothing is under way. */
  get idle(): boolean {
    return this.#state === 'head' && this.#pending === undefined;
  }

  get over(): boolean {
    return this.#state === 'gone' || this.#state === 'linger' || this.#state === 'released' || !this.wire.alive;
  }

  bytes(chunk: Buffer): void {
    switch (this.#state) {
      case 'head':
        this.#append(chunk);
        this.#readHead();
        break;
      case 'busy':
        this.#append(chunk);
        if ((this.#pending?.length ?? 0) > this.plane.limits.readAhead) this.wire.pause();
        break;
      case 'body':
        this.#feed(chunk);
        break;
      case 'drain':
        this.#drain(chunk);
        break;
      case 'raw':
        this.#user?.rawFromClient(chunk);
        break;
      default:
    }
  }

  #append(chunk: Buffer): void {
    this.#pending = this.#pending === undefined ? chunk : Buffer.concat([this.#pending, chunk]);
  }

  #readHead(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    try {
      const end = findHeadEnd(pending, this.#searched);
      if (end < 0) {
        this.#waitForHead(pending);
        return;
      }
      this.#searched = 0;
      this.#request = parseRequestHead(pending, end, this.plane.limits);
      this.#pending = end === pending.length ? undefined : pending.subarray(end);
      this.#state = 'busy';
      this.deadline = Number.POSITIVE_INFINITY;
      this.#serve(this, this.#request, pending.subarray(0, end));
    } catch (error) {
      this.refuse(refusalOf(error), { close: true });
    }
  }

  #waitForHead(pending: Buffer): void {
    judgeIncomplete(pending, this.plane.limits);
    if (this.#searched === 0) this.deadline = this.plane.clock.monotonic() + this.plane.limits.headTimeout;
    this.#searched = pending.length;
  }

  /** Hands the connection's events to a user until `finish`. */
  engage(user: ClientUser): void {
    this.#user = user;
  }

  /** Begins to hand the body to the user, what has arrived of it at once. */
  startBody(framing: Framing): void {
    this.#reader = bodyReader(framing, this.plane.limits);
    if (this.#reader.done) {
      this.#user?.requestEnded(undefined);
      return;
    }
    this.#state = 'body';
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending !== undefined) this.#feed(pending);
    this.wire.resume();
  }

  #feed(chunk: Buffer): void {
    const reader = this.#reader as BodyReader;
    const user = this.#user;
    if (user === undefined) return;
    try {
      this.#after(reader, chunk, reader.push(chunk, 0, this), user);
    } catch (error) {
      user.requestBroken(isFault(error) ? error : new Fault('internal', { cause: error }));
      return;
    }
    user.requestRead();
  }

  #after(reader: BodyReader, chunk: Buffer, at: number, user: ClientUser): void {
    if (!reader.done || this.#state !== 'body') return;
    this.#state = 'busy';
    if (at < chunk.length) this.#pending = chunk.subarray(at);
    user.requestEnded(reader.trailers);
  }

  body(slice: Buffer): void {
    this.#user?.requestBody(slice);
  }

  #drain(chunk: Buffer): void {
    const reader = this.#reader as BodyReader;
    this.#drained += chunk.length;
    try {
      const at = reader.push(chunk, 0, this);
      if (reader.done) {
        if (at < chunk.length) this.#pending = chunk.subarray(at);
        this.#next();
      } else if (this.#drained > this.plane.limits.drainBytes) this.linger();
    } catch {
      this.linger();
    }
  }

  /** The answer is written. Goes on with the next request, or ends when `close`. */
  finish(close: boolean): void {
    this.#user = undefined;
    this.wire.flush();
    if (this.over) return;
    if (close || this.plane.draining) this.linger();
    else if (this.#state === 'body') {
      this.#state = 'drain';
      this.#drained = 0;
      this.deadline = this.plane.clock.monotonic() + this.plane.limits.drainTimeout;
      this.wire.resume();
    } else this.#next();
  }

  #next(): void {
    this.#state = 'head';
    this.#reader = undefined;
    this.deadline = this.plane.clock.monotonic() + this.plane.limits.clientIdle;
    if (this.#pending === undefined) return;
    queueMicrotask(() => {
      if (this.#state === 'head') this.#readHead();
    });
    this.wire.resume();
  }

  /** Ends our side and waits a little for the client to have read it all: closing at once could take the answer back. */
  linger(): void {
    if (this.over) return;
    this.#state = 'linger';
    this.#pending = undefined;
    this.deadline = this.plane.clock.monotonic() + this.plane.limits.drainTimeout;
    this.wire.end();
    this.wire.resume();
  }

  /** Answers the request under way with a problem document. Closes when told to, or when a body is still to come. */
  refuse(refusal: Refusal, how: { readonly close?: boolean; readonly request?: RequestId } = {}): void {
    if (this.over) return;
    // Inside a tunnel 407 would ask the program for a credential that only the CONNECT carries.
    const told = this.tunnelled && refusal.status === 407 ? { ...refusal, status: 403 } : refusal;
    const close = how.close === true || this.plane.draining || this.#bodyToCome() || this.#lastRequest();
    const request = how.request ?? newId('req', this.plane.clock.now());
    this.wire.put(renderRefusal(told, request, { close, body: this.#request?.method !== 'HEAD' }));
    this.#user = undefined;
    this.#request = undefined;
    if (close) this.linger();
    else this.finish(false);
  }

  /** The client said that this request is its last. */
  #lastRequest(): boolean {
    const request = this.#request;
    if (request === undefined) return false;
    return request.minor === 0 || request.pairs.some(([, value], i) => request.names[i] === 'connection' && /\bclose\b/i.test(value));
  }

  #bodyToCome(): boolean {
    if (this.#reader !== undefined) return !this.#reader.done;
    const names = this.#request?.names ?? [];
    return names.includes('transfer-encoding') || (names.includes('content-length') && !this.#lengthIsZero());
  }

  #lengthIsZero(): boolean {
    return this.#request?.pairs.some(([, value], i) => this.#request?.names[i] === 'content-length' && value === '0') ?? false;
  }

  /** From here on the connection carries something else; what was read ahead is handed over first. */
  startRaw(): void {
    this.#state = 'raw';
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending !== undefined) this.#user?.rawFromClient(pending);
    this.wire.resume();
  }

  /** Gives the socket away, with what was read ahead put back. */
  release(): Duplex {
    this.#state = 'released';
    this.#leave();
    const socket = this.wire.release();
    if (this.#pending !== undefined) socket.unshift(this.#pending);
    this.#pending = undefined;
    return socket;
  }

  /** Cuts the connection at once. */
  abort(): void {
    this.#user = undefined;
    this.wire.destroy();
  }

  expired(): void {
    if (this.#state === 'head' && this.#pending !== undefined) {
      this.refuse(refusalOf(new Fault('bad_framing', { detail: 'the head did not arrive in time' })), { close: true });
    } else if (this.#state === 'head' && !(this.tunnelled && this.#request === undefined)) this.linger();
    else this.abort();
  }

  ended(): void {
    if (this.#state === 'raw') {
      this.#user?.clientEndedRaw();
      return;
    }
    const user = this.#user;
    this.#user = undefined;
    // A program that closes while its request is under way has given up; half-closed requests are not a thing of HTTP clients.
    user?.clientGone();
    if (this.#state === 'head') this.linger();
    else this.wire.destroy();
  }

  drained(): void {
    this.#user?.clientDrained();
  }

  gone(_: Error | undefined): void {
    const user = this.#user;
    this.#user = undefined;
    this.#state = 'gone';
    this.#pending = undefined;
    this.#leave();
    user?.clientGone();
    this.onGone();
  }

  #leave(): void {
    this.plane.clients.delete(this);
    this.plane.deadlines.forget(this);
  }
}
