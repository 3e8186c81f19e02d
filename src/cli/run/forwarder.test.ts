import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { createServer as createHttp, request as httpRequest } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { Secret } from '#kernel';
import { muxServer } from '#net';
import { type Carrier, localCarrier, remoteCarrier } from './carrier.ts';
import { type Forwarder, openForwarder } from './forwarder.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const runCredential = 'run-credential';
const child = randomBytes(16).toString('base64url');
const basic = (password: string) => `Basic ${Buffer.from(`gatehouse:${password}`).toString('base64')}`;

/** A stub of the server's proxy: an HTTP server whose CONNECT leads to an echo, and which tells what it was asked. */
function stubProxy(good: () => string = () => runCredential) {
  const heads: { method: string; url: string; headers: Record<string, unknown> }[] = [];
  const allowed = (header: unknown) => header === basic(good());
  const server = createHttp((request, response) => {
    heads.push({ method: request.method as string, url: request.url as string, headers: request.headers });
    if (!allowed(request.headers['proxy-authorization'])) return response.writeHead(407).end();
    response.writeHead(200, { 'x-upstream': 'yes' });
    request.pipe(response);
  });
  server.on('connect', (request, socket: Duplex, head: Buffer) => {
    heads.push({ method: 'CONNECT', url: request.url as string, headers: request.headers });
    if (!allowed(request.headers['proxy-authorization'])) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    socket.on('error', () => socket.destroy());
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    socket.write(head);
    socket.pipe(socket);
  });
  return { server, heads, accept: (connection: Duplex) => void server.emit('connection', connection) };
}

async function listenPath(server: Server): Promise<string> {
  const path = join(mkdtempSync(join(tmpdir(), 'gatehouse-forwarder-')), 'proxy.sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  closers.push(() => server.close());
  return path;
}

async function forwarderTo(carrier: Carrier, renew: () => Promise<boolean> = async () => false, credential = () => runCredential) {
  const forwarder = await openForwarder({ childCredential: new Secret(child), carrier, runCredential: credential, renew });
  closers.push(() => forwarder.close());
  return forwarder;
}

async function exchange(forwarder: Forwarder, bytes: string | Buffer, until: RegExp): Promise<{ socket: Socket; text: string }> {
  const socket = connect({ port: forwarder.port, host: '127.0.0.1', allowHalfOpen: true });
  closers.push(() => socket.destroy());
  socket.write(bytes);
  let text = '';
  for await (const part of socket.iterator({ destroyOnReturn: false })) {
    text += (part as Buffer).toString('latin1');
    if (until.test(text)) break;
  }
  return { socket, text };
}

const connectHead = (password?: string) =>
  `CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n${password === undefined ? '' : `Proxy-Authorization: ${basic(password)}\r\n`}User-Agent: test\r\n\r\n`;

test('without its credential or with a wrong one a program gets 407 and nothing reaches the server', async () => {
  const stub = stubProxy();
  const forwarder = await forwarderTo(localCarrier(await listenPath(stub.server)));
  for (const head of [
    connectHead(),
    connectHead('wrong'),
    connectHead(runCredential),
    `GET http://x.example/ HTTP/1.1\r\nHost: x.example\r\n\r\n`,
  ]) {
    const { text } = await exchange(forwarder, head, /\r\n\r\n.*\}/s);
    expect(text).toMatch(/^HTTP\/1\.1 407 /);
    expect(text).toMatch(/Proxy-Authenticate: Basic realm=/i);
    expect(text).toContain('"source":"gatehouse"');
  }
  expect(stub.heads).toEqual([]);
});

test('CONNECT swaps the credential, keeps the rest of the head and moves bytes untouched both ways', async () => {
  const stub = stubProxy();
  const forwarder = await forwarderTo(localCarrier(await listenPath(stub.server)));
  const { socket, text } = await exchange(forwarder, `${connectHead(child)}early`, /early$/);
  expect(text).toMatch(/^HTTP\/1\.1 200 Connection Established\r\n\r\nearly$/);
  expect(stub.heads[0]).toMatchObject({
    url: 'api.example.com:443',
    headers: { 'proxy-authorization': basic(runCredential), 'user-agent': 'test' },
  });
  expect(JSON.stringify(stub.heads)).not.toContain(basic(child));
  const sent = randomBytes(3_000_000);
  socket.end(sent);
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  expect(Buffer.concat(parts).equals(sent)).toBe(true);
});

