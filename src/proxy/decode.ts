import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw, createZstdDecompress } from 'node:zlib';

/** How the content of an answer must be read before it can be scrubbed. */
export type Coding = 'identity' | 'gzip' | 'deflate' | 'br' | 'zstd';

/** The one coding of `Content-Encoding`; undefined when it is another, or several. */
export function codingOf(value: string | undefined): Coding | undefined {
  switch (value?.trim().toLowerCase()) {
    case undefined:
    case '':
    case 'identity':
      return 'identity';
    case 'gzip':
    case 'x-gzip':
      return 'gzip';
    case 'deflate':
      return 'deflate';
    case 'br':
      return 'br';
    case 'zstd':
      return 'zstd';
    default:
      return undefined;
  }
}

/** A stream that undoes `coding`. `first` is the first byte: `deflate` comes with and without its wrapper (RFC 9110 §8.4.1.2). */
export function decoderFor(coding: Exclude<Coding, 'identity'>, first: number): Transform {
  switch (coding) {
    case 'gzip':
      return createGunzip();
    case 'deflate':
      return (first & 0x0f) === 0x08 ? createInflate() : createInflateRaw();
    case 'br':
      return createBrotliDecompress();
    case 'zstd':
      return createZstdDecompress();
  }
}
