import { randomBytes } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Fault } from '#kernel';

/** What a program's HTTP client gets from the forwarder itself: a problem document (RFC 9457), marked as ours. */
export interface ForwarderAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The answer that tells a fault. 407 also says how to authenticate (RFC 9110 §11.7.1). */
export function answerOf(fault: Fault): ForwarderAnswer {
  const { status, title } = fault.row;
  const body = JSON.stringify({
    type: 'about:blank',
    title,
    status,
    code: fault.code,
    detail: fault.message,
    hint: fault.hint,
    request_id: `fwd_${randomBytes(8).toString('hex')}`,
    source: 'gatehouse',
  });
  return {
    status,
    body,
    headers: {
      ...(status === 407 ? { 'Proxy-Authenticate': 'Basic realm="gatehouse"' } : {}),
      ...(status === 503 ? { 'Retry-After': '5' } : {}),
      'Content-Type': 'application/problem+json',
      'Content-Length': String(Buffer.byteLength(body)),
      Connection: 'close',
    },
  };
}

/** The same answer as bytes, where there is only a socket. */
export function bytesOf(answer: ForwarderAnswer): string {
  const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? 'Error'}\r\n${lines.join('')}\r\n${answer.body}`;
}
