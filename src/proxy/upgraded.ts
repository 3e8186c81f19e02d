import { connectionTokens, endsHere } from './fields.ts';
import { Frames } from './frames.ts';
import type { ResponseHead } from './head.ts';
import type { Ledger } from './ledger.ts';
import { maskText, Scrubber, type Sieve } from './scrub.ts';
import type { Wire } from './wire.ts';

/**
 * A WebSocket after 101. What the client sends passes as it is; what the upstream sends is scrubbed with equal length,
 * so frames stay frames. Compression was not offered where something must be scrubbed; a secret split over two frames
 * is not seen.
 */
export class Upgraded {
  readonly #client: Wire;
  readonly #upstream: Wire;
  readonly #ledger: Ledger;
  readonly #sieve: Sieve | undefined;
  readonly #scrubber: Scrubber | undefined;
  readonly #frames = new Frames();
  readonly #ended = { client: false, upstream: false };

  constructor(client: Wire, upstream: Wire, sieve: Sieve | undefined, ledger: Ledger) {
    this.#client = client;
    this.#upstream = upstream;
    this.#sieve = sieve;
    this.#scrubber = sieve === undefined ? undefined : new Scrubber(sieve);
    this.#ledger = ledger;
  }

  get masked(): number {
    return this.#scrubber?.masked ?? 0;
  }

  start(head: ResponseHead): void {
    const tokens = connectionTokens(head);
    let text = `HTTP/1.1 101 ${maskText(head.reason, this.#sieve)}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`;
    head.pairs.forEach(([name, value], i) => {
      if (!endsHere(head.names[i] as string, tokens)) text += `${maskText(name, this.#sieve)}: ${maskText(value, this.#sieve)}\r\n`;
    });
    this.#client.put(`${text}\r\n`);
    this.#client.flush();
  }

  fromClient(chunk: Buffer): void {
    this.#ledger.sent += chunk.length;
    this.#upstream.put(chunk);
    this.#upstream.flush();
    if (this.#upstream.full) this.#client.pause();
  }

  fromUpstream(chunk: Buffer): void {
    this.#ledger.received += chunk.length;
    this.#client.put(this.#scrubbed(chunk));
    this.#client.flush();
    if (this.#client.full) this.#upstream.pause();
  }

  /** A message is never kept waiting: at the end of a frame everything goes. */
  #scrubbed(chunk: Buffer): Buffer {
    if (this.#scrubber === undefined) return chunk;
    const whole = this.#frames.push(chunk);
    const clean = this.#scrubber.push(chunk);
    const held = whole ? this.#scrubber.flush() : undefined;
    return held === undefined ? clean : Buffer.concat([clean, held]);
  }

  /** One side sends no more; true when the other had already ended. */
  ended(side: 'client' | 'upstream'): boolean {
    this.#ended[side] = true;
    return this.#ended.client && this.#ended.upstream;
  }
}
