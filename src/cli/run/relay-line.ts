import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocket } from 'ws';
import { faultOf } from '#api';
import { Fault } from '#kernel';
import type { AgentKey } from '../agent-keys.ts';
import type { Server } from '../server.ts';
import { pinnedTrust, sendFault } from '../transport.ts';

const path = '/v1/relay';

/**
 * One authenticated line to a remote server's proxy: a WebSocket, which any HTTPS balancer passes. It carries nothing
 * but proxy traffic. @throws {Fault} what the server answers, `server_unreachable`
 */
export async function relayLine(server: Server, key: AgentKey): Promise<Duplex> {
  if (server.address.kind !== 'origin') throw new Fault('internal');
  const { origin, ca } = server.address;
  const authorization = await server.proof(key, 'GET', path);
  const socket = new WebSocket(`${origin.replace(/^http/, 'ws')}${path}`, {
    headers: { authorization },
    perMessageDeflate: false,
    handshakeTimeout: 15_000,
    maxPayload: 16 * 1024 * 1024,
    ...pinnedTrust(ca),
  });
  return new Promise((resolve, reject) => {
    socket.once('open', () => {
      const duplex = createWebSocketStream(socket, { allowHalfOpen: false });
      duplex.on('error', () => duplex.destroy());
      resolve(duplex);
    });
    socket.once('error', (cause) => reject(sendFault(cause)));
    socket.once('unexpected-response', (_request, answer: IncomingMessage) => void refused(answer).then(reject, reject));
  });
}

async function refused(answer: IncomingMessage): Promise<Fault> {
  let body = '';
  for await (const part of answer) {
    body += String(part);
    if (body.length > 65_536) break;
  }
  return faultOf({ status: answer.statusCode ?? 0, headers: { 'retry-after': answer.headers['retry-after'] } }, jsonOf(body));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
