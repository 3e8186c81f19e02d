import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer as createHttpServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Fault, isFault, type Secret } from '#kernel';
import { answerOf, bytesOf } from './answers.ts';
import type { Carrier } from './carrier.ts';
import { readHead, splice } from './splice.ts';

/** What the program under `run` gives as its user name at the forwarder. */
export const proxyUser = 'gatehouse';

export interface ForwarderDeps {
  /** Child → forwarder: good on this listener only (SECURITY 3). */
  readonly childCredential: Secret<string>;
  readonly carrier: Carrier;
  /** Forwarder → server: the run's credential as it is now. */
  runCredential(): string;
  /** The server refused the run's credential. True: a new one was had, try once more. */
  renew(): Promise<boolean>;
}

export interface Forwarder {
  readonly host: string;
  readonly port: number;
  /** Stops listening and cuts what is open. */
  close(): Promise<void>;
}

/**
 * The listener a program under `run` talks to. It checks the child's credential, swaps it for the run's, and moves bytes:
 * it ends no TLS, holds no authority key and sees no decision (SECURITY 2).
 */
export async function openForwarder(
  deps: ForwarderDeps,
  where: { readonly host: string; readonly port: number } = { host: '127.0.0.1', port: 0 },
): Promise<Forwarder> {
  const mayPass = credentialCheck(deps.childCredential);
  const sockets = new Set<Socket>();
  const http = createHttpServer({ maxHeaderSize: 64 * 1024, requestTimeout: 0, keepAliveTimeout: 60_000 });
  http.on('connect', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    void tunnel(deps, mayPass, request, socket, head);
  });
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    void tunnel(deps, mayPass, request, socket, head);
  });
  http.on('request', (request, response) => void relay(deps, mayPass, request, response));
  http.on('clientError', (_error, socket) => refuse(socket, new Fault('bad_framing')));

  const listener = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    http.emit('connection', socket);
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(where.port, where.host, resolve);
  });
  const { port } = listener.address() as { port: number };
  return Object.freeze({
    host: where.host,
    port,
    async close() {
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      http.close();
      await closed;
    },
  });
}

/** Compares in constant time, by digests of equal length. */
function credentialCheck(credential: Secret<string>): (header: string | undefined) => boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const wanted = digest(basicOf(proxyUser, credential.reveal()));
  return (header) => header !== undefined && timingSafeEqual(digest(header.replace(/^basic +/i, 'Basic ')), wanted);
}

function basicOf(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** CONNECT, and an upgrade of a clear-text request: the head with the credential swapped, then bytes as they are. */
async function tunnel(
  deps: ForwarderDeps,
  mayPass: (header: string | undefined) => boolean,
  request: IncomingMessage,
  near: Duplex,
  rest: Buffer,
): Promise<void> {
  near.on('error', () => near.destroy());
  if (!mayPass(request.headers['proxy-authorization'])) return refuse(near, new Fault('proxy_unauthenticated'));
  try {
    const { far, head } = await openTunnel(
      deps,
      `${request.method} ${request.url} HTTP/${request.httpVersion}\r\n${passedHeaders(request)}`,
    );
    if (near.destroyed) return void far.destroy();
    near.write(head);
    if (rest.length > 0) far.write(rest);
    splice(near, far);
  } catch (error) {
    refuse(near, faultFrom(error));
  }
}

interface OpenTunnel {
  readonly far: Duplex;
  /** The server's answer, up to and with the empty line. */
  readonly head: Buffer;
}

/** Sends a head with the run's credential, and once more with a new one when the server no longer knows the first. */
async function openTunnel(deps: ForwarderDeps, headWithoutCredential: string): Promise<OpenTunnel> {
  for (let again = true; ; again = false) {
    const far = await deps.carrier.open();
    far.on('error', () => far.destroy());
    far.write(`${headWithoutCredential}Proxy-Authorization: ${basicOf(proxyUser, deps.runCredential())}\r\n\r\n`);
    const head = await readHead(far);
    if (head === undefined) {
      far.destroy();
      throw new Fault('server_unreachable');
    }
    if (!again || !isRefusal(head) || !(await deps.renew())) return { far, head };
    far.destroy();
  }
}

function isRefusal(head: Buffer): boolean {
  return /^HTTP\/1\.[01] 407 /.test(head.toString('latin1', 0, 16));
}

const swapped = new Set(['proxy-authorization', 'proxy-connection']);

function pairsOf(request: IncomingMessage): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const [name, value] = [request.rawHeaders[i] as string, request.rawHeaders[i + 1] as string];
    if (!swapped.has(name.toLowerCase())) pairs.push([name, value]);
  }
  return pairs;
}

function passedHeaders(request: IncomingMessage): string {
  return pairsOf(request)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
}

/** One request in absolute form: each has its own credential, so each is parsed. Origin form is not for a proxy. */
async function relay(
  deps: ForwarderDeps,
  mayPass: (header: string | undefined) => boolean,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (!mayPass(request.headers['proxy-authorization'])) return answer(response, new Fault('proxy_unauthenticated'));
  if (!/^https?:\/\//i.test(request.url ?? ''))
    return answer(response, new Fault('invalid_request', { hint: 'this is a proxy; name the whole URL' }));
  try {
    const far = await deps.carrier.open();
    far.on('error', () => far.destroy());
    const headers = [...pairsOf(request), ['Proxy-Authorization', basicOf(proxyUser, deps.runCredential())] as [string, string]].flat();
    const onward = httpRequest({ createConnection: () => far, method: request.method, path: request.url, headers, setHost: false });
    onward.on('response', (from) => passBack(deps, from, response));
    onward.on('error', () => answer(response, new Fault('server_unreachable')));
    response.once('close', () => far.destroy());
    request.pipe(onward);
  } catch (error) {
    answer(response, faultFrom(error));
  }
}

function passBack(deps: ForwarderDeps, from: IncomingMessage, response: ServerResponse): void {
  if (from.statusCode === 407) {
    from.resume();
    void deps.renew().catch(() => false);
    answer(response, new Fault('unavailable', { detail: 'The run had to be renewed; send the request again', retryAfter: 1 }));
    return;
  }
  response.writeHead(from.statusCode ?? 502, from.statusMessage, from.rawHeaders);
  from.on('error', () => response.destroy());
  from.pipe(response);
}

function answer(response: ServerResponse, fault: Fault): void {
  if (response.headersSent) return void response.destroy();
  const told = answerOf(fault);
  response.writeHead(told.status, told.headers).end(told.body);
}

function refuse(socket: Duplex, fault: Fault): void {
  if (socket.writable) socket.end(bytesOf(answerOf(fault)));
  else socket.destroy();
}

function faultFrom(error: unknown): Fault {
  return isFault(error) ? error : new Fault('internal', { cause: error });
}
