import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { WebSocketServer } from 'ws';
import type { TestAuthority } from './certificates.ts';

/** One request as it arrived. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly rawHeaders: readonly string[];
  readonly body: string;
  readonly bytes: number;
}

/** A real HTTP or HTTPS API on loopback that remembers what it was asked. */
export interface Upstream {
  readonly port: number;
  readonly seen: Seen[];
  /** Open sockets. */
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

/** `body` is empty when it is larger than what is kept; `whole` tells of all of it. */
type Route = (request: IncomingMessage, response: ServerResponse, body: Buffer, whole: Whole) => void;

interface Whole {
  readonly bytes: number;
  readonly sha256: string;
}

/** A body larger than this is counted and not kept. */
const kept = 64_000_000;

const json = (response: ServerResponse, status: number, value: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
};

/** What the API answers by default, by the first segment of the path. */
const routes: Readonly<Record<string, Route>> = {
  /** What was sent, sent back: headers and body. */
  echo: (request, response, body) =>
    json(response, 200, { method: request.method, url: request.url, headers: request.headers, body: body.toString('utf8') }),
  /** The same, compressed. */
  gzip: (request, response, body) =>
    response
      .writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
      .end(gzipSync(JSON.stringify({ headers: request.headers, body: body.toString('utf8') }))),
  status: (request, response) => json(response, Number(request.url?.split('/')[2] ?? 200), { ok: false }),
  digest: (_request, response, _body, whole) => json(response, 200, whole),
  bytes: (request, response) => sendBytes(Number(request.url?.split('/')[2] ?? 0), response),
  sse: (request, response) => sendEvents(Number(request.url?.split('/')[2] ?? 3), Number(request.url?.split('/')[3] ?? 50), response),
};

function sendBytes(total: number, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': total });
  const block = Buffer.alloc(64 * 1024, 'x');
  let left = total;
  const more = (): void => {
    while (left > 0) {
      const part = block.subarray(0, Math.min(left, block.length));
      left -= part.length;
      if (!response.write(part)) return void response.once('drain', more);
    }
    response.end();
  };
  more();
}

function sendEvents(events: number, every: number, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  let sent = 0;
  const timer = setInterval(() => {
    response.write(`data: ${JSON.stringify({ n: sent, at: Date.now() })}\n\n`);
    if (++sent < events) return;
    clearInterval(timer);
    response.end();
  }, every);
  response.on('close', () => clearInterval(timer));
}

/** Starts the API. `extra` adds or replaces routes; `/` and anything else answers 200 with a small document. */
export async function startUpstream(
  tls?: ReturnType<TestAuthority['issue']>,
  extra: Readonly<Record<string, Route>> = {},
  address = '127.0.0.1',
): Promise<Upstream> {
  const seen: Seen[] = [];
  const sockets = new Set<Socket>();
  const table = { ...routes, ...extra };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    // The one route that does not wait for a body.
    if (request.url === '/early') return void response.writeHead(401).end('too early');
    const parts: Buffer[] = [];
    const hash = createHash('sha256');
    let bytes = 0;
    request.on('data', (part: Buffer) => {
      hash.update(part);
      bytes += part.length;
      if (bytes <= kept) parts.push(part);
      else parts.length = 0;
    });
    request.on('end', () => {
      const body = Buffer.concat(parts);
      const { method = '', url = '', headers, rawHeaders } = request;
      seen.push({ method, url, headers, rawHeaders, body: bytes > 1_000_000 ? '' : body.toString('utf8'), bytes });
      const route = table[url.split(/[/?]/)[1] ?? ''];
      if (route === undefined) json(response, 200, { ok: true, path: url });
      else route(request, response, body, { bytes, sha256: hash.digest('hex') });
    });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer({ cert: tls.cert, key: tls.key }, listener);
  const webSockets = new WebSocketServer({ server, perMessageDeflate: { threshold: 0 } });
  webSockets.on('connection', (socket, request) => {
    seen.push({
      method: 'WEBSOCKET',
      url: request.url ?? '',
      headers: request.headers,
      rawHeaders: request.rawHeaders,
      body: '',
      bytes: 0,
    });
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    sockets,
    close: () => {
      webSockets.close();
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
