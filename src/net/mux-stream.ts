import { Duplex } from 'node:stream';
import { creditPayload, type FrameKind, frameKinds, largestPayload } from './mux-frames.ts';

/** What either side may send on a new stream before it hears more. Small, so that many stalled streams stay cheap. */
const firstWindow = 64 * 1024;
/** Enough for a 100 MB/s stream over a line of 40 ms. */
const largestWindow = 4 * 1024 * 1024;

/** What came in many small pieces is put together, so that it costs what it weighs. */
const mostParts = 256;

/** The line below, as one of its streams sees it. */
export interface StreamLine {
  send(kind: FrameKind, stream: number, payload?: Buffer): void;
  /** It has more to write than the peer takes: `resume` is called once that is over. */
  readonly congested: boolean;
  waitForRoom(stream: MuxStream): void;
  /** Asks for a window that much larger. */
  mayGrow(bytes: number): boolean;
  giveBack(bytes: number): void;
  forget(stream: MuxStream): void;
}

type Done = (error?: Error | null) => void;

/** One byte stream on a line: half-closing, and back-pressure by credit in both directions. */
export class MuxStream extends Duplex {
  readonly id: number;
  readonly #line: StreamLine;
  #outgoing: { chunk: Buffer; readonly done: Done } | undefined;
  #credit = firstWindow;
  readonly #incoming: Buffer[] = [];
  #wanted = false;
  #allowed = firstWindow;
  #window = firstWindow;
  #owed = 0;
  #sentEnd = false;
  #heardEnd = false;
  /** The peer has forgotten this stream already. */
  #over = false;

  constructor(line: StreamLine, id: number) {
    super({ allowHalfOpen: true });
    this.#line = line;
    this.id = id;
    // Told by 'close': without a listener an 'error' would end the process.
    this.on('error', () => {});
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#outgoing = { chunk, done };
    this.resumeWriting();
  }

  /** Sends as much as credit and the line allow. */
  resumeWriting(): void {
    while (this.#outgoing !== undefined && this.#credit > 0 && !this.#over && !this.destroyed) {
      if (this.#line.congested) {
        this.#line.waitForRoom(this);
        break;
      }
      const { chunk, done } = this.#outgoing;
      const size = Math.min(chunk.length, this.#credit, largestPayload);
      this.#credit -= size;
      this.#line.send(frameKinds.data, this.id, chunk.subarray(0, size));
      if (size < chunk.length) this.#outgoing = { chunk: chunk.subarray(size), done };
      else {
        this.#outgoing = undefined;
        done();
      }
    }
  }

  override _final(done: Done): void {
    this.#sentEnd = true;
    if (!this.#over) this.#line.send(frameKinds.end, this.id);
    done();
  }

  override _read(): void {
    this.#wanted = true;
    this.#deliver();
  }

  #deliver(): void {
    while (this.#wanted && this.#incoming.length > 0) {
      const part = this.#incoming.shift() as Buffer;
      this.#wanted = this.push(part);
      this.#repay(part.length);
    }
    if (this.#heardEnd && this.#wanted && this.#incoming.length === 0) {
      this.#wanted = false;
      this.push(null);
    }
  }

  /** What was read may be sent again, in halves of the window; a reader that keeps up gets a larger one. */
  #repay(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < this.#window / 2 || this.#heardEnd) return;
    const wished = Math.min(this.#window, largestWindow - this.#window);
    const growth = this.#line.mayGrow(wished) ? wished : 0;
    this.#window += growth;
    this.#allowed += this.#owed + growth;
    this.#line.send(frameKinds.credit, this.id, creditPayload(this.#owed + growth));
    this.#owed = 0;
  }

  /** @returns false when the peer sent what it may not */
  heardData(payload: Buffer): boolean {
    this.#allowed -= payload.length;
    if (this.#allowed < 0 || this.#heardEnd) return false;
    if (payload.length === 0 || this.destroyed) return true;
    this.#incoming.push(payload);
    this.#deliver();
    if (this.#incoming.length >= mostParts) this.#incoming.splice(0, mostParts, Buffer.concat(this.#incoming));
    return true;
  }

  heardEnd(): void {
    this.#heardEnd = true;
    this.#deliver();
  }

  heardCredit(bytes: number): void {
    this.#credit += bytes;
    this.resumeWriting();
  }

  /** The peer reset it, or the line is down. What came whole before that is still read. */
  heardReset(): void {
    this.#over = true;
    if (!this.#heardEnd || this.readableEnded) this.destroy();
    else this.once('end', () => this.destroy());
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#line.giveBack(this.#window - firstWindow);
    this.#incoming.length = 0;
    if (!this.#over && !(this.#sentEnd && this.#heardEnd)) this.#line.send(frameKinds.reset, this.id);
    this.#line.forget(this);
    const outgoing = this.#outgoing;
    this.#outgoing = undefined;
    done(error);
    outgoing?.done(error ?? new Error('the stream is closed'));
  }
}
