import type { Transform } from 'node:stream';
import { Fault } from '#kernel';
import { type Coding, codingOf, decoderFor } from './decode.ts';
import { connectionTokens, endsHere, passingTrailers } from './fields.ts';
import { chunkParts, type Framing, lastChunkWith } from './framing.ts';
import type { Fields, ResponseHead } from './head.ts';
import { holdsAny, maskFields, maskText, Scrubber, type Sieve } from './scrub.ts';
import { fieldValues } from './target.ts';
import { TokenMask } from './token-mask.ts';
import type { Wire } from './wire.ts';

/** Who waits for an answer that must be decoded. */
export interface AnswerUser {
  /** Bytes were put on the wire later than they were pushed. */
  answerFlowed(): void;
  answerWhole(): void;
  answerBroken(fault: Fault): void;
}

/** How the client reads this answer. */
export interface AnswerFor {
  readonly method: string;
  readonly minor: 0 | 1;
  /** The connection ends after it. */
  readonly close: boolean;
  /** Its tokens are hidden. */
  readonly tokens: boolean;
}

/** One answer on its way to the client: its head filtered, its body scrubbed and framed anew. */
export class Answer {
  /** The client's connection must end after it. */
  readonly close: boolean;
  readonly #wire: Wire;
  readonly #user: AnswerUser;
  readonly #scrubber: Scrubber | undefined;
  readonly #tokens: TokenMask | undefined;
  readonly #sieve: Sieve | undefined;
  readonly #framing: 'none' | 'as_is' | 'chunked' | 'close';
  readonly #coding: Coding;
  #decoder: Transform | undefined;
  #masked = 0;

  /** Puts the head on the wire. @throws {Fault} `encoding_refused` when what must be scrubbed cannot be read */
  constructor(wire: Wire, user: AnswerUser, head: ResponseHead, framing: Framing, bytes: Buffer, sieve: Sieve | undefined, how: AnswerFor) {
    this.#wire = wire;
    this.#user = user;
    this.#sieve = sieve;
    const bare = framing.kind === 'none';
    const coding = sieve === undefined || bare ? 'identity' : codingOf(fieldValues(head, 'content-encoding'));
    if (coding === undefined) throw new Fault('encoding_refused');
    this.#coding = coding;
    this.#scrubber = sieve === undefined || bare ? undefined : new Scrubber(sieve);
    this.#tokens = how.tokens && !bare ? new TokenMask() : undefined;
    this.#framing = bare ? 'none' : framing.kind === 'length' && coding === 'identity' ? 'as_is' : how.minor === 1 ? 'chunked' : 'close';
    this.close = how.close || this.#framing === 'close';
    wire.put(this.#renderHead(head, bytes));
  }

  /** Secrets masked, in the head and in the body. */
  get masked(): number {
    return this.#masked + (this.#scrubber?.masked ?? 0) + (this.#tokens?.masked ?? 0);
  }

  #renderHead(head: ResponseHead, bytes: Buffer): string {
    const tokens = connectionTokens(head);
    const decoded = this.#coding !== 'identity';
    const sieve = this.#sieve !== undefined && holdsAny(bytes, this.#sieve) ? this.#sieve : undefined;
    const masked = (text: string) => {
      const clean = maskText(text, sieve);
      if (clean !== text) this.#masked++;
      return clean;
    };
    let text = `HTTP/1.1 ${head.status} ${masked(head.reason)}\r\n`;
    const { names, pairs } = head;
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string;
      if (endsHere(name, tokens)) continue;
      if (decoded && (name === 'content-encoding' || name === 'content-length')) continue;
      if (name === 'content-length' && head.status === 204) continue;
      const pair = pairs[i] as readonly [string, string];
      text += sieve === undefined ? `${pair[0]}: ${pair[1]}\r\n` : `${masked(pair[0])}: ${masked(pair[1])}\r\n`;
    }
    if (this.#framing === 'chunked') text += 'Transfer-Encoding: chunked\r\n';
    return this.close ? `${text}Connection: close\r\n\r\n` : `${text}\r\n`;
  }

  /** Hands over a slice of the body as it came. False: decoding is behind, wait for `answerFlowed`. */
  push(slice: Buffer): boolean {
    if (this.#coding === 'identity') {
      this.#put(slice);
      return true;
    }
    if (this.#decoder === undefined && slice.length > 0) this.#decoder = this.#startDecoder(this.#coding, slice[0] as number);
    return this.#decoder?.write(slice) ?? true;
  }

  #startDecoder(coding: Exclude<Coding, 'identity'>, first: number): Transform {
    const decoder = decoderFor(coding, first);
    decoder.on('data', (part: Buffer) => {
      this.#put(part);
      this.#wire.flush();
      if (this.#wire.full) decoder.pause();
    });
    decoder.on('drain', () => this.#user.answerFlowed());
    decoder.on('error', (cause) =>
      this.#user.answerBroken(new Fault('upstream_invalid', { detail: 'The upstream sent content that does not decode', cause })),
    );
    return decoder;
  }

  #put(part: Buffer): void {
    this.#tokens?.push(part);
    const clean = this.#scrubber === undefined ? part : this.#scrubber.push(part);
    if (clean.length > 0) this.#frame(clean);
  }

  #frame(part: Buffer): void {
    if (this.#framing !== 'chunked') {
      this.#wire.put(part);
      return;
    }
    const [size, data, end] = chunkParts(part);
    this.#wire.put(size);
    this.#wire.put(data);
    this.#wire.put(end);
  }

  /** The client takes more. */
  resume(): void {
    this.#decoder?.resume();
  }

  /** The body is whole. `answerWhole` follows, now or when it is decoded. */
  end(trailers: Fields | undefined): void {
    if (this.#decoder === undefined) {
      this.#finish(trailers);
      return;
    }
    this.#decoder.once('end', () => this.#finish(trailers));
    this.#decoder.end();
  }

  #finish(trailers: Fields | undefined): void {
    const held = this.#scrubber?.flush();
    if (held !== undefined) this.#frame(held);
    if (this.#framing === 'chunked') this.#wire.put(lastChunkWith(this.#cleanTrailers(trailers)));
    this.#user.answerWhole();
  }

  #cleanTrailers(trailers: Fields | undefined): Fields {
    if (trailers === undefined || trailers.pairs.length === 0) return { pairs: [], names: [] };
    const passing = passingTrailers(trailers);
    const clean = maskFields(passing, this.#sieve);
    this.#masked += clean.pairs.filter(([name, value], i) => name !== passing.pairs[i]?.[0] || value !== passing.pairs[i]?.[1]).length;
    return clean;
  }

  destroy(): void {
    this.#decoder?.destroy();
  }
}
