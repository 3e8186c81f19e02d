import { Fault } from '#kernel';
import {
  type Fields,
  findHeadEnd,
  type HeadLimits,
  judgeIncomplete,
  parseTrailerFields,
  type RequestHead,
  type ResponseHead,
  tokenTable,
} from './head.ts';

/** How the end of a body is known (RFC 9112 §6.3). */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' };

/** Where the bytes of a body go, without their framing. Slices are handed over, not copied. */
export interface BodySink {
  body(slice: Buffer): void;
}

/** Reads one body out of what arrives. */
export interface BodyReader {
  readonly done: boolean;
  /** Trailer fields of a chunked body, once done. */
  readonly trailers: Fields | undefined;
  /** Reads from `bytes[from]` on and returns where it stopped: the end, or the first byte after the body. @throws {Fault} `bad_framing` */
  push(bytes: Buffer, from: number, sink: BodySink): number;
  /** The peer closed: true if the body is whole. */
  closed(): boolean;
}

const none: Framing = Object.freeze({ kind: 'none' });
const chunked: Framing = Object.freeze({ kind: 'chunked' });
const close: Framing = Object.freeze({ kind: 'close' });

function refuse(detail: string): never {
  throw new Fault('bad_framing', { detail });
}

interface Declared {
  readonly length: number | undefined;
  readonly chunked: boolean;
}

/** What a head says about its body: at most one length, or exactly the coding `chunked`, never both. */
function declared(head: Fields, minor: 0 | 1): Declared {
  let length: number | undefined;
  let coded = false;
  const { names, pairs } = head;
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    if (name === 'content-length') {
      if (length !== undefined) refuse('more than one Content-Length');
      length = parseLength((pairs[i] as readonly [string, string])[1]);
    } else if (name === 'transfer-encoding') {
      if (coded) refuse('more than one Transfer-Encoding');
      if ((pairs[i] as readonly [string, string])[1].toLowerCase() !== 'chunked') refuse('a transfer coding other than chunked');
      coded = true;
    } else if (name === 'content_length' || name === 'transfer_encoding') {
      // Gateways that give an underscore and a hyphen the same name would find another end (RFC 3875 §4.1.18).
      refuse('a field of the framing is spelled with an underscore');
    }
  }
  if (coded && length !== undefined) refuse('both Transfer-Encoding and Content-Length');
  if (coded && minor === 0) refuse('Transfer-Encoding in HTTP/1.0');
  return { length, chunked: coded };
}

function parseLength(value: string): number {
  if (!/^[0-9]{1,15}$/.test(value)) refuse('Content-Length is not a number');
  return Number(value);
}

/** @throws {Fault} `bad_framing` */
export function requestFraming(head: RequestHead): Framing {
  const { length, chunked: coded } = declared(head, head.minor);
  if (head.method === 'CONNECT') {
    if (coded || (length !== undefined && length > 0)) refuse('a CONNECT request with a body');
    return none;
  }
  if (coded) return chunked;
  return length === undefined || length === 0 ? none : { kind: 'length', length };
}

/** `method` is the request's. @throws {Fault} `bad_framing` */
export function responseFraming(head: ResponseHead, method: string): Framing {
  const { length, chunked: coded } = declared(head, head.minor);
  if (method === 'HEAD' || head.status === 304 || head.status === 204 || head.status < 200) return none;
  if (coded) return chunked;
  if (length === undefined) return close;
  return length === 0 ? none : { kind: 'length', length };
}

export function bodyReader(framing: Framing, limits: HeadLimits): BodyReader {
  switch (framing.kind) {
    case 'none':
      return emptyReader;
    case 'length':
      return new LengthReader(framing.length);
    case 'chunked':
      return new ChunkedReader(limits);
    case 'close':
      return new CloseReader();
  }
}

const emptyReader: BodyReader = Object.freeze({
  done: true,
  trailers: undefined,
  push: (_: Buffer, from: number) => from,
  closed: () => true,
});

class LengthReader implements BodyReader {
  readonly trailers = undefined;
  #left: number;

  constructor(length: number) {
    this.#left = length;
  }

  get done(): boolean {
    return this.#left === 0;
  }

  push(bytes: Buffer, from: number, sink: BodySink): number {
    const until = Math.min(bytes.length, from + this.#left);
    if (until > from) {
      this.#left -= until - from;
      sink.body(from === 0 && until === bytes.length ? bytes : bytes.subarray(from, until));
    }
    return until;
  }

  closed(): boolean {
    return this.done;
  }
}

class CloseReader implements BodyReader {
  readonly trailers = undefined;
  done = false;

  push(bytes: Buffer, from: number, sink: BodySink): number {
    if (bytes.length > from) sink.body(from === 0 ? bytes : bytes.subarray(from));
    return bytes.length;
  }

