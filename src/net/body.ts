import type { Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { Fault } from '#kernel';

/** Decoders by content coding (RFC 9110 §8.4.1). */
const decoders: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};

/** Reads a body to its end, decoded, and stops at the first byte over `limit`, so that a bomb never unfolds. */
export async function decoded(body: Readable, coding: string | undefined, limit: number, signal: AbortSignal): Promise<Uint8Array> {
  const source = unfold(body, coding);
  const stop = () => source.destroy(new Fault('upstream_timeout'));
  signal.addEventListener('abort', stop, { once: true });
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of source as AsyncIterable<Buffer>) {
      size += part.length;
      if (size > limit) throw new Fault('upstream_invalid', { detail: 'The answer is too large' });
      parts.push(part);
    }
  } catch (error) {
    throw error instanceof Fault || coding === undefined || !isCodingError(error)
      ? error
      : new Fault('upstream_invalid', { detail: 'The content encoding does not decode', cause: error });
  } finally {
    signal.removeEventListener('abort', stop);
    body.destroy();
    source.destroy();
  }
  return Buffer.concat(parts, size);
}

function unfold(body: Readable, coding: string | undefined): Readable {
  const name = (coding ?? 'identity').trim().toLowerCase();
  if (name === 'identity' || name === '') return body;
  const decoder = Object.hasOwn(decoders, name) ? decoders[name] : undefined;
  if (!decoder) {
    body.on('error', () => {}).destroy();
    throw new Fault('upstream_invalid', { detail: 'The content encoding is unknown' });
  }
  const stream = decoder();
  body.on('error', (error) => stream.destroy(error));
  return body.pipe(stream);
}

function isCodingError(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && /^(Z_|ERR_BROTLI|ERR__|ZSTD|ERR_ZLIB)/.test(error.code)
  );
}
