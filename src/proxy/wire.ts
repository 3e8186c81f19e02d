import type { Duplex } from 'node:stream';

/** What happens on a wire. `gone` comes once, after everything else. */
export interface WireEvents {
  bytes(chunk: Buffer): void;
  /** The peer will send no more. */
  ended(): void;
  gone(error: Error | undefined): void;
  drained(): void;
}

const mergeBelow = 64 * 1024;

/**
 * One socket: what arrives is pushed to its owner; what is sent is gathered, so that a head and a small body leave in
 * one write (and one TLS record).
 */
export class Wire {
  readonly socket: Duplex;
  /** More is buffered than the socket likes: wait for `drained`. */
  full = false;
  readonly #events: WireEvents;
  #parts: (string | Buffer)[] = [];
  #size = 0;
  #error: Error | undefined;

  constructor(socket: Duplex, events: WireEvents) {
    this.socket = socket;
    this.#events = events;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  readonly #onData = (chunk: Buffer) => this.#events.bytes(chunk);
  readonly #onEnd = () => this.#events.ended();
  readonly #onDrain = () => {
    this.full = false;
    this.#events.drained();
  };
  readonly #onError = (error: Error) => {
    this.#error = error;
  };
  readonly #onClose = () => this.#events.gone(this.#error);

  get alive(): boolean {
    return !this.socket.destroyed && this.socket.writable;
  }

  put(part: string | Buffer): void {
    this.#parts.push(part);
    this.#size += part.length;
  }

  /** Sends what was put. */
  flush(): void {
    const parts = this.#parts;
    if (parts.length === 0) return;
    const size = this.#size;
    this.#parts = [];
    this.#size = 0;
    if (!this.alive) return;
    const accepted = parts.length === 1 ? this.#write(parts[0] as string | Buffer) : this.#writeAll(parts, size);
    if (!accepted) this.full = true;
  }

  #write(part: string | Buffer): boolean {
    return typeof part === 'string' ? this.socket.write(part, 'latin1') : this.socket.write(part);
  }

  #writeAll(parts: readonly (string | Buffer)[], size: number): boolean {
    if (size <= mergeBelow) return this.socket.write(merge(parts, size));
    let accepted = true;
    this.socket.cork();
    for (const part of parts) accepted = this.#write(part);
    this.socket.uncork();
    return accepted;
  }

  /** Sends what was put and ends our side. */
  end(): void {
    this.flush();
    if (this.alive) this.socket.end();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  destroy(): void {
    this.#parts = [];
    this.#size = 0;
    this.socket.destroy();
  }

  /** Lets go of the socket, so that another owner can take it. Errors stay handled. */
  release(): Duplex {
    const { socket } = this;
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('drain', this.#onDrain);
    socket.off('close', this.#onClose);
    socket.pause();
    return socket;
  }
}

function merge(parts: readonly (string | Buffer)[], size: number): Buffer {
  const whole = Buffer.allocUnsafe(size);
  let at = 0;
  for (const part of parts) {
    if (typeof part === 'string') at += whole.write(part, at, 'latin1');
    else at += part.copy(whole, at);
  }
  return whole;
}