test('each absolute-form request has its credential swapped; origin form is refused', async () => {
  const stub = stubProxy();
  const forwarder = await forwarderTo(localCarrier(await listenPath(stub.server)));
  const answer = await new Promise<{ status: number; body: string }>((resolve, reject) => {
    const request = httpRequest(
      {
        port: forwarder.port,
        method: 'POST',
        path: 'http://plain.example/a?b=%2F',
        headers: { host: 'plain.example', 'proxy-authorization': basic(child) },
      },
      (response) => {
        let body = '';
        response.on('data', (part) => (body += part));
        response.on('end', () => resolve({ status: response.statusCode as number, body }));
      },
    );
    request.on('error', reject);
    request.end('the body');
  });
  expect(answer).toEqual({ status: 200, body: 'the body' });
  expect(stub.heads[0]).toMatchObject({ url: 'http://plain.example/a?b=%2F', headers: { 'proxy-authorization': basic(runCredential) } });
  const { text } = await exchange(forwarder, `GET / HTTP/1.1\r\nHost: a\r\nProxy-Authorization: ${basic(child)}\r\n\r\n`, /\}/);
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
});

test('a refused run credential is renewed once and the tunnel tried again', async () => {
  let current = 'old';
  const stub = stubProxy(() => 'new');
  const renew = async () => {
    current = 'new';
    return true;
  };
  const forwarder = await forwarderTo(localCarrier(await listenPath(stub.server)), renew, () => current);
  const { text } = await exchange(forwarder, connectHead(child), /\r\n\r\n/);
  expect(text).toMatch(/^HTTP\/1\.1 200 /);
  expect(stub.heads).toHaveLength(2);
});

test('a server that restarts is waited for; one that stays away is told as 503', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'gatehouse-forwarder-')), 'proxy.sock');
  const forwarder = await forwarderTo(localCarrier(path, 1500));
  const waiting = exchange(forwarder, connectHead(child), /\r\n\r\n/);
  await sleep(300);
  const stub = stubProxy();
  await new Promise<void>((resolve) => stub.server.listen(path, resolve));
  expect((await waiting).text).toMatch(/^HTTP\/1\.1 200 /);
  const gone = await forwarderTo(localCarrier(`${path}.absent`, 200));
  expect((await exchange(gone, connectHead(child), /\}/)).text).toMatch(/^HTTP\/1\.1 503 /);
});

async function relayLine(stub: ReturnType<typeof stubProxy>) {
  const lines: Socket[] = [];
  const server = createServer((socket) => {
    lines.push(socket);
    socket.on('error', () => socket.destroy());
    muxServer(socket, stub.accept);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  const { port } = server.address() as { port: number };
  const dial = () =>
    new Promise<Duplex>((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1' });
      socket.once('connect', () => resolve(socket));
      socket.once('error', reject);
    });
  return { carrier: remoteCarrier(dial, 3000), lines };
}

test('over one shared line many tunnels work, and a cut line is made anew', async () => {
  const stub = stubProxy();
  const { carrier, lines } = await relayLine(stub);
  closers.push(() => carrier.close());
  const forwarder = await forwarderTo(carrier);
  const talk = async (word: string) => {
    const { socket, text } = await exchange(forwarder, connectHead(child) + word, new RegExp(`${word}$`));
    socket.end();
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
  };
  await Promise.all(Array.from({ length: 20 }, (_, i) => talk(`word-${i}`)));
  expect(lines).toHaveLength(1);
  lines[0]?.destroy();
  await talk('again');
  expect(lines).toHaveLength(2);
});

test('absolute-form requests pass the shared line too', async () => {
  const stub = stubProxy();
  const { carrier } = await relayLine(stub);
  closers.push(() => carrier.close());
  const forwarder = await forwarderTo(carrier);
  const { text } = await exchange(
    forwarder,
    `GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\nProxy-Authorization: ${basic(child)}\r\n\r\n`,
    /0\r\n\r\n/,
  );
  expect(text).toMatch(/^HTTP\/1\.1 200 /);
});

test('a program that leaves ends its tunnel at the server', async () => {
  let ended = false;
  const stub = stubProxy();
  stub.server.on('connect', (_request, socket: Duplex) => socket.once('close', () => (ended = true)));
  const forwarder = await forwarderTo(localCarrier(await listenPath(stub.server)));
  const { socket } = await exchange(forwarder, connectHead(child), /\r\n\r\n/);
  socket.resetAndDestroy();
  await expect.poll(() => ended).toBe(true);
});
