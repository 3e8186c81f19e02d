// A process of its own: an HTTPS server that answers 1 KB, streams bytes, and sends events. Parameters: certificate file, key file.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

const [certFile, keyFile] = process.argv.slice(2) as [string, string];
const body = Buffer.from(JSON.stringify({ text: 'x'.repeat(1000) }));
const block = Buffer.alloc(64 * 1024, 'x');

const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (request, response) => {
  const [, kind, count] = (request.url ?? '').split('/');
  if (kind === 'bytes') return stream(Number(count));
  if (kind === 'events') return events(Number(count));
  request.resume();
  if (kind === 'close') response.setHeader('connection', 'close');
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body);

  function stream(total: number): void {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': total });
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

  function events(total: number): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let sent = 0;
    const timer = setInterval(() => {
      response.write(`data: ${process.hrtime.bigint()}\n\n`);
      if (++sent < total) return;
      clearInterval(timer);
      response.end();
    }, 5);
  }
});
server.keepAliveTimeout = 120_000;
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
