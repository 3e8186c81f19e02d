import { chmodSync, existsSync, rmSync } from 'node:fs';
import { createServer as createPlainServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Server as TlsServer } from 'node:tls';
import { Fault, newId } from '#kernel';
import type { ListenerTls, Where } from './contract.ts';
import { markLocal } from './incoming.ts';
import { problemOf } from './problem.ts';

export interface ListenerDeps {
  readonly handle: RequestListener;
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

const limits = {
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 30_000,
  maxHeaderSize: 16_384,
  connectionsCheckingInterval: 5_000,
};

const tlsLimits = { minVersion: 'TLSv1.2' } as const;

/** One listener on a TCP address or on the local socket. @throws {Fault} `conflict` when another server answers on the socket */
export async function openListener(deps: ListenerDeps, where: Where): Promise<Server> {
  const server =
    'tls' in where && where.tls !== undefined
      ? createTlsServer({ ...limits, ...tlsOf(where.tls), ...tlsLimits })
      : createPlainServer(limits);
  server.on('request', (request, response) => {
    if (draining.has(server)) response.setHeader('connection', 'close');
    deps.handle(request, response);
  });
  server.on('upgrade', deps.upgrade);
  server.on('clientError', refuseBroken);
  if ('path' in where) {
    server.on('connection', markLocal);
    if (where.shared !== true) await clearStale(where.path);
  }
  await listening(server, where);
  if ('path' in where) chmodSync(where.path, 0o600);
  return server;
}

function tlsOf({ cert, key, asksCertificate = false }: ListenerTls) {
  return { cert, key, ...(asksCertificate ? { requestCert: true, rejectUnauthorized: false } : {}) };
}

function listening(server: Server, where: Where): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(placeOf(where), () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function placeOf(where: Where) {
  if ('path' in where) return { path: where.path };
  return 'fd' in where ? { fd: where.fd } : { host: where.host, port: where.port };
}

/** A socket file that nobody answers on is left over from a process that was killed. @throws {Fault} `conflict` when somebody does */
export async function clearStale(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const answers = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => resolve(true));
    probe.on('error', () => resolve(false));
    probe.on('connect', () => probe.destroy());
  });
  if (answers)
    throw new Fault('conflict', { detail: 'Another Gatehouse server answers on this socket', hint: 'stop it with: gatehouse stop' });
  rmSync(path, { force: true });
}

/** Bytes that are not HTTP, headers that are too large, clients that are too slow. */
function refuseBroken(error: NodeJS.ErrnoException, socket: Socket | Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const slow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const status = tooLarge ? '431 Request Header Fields Too Large' : slow ? '408 Request Timeout' : '400 Bad Request';
  const { body } = problemOf(new Fault('invalid_request', { detail: 'The request is not well-formed HTTP' }), newId('req'));
  const head = `HTTP/1.1 ${status}\r\ncontent-type: application/problem+json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`;
  socket.end(head + body);
}

/** The certificate of connections that are made from now on, where the listener encrypts. */
export function secureListener(server: Server, tls: { readonly cert: string; readonly key: string }): void {
  if (server instanceof TlsServer) server.setSecureContext({ ...tls, ...tlsLimits });
}

/** Listeners that accept nobody any more: each connection's next answer is its last. */
const draining = new WeakSet<Server>();
/** How long a connection that looks idle is still answered, milliseconds: a request may be on its way. */
const drainTime = 1_000;
const looksEvery = 100;

/** Stops accepting; requests end by themselves until `ending` is aborted, then they are cut. */
export async function closeListener(server: Server, ending: AbortSignal): Promise<void> {
  draining.add(server);
  // Not the server's own way, which would cut what looks idle at once.
  const closed = new Promise<void>((resolve) => {
    NetServer.prototype.close.call(server, () => resolve());
  });
  const idle = setTimeout(() => {
    server.close();
    sweeping = setInterval(() => server.closeIdleConnections(), looksEvery);
  }, drainTime);
  let sweeping: NodeJS.Timeout | undefined;
  const cut = () => server.closeAllConnections();
  if (ending.aborted) cut();
  ending.addEventListener('abort', cut, { once: true });
  await closed;
  ending.removeEventListener('abort', cut);
  clearTimeout(idle);
  clearInterval(sweeping);
}
