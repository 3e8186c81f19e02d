import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Fault, newId } from '#kernel';
import type { Http, Where } from './contract.ts';
import { everyAnswer } from './headers.ts';
import { closeListener, openListener } from './listeners.ts';
import { problemOf } from './problem.ts';

/** What listens while an installation is paused: it says that it lives, and refuses everything else (SECURITY 20). */
export function createPausedHttp(version: string): Pick<Http, 'listen' | 'close'> {
  const handle = answering(version);
  const servers: Server[] = [];
  return Object.freeze({
    async listen(where: Where) {
      const server = await openListener({ handle, upgrade: refuseUpgrade }, where);
      servers.push(server);
      const bound = server.address();
      return bound === null || typeof bound === 'string' ? { address: bound ?? '', port: 0 } : { address: bound.address, port: bound.port };
    },
    async close(deadline: number) {
      await Promise.all(servers.map((server) => closeListener(server, AbortSignal.timeout(deadline))));
    },
  });
}

function answering(version: string) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    request.resume();
    const { status, headers, body } = answerTo(request.url ?? '', version);
    response.writeHead(status, { ...everyAnswer, ...headers }).end(request.method === 'HEAD' ? undefined : body);
  };
}

function answerTo(path: string, version: string) {
  const said = (status: number, body: object) => ({ status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  if (path === '/health' || path === '/health/live') return said(200, { status: 'paused', version });
  if (path === '/health/ready') return said(503, { status: 'not_ready', version, reason: 'paused' });
  return problemOf(new Fault('paused'), newId('req'));
}

function refuseUpgrade(_request: IncomingMessage, socket: Duplex): void {
  socket.end('HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n');
}
