import { type ClientHttp2Session, type ClientHttp2Stream, connect, performServerHandshake, type ServerHttp2Session } from 'node:http2';
import type { Duplex } from 'node:stream';
import { Fault } from '#kernel';

/** One end of a line that carries many byte streams, each with its own back-pressure. */
export interface MuxClient {
  /** Opens one stream. Half-closing works in both directions. @throws {Fault} `server_unreachable` once the line is down */
  open(): Promise<Duplex>;
  /** Resolves when the line is down, whoever ended it. */
  readonly ended: Promise<void>;
  close(): void;
}

export interface MuxOptions {
  /** Milliseconds between signs of life; a line that does not answer one until the next is cut. */
  readonly heartbeat?: number;
}

/** Enough for a 100 MB/s stream over a line of 40 ms, and a bound on what one stalled reader makes us hold. */
const window = 4 * 1024 * 1024;
const settings = { initialWindowSize: window, maxConcurrentStreams: 20_000, enablePush: false } as const;
const path = '/tunnel';

/**
 * Multiplexes byte streams over one duplex, by HTTP/2 frames (RFC 9113): the opening side.
 *
 * @example const line = muxClient(createWebSocketStream(socket)); const stream = await line.open();
 */
export function muxClient(duplex: Duplex, options: MuxOptions = {}): MuxClient {
  const session = connect('http://line.invalid', { createConnection: () => duplex, settings });
  const stop = keepAlive(session, options.heartbeat ?? 20_000);
  const ended = new Promise<void>((resolve) => session.once('close', resolve));
  session.on('error', () => session.destroy());
  session.once('connect', () => session.setLocalWindowSize(window * 4));
  duplex.once('close', () => session.destroy());
  session.once('close', () => {
    stop();
    duplex.destroy();
  });
  return Object.freeze({ open: () => openStream(session), ended, close: () => session.destroy() });
}

/** The accepting side: `onStream` is called with every stream the other side opens. Returns how to cut the line. */
export function muxServer(duplex: Duplex, onStream: (stream: Duplex) => void, options: MuxOptions = {}): { close(): void } {
  const session = performServerHandshake(duplex, { settings });
  const stop = keepAlive(session, options.heartbeat ?? 20_000);
  session.setLocalWindowSize(window * 4);
  session.on('error', () => session.destroy());
  session.on('stream', (stream, headers) => {
    if (headers[':method'] !== 'POST' || headers[':path'] !== path) return stream.close();
    stream.respond({ ':status': 200 });
    onStream(guarded(stream));
  });
  duplex.once('close', () => session.destroy());
  session.once('close', () => {
    stop();
    duplex.destroy();
  });
  return Object.freeze({ close: () => session.destroy() });
}

function openStream(session: ClientHttp2Session): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    if (session.destroyed || session.closed) return reject(new Fault('server_unreachable'));
    const stream: ClientHttp2Stream = session.request({ ':method': 'POST', ':path': path }, { endStream: false });
    const failed = () => reject(new Fault('server_unreachable'));
    stream.once('error', failed);
    stream.once('close', failed);
    stream.once('response', () => {
      stream.off('error', failed);
      stream.off('close', failed);
      resolve(guarded(stream));
    });
  });
}

/** A stream whose line is cut is told by 'close'; without a listener its 'error' would end the process. */
function guarded<S extends Duplex>(stream: S): S {
  stream.on('error', () => stream.destroy());
  return stream;
}

/** Balancers drop silent lines, and a line whose other end vanished tells nobody. */
function keepAlive(session: ClientHttp2Session | ServerHttp2Session, every: number): () => void {
  let waiting = false;
  const timer = setInterval(() => {
    if (waiting || session.destroyed) return session.destroy();
    waiting = true;
    session.ping((error) => {
      waiting = error !== null;
    });
  }, every);
  timer.unref();
  return () => clearInterval(timer);
}
