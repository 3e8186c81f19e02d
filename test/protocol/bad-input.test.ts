import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { rawUpstream } from '../../src/proxy/testing/raw.ts';
import { type Gateway, openGateway, service, startApi } from '../support/gateway.ts';
import { count, long } from '../support/need.ts';
import type { Upstream } from '../support/upstream.ts';

let api: Upstream;
let gateway: Gateway;
let target: string;

beforeAll(async () => {
  api = await startApi();
  gateway = await openGateway({ ports: [api.port] });
  await gateway.add(service('custom', [{ host: 'api.test', port: api.port }]));
  target = `api.test:${api.port}`;
});

const smuggled = 'GET /smuggled HTTP/1.1\r\n{host}\r\n';

describe('a request that could be read in two ways is answered with 400, the tunnel closed, and nothing of it completed upstream', () => {
  const requests: Readonly<Record<string, string>> = {
    'a length and chunks': `POST /a HTTP/1.1\r\n{host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    'chunks and a length': `POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n${smuggled}`,
    'two lengths': `POST /a HTTP/1.1\r\n{host}Content-Length: 0\r\nContent-Length: 44\r\n\r\n${smuggled}`,
    'the same length twice': `POST /a HTTP/1.1\r\n{host}Content-Length: 1\r\ncontent-length: 1\r\n\r\nx${smuggled}`,
    'a list of lengths': `POST /a HTTP/1.1\r\n{host}Content-Length: 0, 44\r\n\r\n${smuggled}`,
    'a signed length': `POST /a HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\nx${smuggled}`,
    'a space before the colon': `POST /a HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    'an unknown coding': `POST /a HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`,
    'two codings': `POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${smuggled}`,
    'chunks in HTTP/1.0': `POST /a HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    'a folded field': `POST /a HTTP/1.1\r\n{host}X: a\r\n Transfer-Encoding: chunked\r\n\r\n${smuggled}`,
    'a bare line feed': `POST /a HTTP/1.1\r\n{host}X: a\nContent-Length: 44\r\n\r\n${smuggled}`,
    'a bare carriage return': `POST /a HTTP/1.1\r\n{host}X: a\rContent-Length: 44\r\n\r\n${smuggled}`,
    'a NUL': `GET /a HTTP/1.1\r\n{host}X: a\0b\r\n\r\n${smuggled}`,
    'a bad chunk size': `POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n${smuggled}`,
    'a signed chunk size': `POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n${smuggled}`,
    'a chunk longer than its size': `POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n${smuggled}`,
    'a chunk that ends in a line feed': `POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n${smuggled}`,
    'a line feed in a chunk extension': `POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n${smuggled}`,
    'two Hosts': `GET /a HTTP/1.1\r\n{host}Host: other.test\r\n\r\n${smuggled}`,
    'a Connection that takes the length away': `POST /a HTTP/1.1\r\n{host}Connection: Content-Length\r\nContent-Length: 1\r\n\r\nx${smuggled}`,
    'a head of 200 fields': `GET /a HTTP/1.1\r\n{host}${'x: y\r\n'.repeat(200)}\r\n${smuggled}`,
    'a head of 40 kB': `GET /a HTTP/1.1\r\n{host}X: ${'y'.repeat(40_000)}\r\n\r\n${smuggled}`,
    'no HTTP at all': `\x16\x03\x01\x02\x00\x01\x00\r\n\r\n${smuggled}`,
  };
  for (const [name, request] of Object.entries(requests)) {
    test(name, async () => {
      const seen = api.seen.length;
      const { send, ended } = await gateway.open(target);
      send(request.replaceAll('{host}', `Host: ${target}\r\n`));
      const answer = await ended();
      expect(answer).toMatch(/^HTTP\/1\.1 (400|421) /);
      expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
      expect(api.seen.length).toBe(seen);
    });
  }
});

describe('an answer that could be read in two ways is 502, and its connection is used for nothing more', () => {
  const forged = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged';
  const answers: Readonly<Record<string, string>> = {
    'a length and chunks': `HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${forged}`,
    'two lengths': `HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 60\r\n\r\n${forged}`,
    'a folded field': `HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 0\r\n\r\n${forged}`,
    'a bare line feed': `HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n${forged}`,
    'a space before the colon': `HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n${forged}`,
    'an unknown coding': `HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${forged}`,
    'a status of two digits': `HTTP/1.1 20 OK\r\n\r\n${forged}`,
    'no HTTP': `SSH-2.0-x\r\n\r\n${forged}`,
    'HTTP/2 unasked': `HTTP/2 200 OK\r\n\r\n${forged}`,
    'a switch of protocols unasked': `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${forged}`,
    'a head without end': `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(60_000)}`,
  };

  test('for each class of them', async () => {
    const texts = Object.entries(answers);
    let turn = 0;
    const upstream = await rawUpstream((peer, head) =>
      peer.send(head.includes('/good') ? 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood' : (texts[turn]?.[1] as string)),
    );
    const own = await openGateway({ ports: [upstream.port], net: { extraAuthorities: { 'api.test': [upstream.authority.pem] } } });
    await own.add(service('custom', [{ host: 'api.test', port: upstream.port }]));
    const at = `api.test:${upstream.port}`;
    for (turn = 0; turn < texts.length; turn++) {
      const tunnel = await own.open(at);
      tunnel.send(`GET /bad HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      const answer = await tunnel.until('gatehouse"}');
      expect(answer, texts[turn]?.[0]).toMatch(/^HTTP\/1\.1 502 /);
      tunnel.take();
      tunnel.send(`GET /good HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      expect(await tunnel.until('good'), texts[turn]?.[0]).toMatch(/\r\n\r\ngood$/);
      tunnel.socket.destroy();
    }
    await upstream.close();
  });

  test('and bytes behind a whole answer are never the answer to the next request', async () => {
    const upstream = await rawUpstream((peer, head) =>
      peer.send(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n${head.includes('/2') ? 'true' : 'good'}${head.includes('/1') ? forged : ''}`),
    );
    const own = await openGateway({ ports: [upstream.port], net: { extraAuthorities: { 'api.test': [upstream.authority.pem] } } });
    await own.add(service('custom', [{ host: 'api.test', port: upstream.port }]));
    for (let i = 0; i < 10; i++) {
      expect((await own.ask(`api.test:${upstream.port}`, 'GET /1 HTTP/1.1')).body).toBe('good');
      expect((await own.ask(`api.test:${upstream.port}`, 'GET /2 HTTP/1.1')).body).toBe('true');
    }
    await upstream.close();
  });
});

