import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fault, isFault } from '#kernel';
import { type MuxClient, muxClient } from '#net';

/** How a program's connection reaches the server's proxy. */
export interface Carrier {
  /** A fresh byte stream to the proxy. @throws {Fault} `server_unreachable` when none can be had within the patience */
  open(): Promise<Duplex>;
  close(): void;
}

/** Milliseconds a program's connection waits for a server that restarts. */
const defaultPatience = 15_000;

/** To the proxy's unix socket of the local server: one connection each. A restarting server is waited for. */
export function localCarrier(path: string, patience = defaultPatience): Carrier {
  return Object.freeze({ open: () => patiently(() => dialSocket(path), patience), close() {} });
}

function dialSocket(path: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.once('error', (cause) => reject(new Fault('server_unreachable', { cause })));
    socket.once('connect', () => resolve(socket));
  });
}

/**
 * To a remote server: all connections share one line, which is made anew with back-off when it breaks.
 * `connectLine` gives the bytes of a new line (a WebSocket at `/v1/relay`).
 */
export function remoteCarrier(connectLine: () => Promise<Duplex>, patience = defaultPatience): Carrier {
  let line: Promise<MuxClient> | undefined;
  let closed = false;
  const current = (): Promise<MuxClient> => {
    line ??= connectLine().then((duplex) => {
      const made = muxClient(duplex);
      const forget = () => {
        if (line === mine) line = undefined;
      };
      void made.ended.then(forget);
      if (closed) made.close();
      return made;
    });
    const mine = line;
    mine.catch(() => {
      if (line === mine) line = undefined;
    });
    return mine;
  };
  return Object.freeze({
    open: () => patiently(async () => (await current()).open(), patience),
    close() {
      closed = true;
      line?.then((made) => made.close()).catch(() => undefined);
    },
  });
}

/** Tries again with growing pauses while the server is not there; any other fault is final. */
async function patiently<T>(action: () => Promise<T>, patience: number): Promise<T> {
  const until = performance.now() + patience;
  for (let pause = 50; ; pause = Math.min(pause * 2, 2000)) {
    try {
      return await action();
    } catch (error) {
      if (!isPassing(error) || performance.now() + pause > until) throw error;
      await sleep(pause * (0.75 + Math.random() / 2));
    }
  }
}

function isPassing(error: unknown): boolean {
  return isFault(error, 'server_unreachable') || isFault(error, 'unavailable') || isFault(error, 'shutting_down') || isFault(error, 'busy');
}
