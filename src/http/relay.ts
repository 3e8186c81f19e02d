import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws';
import { Fault, newId } from '#kernel';
import { emptyBody } from './body.ts';
import { type CallerDeps, callerOf } from './callers.ts';
import type { HttpDeps } from './contract.ts';
import { calledAs, incomingOf } from './incoming.ts';
import { faultFrom, problemOf } from './problem.ts';
import type { SetupGate } from './setup-gate.ts';

/** Carries proxy connections of remote runs, and nothing else (SECURITY 3). */
export interface Relay {
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends every connection. */
  close(): void;
}

export interface RelayDeps {
  readonly rooms: Pick<HttpDeps, 'relay' | 'log' | 'clock'>;
  readonly callers: CallerDeps;
  readonly gate: SetupGate;
}

const pingEvery = 30_000;
const largestMessage = 16 << 20;

export function createRelay(deps: RelayDeps): Relay {
  const { rooms } = deps;
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: largestMessage, clientTracking: true });
  const timer = setInterval(() => server.clients.forEach(ping), pingEvery);
  timer.unref();

  async function admit(request: IncomingMessage): Promise<string> {
    const { relay } = rooms;
    const given = incomingOf(request, newId('req', rooms.clock.now()), request.socket.remoteAddress ?? '', emptyBody);
    if (relay === undefined || given.url !== '/v1/relay' || given.method !== 'GET') throw new Fault('not_found');
    if (!given.local) deps.callers.hosts.check(calledAs(request));
    // A page can open a WebSocket to anywhere; an agent has no origin.
    if (request.headers.origin !== undefined) throw new Fault('origin_refused');
    await deps.gate.pass(given);
    await callerOf(deps.callers, given, { callers: ['agent'], standing: ['active'] });
    return given.address;
  }

  return Object.freeze({
    upgrade(request: IncomingMessage, socket: Duplex, head: Buffer) {
      socket.on('error', () => socket.destroy());
      admit(request).then(
        (address) =>
          server.handleUpgrade(request, socket, head, (webSocket) => carry(webSocket, (stream) => rooms.relay?.(stream, address))),
        (error: unknown) => refuse(socket, error, deps),
      );
    },
    close() {
      clearInterval(timer);
      for (const webSocket of server.clients) webSocket.terminate();
      server.close();
    },
  });
}

const unanswered = new WeakSet<WebSocket>();

/** A peer that has not answered the last ping is gone. */
function ping(webSocket: WebSocket): void {
  if (unanswered.has(webSocket)) {
    webSocket.terminate();
    return;
  }
  unanswered.add(webSocket);
  webSocket.ping();
}

function carry(webSocket: WebSocket, to: (stream: Duplex) => void): void {
  webSocket.on('pong', () => unanswered.delete(webSocket));
  webSocket.on('message', (_, isBinary) => {
    if (!isBinary) webSocket.close(1003);
  });
  const stream = createWebSocketStream(webSocket, { allowHalfOpen: false });
  stream.on('error', () => stream.destroy());
  to(stream);
}

function refuse(socket: Duplex, error: unknown, { rooms }: RelayDeps): void {
  const id = newId('req', rooms.clock.now());
  const { status, headers, body } = problemOf(faultFrom(error, rooms.log, id), id);
  const lines = Object.entries({ ...headers, 'content-length': String(Buffer.byteLength(body)), connection: 'close' });
  socket.end(`HTTP/1.1 ${status} Refused\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`);
}