  closed(): boolean {
    this.done = true;
    return true;
  }
}

const cr = 13;
const lf = 10;
const semicolon = 59;
const equals = 61;
const maxSizeDigits = 12;
const maxExtension = 1024;
const noFields: Fields = Object.freeze({ pairs: [], names: [] });

/** Where in `;name=value` a chunk extension is (RFC 9112 §7.1.1); quoted values are not taken. */
type ExtensionPart = 'name_due' | 'name' | 'value_due' | 'value';

type ChunkState = 'size' | 'extension' | 'size_lf' | 'data' | 'data_cr' | 'data_lf' | 'trailers' | 'done';

/**
 * RFC 9112 §7.1. A size is hexadecimal digits and nothing else; extensions are `name` or `name=token` and are not passed on; every
 * line ends with CR LF.
 */
class ChunkedReader implements BodyReader {
  trailers: Fields | undefined;
  #state: ChunkState = 'size';
  #size = 0;
  #digits = 0;
  #extension = 0;
  #part: ExtensionPart = 'name_due';
  #rest: Buffer | undefined;
  readonly #limits: HeadLimits;

  constructor(limits: HeadLimits) {
    this.#limits = limits;
  }

  get done(): boolean {
    return this.#state === 'done';
  }

  closed(): boolean {
    return this.done;
  }

  push(bytes: Buffer, from: number, sink: BodySink): number {
    let at = from;
    while (at < bytes.length && this.#state !== 'done') {
      if (this.#state === 'data') at = this.#data(bytes, at, sink);
      else if (this.#state === 'trailers') at = this.#trailers(bytes, at);
      else this.#line(bytes[at++] as number);
    }
    return at;
  }

  #data(bytes: Buffer, from: number, sink: BodySink): number {
    const until = Math.min(bytes.length, from + this.#size);
    this.#size -= until - from;
    if (this.#size === 0) this.#state = 'data_cr';
    sink.body(bytes.subarray(from, until));
    return until;
  }

  #line(code: number): void {
    switch (this.#state) {
      case 'size':
        this.#sizeDigit(code);
        return;
      case 'extension':
        this.#extensionCharacter(code);
        return;
      case 'size_lf':
        if (code !== lf) refuse('a chunk size without its line end');
        this.#state = this.#size === 0 ? 'trailers' : 'data';
        this.#digits = 0;
        return;
      case 'data_cr':
        if (code !== cr) refuse('more bytes than the chunk size says');
        this.#state = 'data_lf';
        return;
      default:
        if (code !== lf) refuse('a chunk without its line end');
        this.#state = 'size';
        this.#size = 0;
    }
  }

  #sizeDigit(code: number): void {
    const value = hexadecimal(code);
    if (value >= 0) {
      if (++this.#digits > maxSizeDigits) refuse('a chunk size is too large');
      this.#size = this.#size * 16 + value;
      return;
    }
    if (this.#digits === 0) refuse('a chunk size is not hexadecimal');
    if (code === cr) this.#state = 'size_lf';
    else if (code === semicolon) {
      this.#state = 'extension';
      this.#part = 'name_due';
    } else refuse('a chunk size is not hexadecimal');
  }

  #extensionCharacter(code: number): void {
    if (++this.#extension > maxExtension) refuse('chunk extensions are too large');
    if (tokenTable[code] !== 0) {
      if (this.#part === 'name_due') this.#part = 'name';
      else if (this.#part === 'value_due') this.#part = 'value';
      return;
    }
    if (this.#part === 'name_due' || this.#part === 'value_due') refuse('a chunk extension is not valid');
    if (code === cr) this.#state = 'size_lf';
    else if (code === semicolon) this.#part = 'name_due';
    else if (code === equals && this.#part === 'name') this.#part = 'value_due';
    else refuse('a chunk extension is not valid');
  }

  #trailers(bytes: Buffer, from: number): number {
    const known = this.#rest?.length ?? 0;
    const rest = this.#rest === undefined ? bytes.subarray(from) : Buffer.concat([this.#rest, bytes.subarray(from)]);
    if (rest[0] === cr) {
      if (rest.length < 2) return this.#wait(rest, bytes);
      if (rest[1] !== lf) refuse('the last chunk without its line end');
      return this.#finish(noFields, from + 2 - known);
    }
    const end = findHeadEnd(rest);
    if (end < 0) {
      judgeIncomplete(rest, this.#limits);
      return this.#wait(rest, bytes);
    }
    return this.#finish(parseTrailerFields(rest, 0, end - 2, this.#limits), from + end - known);
  }

  #wait(rest: Buffer, bytes: Buffer): number {
    this.#rest = rest;
    return bytes.length;
  }

  #finish(trailers: Fields, at: number): number {
    this.trailers = trailers;
    this.#rest = undefined;
    this.#state = 'done';
    return at;
  }
}

function hexadecimal(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

const lineEnd = Buffer.from('\r\n');
/** The end of a chunked body without trailers. */
const lastChunk = Buffer.from('0\r\n\r\n');

/** One chunk as parts to be written one after the other. `slice` is not empty. */
export function chunkParts(slice: Buffer): readonly [Buffer, Buffer, Buffer] {
  return [Buffer.from(`${slice.length.toString(16)}\r\n`, 'latin1'), slice, lineEnd];
}

/** The end of a chunked body with trailers. */
export function lastChunkWith(trailers: Fields): Buffer {
  if (trailers.pairs.length === 0) return lastChunk;
  let text = '0\r\n';
  for (const [name, value] of trailers.pairs) text += `${name}: ${value}\r\n`;
  return Buffer.from(`${text}\r\n`, 'latin1');
}
