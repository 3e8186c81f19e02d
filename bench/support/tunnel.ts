import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';

export interface ProxyTarget {
  readonly proxyPort: number;
  /** `user:password`, or none. */
  readonly credential?: string;
  readonly host: string;
  readonly port: number;
  /** What the client trusts. */
  readonly ca: string;
}

/** Opens CONNECT and TLS inside it. */
export async function openTunnel(target: ProxyTarget): Promise<TLSSocket> {
  const socket = connectTcp(target.proxyPort, '127.0.0.1');
  socket.setNoDelay(true);
  const authorization =
    target.credential === undefined ? '' : `Proxy-Authorization: Basic ${Buffer.from(target.credential).toString('base64')}\r\n`;
  const name = `${target.host}:${target.port}`;
  socket.write(`CONNECT ${name} HTTP/1.1\r\nHost: ${name}\r\n${authorization}\r\n`);
  await headOf(socket);
  const secure = connectTls({ socket, servername: target.host, ca: target.ca, ALPNProtocols: ['http/1.1'] });
  await new Promise<void>((resolve, reject) => {
    secure.once('secureConnect', resolve);
    secure.once('error', reject);
  });
  return secure;
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

/** Sends `calls` requests one after the other on a tunnel; resolves with each call's milliseconds. */
export function callInTurn(secure: TLSSocket, target: ProxyTarget, calls: number): Promise<readonly number[]> {
  const request = Buffer.from(`GET /one HTTP/1.1\r\nHost: ${target.host}:${target.port}\r\nAccept: application/json\r\n\r\n`);
  return new Promise((resolve, reject) => {
    const times: number[] = [];
    let started = 0;
    let left = -1;
    let head = '';
    const next = (): void => {
      if (times.length === calls) {
        secure.off('data', hear);
        return resolve(times);
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
        if (!head.startsWith('HTTP/1.1 200')) return reject(new Error(head.slice(0, 400)));
        left = bodyLength(head.slice(0, end));
        body = Buffer.from(head.slice(end + 4), 'latin1');
      }
      left -= body.length;
      if (left > 0) return;
      times.push(performance.now() - started);
      next();
    };
    secure.on('data', hear);
    secure.once('error', reject);
    next();
  });
}

function bodyLength(head: string): number {
  const length = /content-length: *(\d+)/i.exec(head)?.[1];
  if (length === undefined) throw new Error(`the answer has no length: ${head}`);
  return Number(length);
}
