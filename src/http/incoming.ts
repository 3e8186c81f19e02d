import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { RequestId } from '#kernel';
import { isLoopbackAddress } from './hosts.ts';

/** One request, as the rules look at it. */
export interface Incoming {
  readonly id: RequestId;
  readonly method: string;
  /** Target as received: path and query, undecoded. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
  /** It came over the owner's unix socket. */
  readonly local: boolean;
  /** Peer address, or who a trusted proxy says it is. */
  readonly address: string;
  readonly encrypted: boolean;
  /** A method that may change something. */
  readonly unsafe: boolean;
  /** It comes from this machine and nothing says that somebody passed it on. */
  readonly fromHere: boolean;
}

const localSockets = new WeakSet<Socket>();

/** Every request on this connection is the local owner's. */
export function markLocal(socket: Socket): void {
  localSockets.add(socket);
}

/** The one `Host`; undefined when there is none, or several, of which whoever is before us may have read another. */
export function calledAs({ headersDistinct }: IncomingMessage): string | undefined {
  const hosts = headersDistinct.host ?? [];
  return hosts.length === 1 ? hosts[0] : undefined;
}

const passedOn = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'];
const safe = new Set(['GET', 'HEAD', 'OPTIONS']);

export function incomingOf(raw: IncomingMessage, id: RequestId, address: string, body: Uint8Array): Incoming {
  const local = localSockets.has(raw.socket);
  const method = raw.method ?? 'GET';
  const relayed = passedOn.some((name) => raw.headers[name] !== undefined);
  return {
    id,
    method,
    url: raw.url ?? '/',
    headers: raw.headers,
    body,
    local,
    address: local ? 'local' : address,
    encrypted: raw.socket instanceof TLSSocket,
    unsafe: !safe.has(method),
    fromHere: local || (!relayed && isLoopbackAddress(raw.socket.remoteAddress)),
  };
}
