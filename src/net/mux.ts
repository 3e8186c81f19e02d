import type { Duplex } from 'node:stream';
import { Fault } from '#kernel';
import { type Frame, type FrameKind, frameHead, frameKinds, frameReader } from './mux-frames.ts';
import { MuxStream, type StreamLine } from './mux-stream.ts';

/** One end of a line that carries many byte streams, each with its own back-pressure. */
export interface MuxClient {
  /** Opens one stream. Half-closing works in both directions. @throws {Fault} `server_unreachable` once the line is down */
  open(): Promise<Duplex>;
  /** Resolves when the line is down, whoever ended it. */
  readonly ended: Promise<void>;
  close(): void;
}

export interface MuxOptions {
  /** Milliseconds between signs of life; a line on which nothing came between two is cut. */
  readonly heartbeat?: number;
}

const mostStreams = 4_096;
/** By how much the windows of one line may grow in all: what a peer can make us hold besides the first windows. */
const mostGrowth = 64 * 1024 * 1024;
/** A peer that asks for answers and does not take them is cut. */
const mostUnsent = 32 * 1024 * 1024;

/**
 * Multiplexes byte streams over one duplex: the opening side. The frames are our own, because Node's HTTP/2 over anything
 * but a socket fails an assertion of its own, and ends the process, when the duplex breaks under it.
 *
 * @example const line = muxClient(createWebSocketStream(socket)); const stream = await line.open();
 */
export function muxClient(duplex: Duplex, { heartbeat = 20_000 }: MuxOptions = {}): MuxClient {
  const line = new Line(duplex, heartbeat, undefined);
  return Object.freeze({ open: () => line.open(), ended: line.ended, close: () => line.cut() });
}

/** The accepting side: `onStream` is called with every stream the other side opens. Returns how to cut the line. */
export function muxServer(duplex: Duplex, onStream: (stream: Duplex) => void, { heartbeat = 20_000 }: MuxOptions = {}): { close(): void } {
  const line = new Line(duplex, heartbeat, onStream);
  return Object.freeze({ close: () => line.cut() });
}

interface Opening {
  readonly accepted: (stream: Duplex) => void;
  readonly failed: (fault: Fault) => void;
}

class Line implements StreamLine {
  readonly ended: Promise<void>;
  readonly #duplex: Duplex;
  /** Set on the accepting side only. */
  readonly #onStream: ((stream: Duplex) => void) | undefined;
  readonly #streams = new Map<number, MuxStream>();
  readonly #opening = new Map<number, Opening>();
  readonly #stuck = new Set<MuxStream>();
  readonly #timer: NodeJS.Timeout;
  #last = 0;
  #grown = 0;
  #quiet = false;
  #down = false;

  constructor(duplex: Duplex, heartbeat: number, onStream: ((stream: Duplex) => void) | undefined) {
    this.#duplex = duplex;
    this.#onStream = onStream;
    this.ended = new Promise((resolve) => duplex.once('close', resolve));
    const reader = frameReader();
    duplex.on('data', (part: Buffer) => this.#hear(reader.push(part)));
    duplex.on('drain', () => this.#makeRoom());
    duplex.on('error', () => duplex.destroy());
    duplex.once('end', () => this.cut());
    duplex.once('close', () => this.cut());
    this.#timer = setInterval(() => this.#beat(), heartbeat);
    this.#timer.unref();
    if (duplex.destroyed) queueMicrotask(() => this.cut());
  }

  open(): Promise<Duplex> {
    if (this.#down || this.#duplex.destroyed || this.#streams.size >= mostStreams)
      return Promise.reject(new Fault(this.#down || this.#duplex.destroyed ? 'server_unreachable' : 'busy'));
    const stream = this.#add(++this.#last);
    return new Promise((accepted, failed) => {
      this.#opening.set(stream.id, { accepted, failed });
      this.send(frameKinds.open, stream.id);
    });
  }

  cut(): void {
    if (this.#down) return;
    this.#down = true;
    clearInterval(this.#timer);
    for (const { failed } of this.#opening.values()) failed(new Fault('server_unreachable'));
    this.#opening.clear();
    for (const stream of [...this.#streams.values()]) stream.heardReset();
    this.#duplex.destroy();
  }

  send(kind: FrameKind, stream: number, payload?: Buffer): void {
    if (this.#down || !this.#duplex.writable) return;
    const head = frameHead(kind, stream, payload?.length ?? 0);
    this.#duplex.write(payload === undefined ? head : Buffer.concat([head, payload]));
    if (this.#duplex.writableLength > mostUnsent) this.cut();
  }

  get congested(): boolean {
    return this.#duplex.writableNeedDrain;
  }

  waitForRoom(stream: MuxStream): void {
    this.#stuck.add(stream);
  }

  mayGrow(bytes: number): boolean {
    if (this.#grown + bytes > mostGrowth) return false;
    this.#grown += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#grown -= bytes;
  }

  forget(stream: MuxStream): void {
    this.#streams.delete(stream.id);
    this.#stuck.delete(stream);
    const opening = this.#opening.get(stream.id);
    this.#opening.delete(stream.id);
    opening?.failed(new Fault('server_unreachable'));
  }

  #add(id: number): MuxStream {
    const stream = new MuxStream(this, id);
    this.#streams.set(id, stream);
    return stream;
  }

  /** Each in its turn: who gets stuck again waits behind the others. */
  #makeRoom(): void {
    for (const stream of [...this.#stuck]) {
      if (this.congested) break;
      this.#stuck.delete(stream);
      stream.resumeWriting();
    }
  }

  /** Balancers drop silent lines, and a line whose other end vanished tells nobody. */
  #beat(): void {
    if (this.#quiet) this.cut();
    this.#quiet = true;
    this.send(frameKinds.ping, 0);
  }

  #hear(frames: readonly Frame[] | undefined): void {
    this.#quiet = false;
    const kept = frames?.every((frame) => this.#down || this.#take(frame)) === true;
    if (!kept) this.cut();
  }

  /** @returns false when the peer does not keep to the protocol */
  #take({ kind, stream: id, payload }: Frame): boolean {
    if (kind === frameKinds.ping) this.send(frameKinds.pong, 0);
    if (kind === frameKinds.ping || kind === frameKinds.pong) return true;
    if (kind === frameKinds.open) return this.#accept(id);
    if (id === 0 || id > this.#last) return false;
    const stream = this.#streams.get(id);
    // Without one it was said before the peer heard that the stream ended.
    return stream === undefined || this.#tell(stream, kind, payload);
  }

  #tell(stream: MuxStream, kind: FrameKind, payload: Buffer): boolean {
    if (kind === frameKinds.data) return stream.heardData(payload);
    if (kind === frameKinds.credit && payload.length !== 4) return false;
    if (kind === frameKinds.credit) stream.heardCredit(payload.readUInt32BE(0));
    else if (kind === frameKinds.end) stream.heardEnd();
    else if (kind === frameKinds.reset) stream.heardReset();
    else this.#accepted(stream);
    return true;
  }

  #accept(id: number): boolean {
    if (this.#onStream === undefined || id !== this.#last + 1) return false;
    this.#last = id;
    if (this.#streams.size >= mostStreams) {
      this.send(frameKinds.reset, id);
      return true;
    }
    this.send(frameKinds.accept, id);
    this.#onStream(this.#add(id));
    return true;
  }

  #accepted(stream: MuxStream): void {
    const opening = this.#opening.get(stream.id);
    this.#opening.delete(stream.id);
    opening?.accepted(stream);
  }
}
