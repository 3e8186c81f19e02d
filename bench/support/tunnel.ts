import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';

export interface ProxyTarget {
  /** Undefined: the upstream itself. */
  readonly proxyPort: number | undefined;
  /** `user:password`, or none. */
  readonly credential?: string;
  readonly host: string;
  readonly port: number;
  /** What the client trusts. */
  readonly ca: string;
}

/** Opens CONNECT and TLS inside it, or TLS to the upstream itself. */
export async function openTunnel(target: ProxyTarget): Promise<TLSSocket> {
  const socket = connectTcp(target.proxyPort ?? target.port, '127.0.0.1');
  socket.setNoDelay(true);
  if (target.proxyPort !== undefined) await askForTunnel(socket, target);
  const secure = connectTls({
    socket,
    servername: target.host,
    secureContext: contextOf(target.ca),
    ALPNProtocols: ['http/1.1'],
    // Who the rival vouches for is its own affair; that its authority signed is checked.
    checkServerIdentity: () => undefined,
  });
  await new Promise<void>((resolve, reject) => {
    secure.once('secureConnect', resolve);
    secure.once('error', reject);
    secure.once('close', () => reject(new Error('the connection was closed in the handshake')));
  });
  return secure;
}

const contexts = new Map<string, SecureContext>();

function contextOf(ca: string): SecureContext {
  const context = contexts.get(ca) ?? createSecureContext({ ca });
  contexts.set(ca, context);
  return context;
}

async function askForTunnel(socket: Socket, { host, port, credential }: ProxyTarget): Promise<void> {
  const authorization = credential === undefined ? '' : `Proxy-Authorization: Basic ${Buffer.from(credential).toString('base64')}\r\n`;
  socket.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n${authorization}\r\n`);
  await headOf(socket);
}

function headOf(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    const hear = (part: Buffer): void => {
      text += part.toString('latin1');
      if (!text.includes('\r\n\r\n')) return;
      socket.off('data', hear);
      if (/^HTTP\/1\.[01] 200/.test(text)) resolve();
      else reject(new Error(`the proxy answered ${text.slice(0, 300)}`));
    };
    socket.on('data', hear);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the proxy closed the tunnel')));
  });
}

/** The bytes of a GET. */
export function requestFor({ host, port }: ProxyTarget, path: string): Buffer {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nAccept: application/json\r\n\r\n`);
}

/** Sends `calls` requests one after the other on a tunnel; resolves with each call's milliseconds. */
export function callInTurn(secure: TLSSocket, target: ProxyTarget, calls: number, path = '/one'): Promise<readonly number[]> {
  const request = requestFor(target, path);
  return new Promise((resolve, reject) => {
    const times: number[] = [];
    let started = 0;
    let left = -1;
    let head = '';
    const leave = (): void => {
      secure.off('data', hear);
      secure.off('error', reject);
      secure.off('close', closed);
    };
    const closed = () => reject(new Error('the tunnel was closed'));
    const next = (): void => {
      if (times.length === calls) {
        leave();
        resolve(times);
        return;
      }
      started = performance.now();
      left = -1;
      head = '';
      secure.write(request);
    };
    const hear = (part: Buffer): void => {
      let body = part;
      if (left < 0) {
        head += part.toString('latin1');
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        if (!head.startsWith('HTTP/1.1 200')) {
          reject(new Error(head.slice(0, 400)));
          return;
        }
        left = bodyLength(head.slice(0, end));
        body = Buffer.from(head.slice(end + 4), 'latin1');
      }
      left -= body.length;
      if (left > 0) return;
      times.push(performance.now() - started);
      next();
    };
    secure.on('data', hear);
    secure.on('error', reject);
    secure.on('close', closed);
    next();
  });
}

function bodyLength(head: string): number {
  const length = /content-length: *(\d+)/i.exec(head)?.[1];
  if (length === undefined) throw new Error(`the answer has no length: ${head}`);
  return Number(length);
}