test('clients that leave at any moment leave nothing behind: no exchange without an end, no upstream connection, and the next call works', {
  timeout: long ? 600_000 : 60_000,
}, async () => {
  const own = await openGateway({ ports: [api.port], limits: { drainTimeout: 100, poolIdle: 1_000 } });
  await own.add(service('custom', [{ host: 'api.test', port: api.port }]));
  const total = count(500, 10_000);
  let begun = 0;
  await Promise.all(
    Array.from({ length: 40 }, async () => {
      while (begun < total) await abortedClient(own, begun++);
    }),
  );
  expect((await own.ask(target, 'GET /echo HTTP/1.1')).status).toBe(200);
  await vi.waitFor(async () => expect(await unfinished(own)).toBe(0), { timeout: 10_000, interval: 200 });
  const started = performance.now();
  await own.proxy.close(0);
  expect(performance.now() - started).toBeLessThan(2_000);
  await vi.waitFor(() => expect(api.sockets.size).toBeLessThanOrEqual(2), { timeout: 5_000 });
});

/** One client that is cut: in its CONNECT, in the handshake, in a request, in a body, in an answer or in a stream. */
async function abortedClient({ port, current }: Gateway, nth: number): Promise<void> {
  const connectText = `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: Bearer ${current.started.credential.reveal()}\r\n\r\n`;
  const inside = [
    'GET /ec',
    `GET /echo HTTP/1.1\r\nHost: ${target}\r\n\r\n`,
    `POST /echo HTTP/1.1\r\nHost: ${target}\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(1_000)}`,
    `POST /echo HTTP/1.1\r\nHost: ${target}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel`,
    `GET /bytes/5000000 HTTP/1.1\r\nHost: ${target}\r\n\r\n`,
    `GET /sse/1000/5 HTTP/1.1\r\nHost: ${target}\r\n\r\n`,
  ];
  await new Promise<void>((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const leave = () => (nth % 2 === 0 ? socket.resetAndDestroy() : socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    if (nth % 8 === 7) return void socket.once('connect', leave);
    socket.write(connectText.slice(0, nth % 8 === 6 ? 40 : undefined));
    if (nth % 8 === 6) return void setTimeout(leave, nth % 5);
    socket.once('data', () => {
      const secured = connectTls({ socket, servername: 'api.test', ca: current.started.authorityPem });
      secured.on('error', () => {});
      if (nth % 16 === 8) return void setTimeout(leave, nth % 5);
      secured.once('secureConnect', () => {
        secured.write(inside[nth % inside.length] as string);
        setTimeout(leave, nth % 11);
      });
    });
  });
}

/** How many exchanges were allowed and have no end on record. */
async function unfinished({ people, run }: Gateway): Promise<number> {
  await people.audit.flush();
  return (await people.audit.verify(run.organization)).unfinished;
}
