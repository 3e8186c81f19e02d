import { randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { Duplex, PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { isFault } from '#kernel';
import { type MuxClient, type MuxOptions, muxClient, muxServer } from '#net';

const open: { close(): void }[] = [];
afterEach(() => {
  for (const part of open.splice(0)) part.close();
});

async function line(onStream: (stream: Duplex) => void, options?: MuxOptions): Promise<{ client: MuxClient; near: Socket }> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    muxServer(socket, onStream, options);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const near = connect((server.address() as { port: number }).port, '127.0.0.1');
  near.on('error', () => near.destroy());
  const client = muxClient(near, options);
  open.push(client, server);
  return { client, near };
}

async function collect(stream: Duplex): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

const echo = (stream: Duplex) => void stream.pipe(stream);

test('many streams on one line each give back their own bytes', async () => {
  const { client } = await line(echo);
  const sizes = Array.from({ length: 60 }, (_, i) => i * 3001);
  await Promise.all(
    sizes.map(async (size) => {
      const sent = randomBytes(size);
      const stream = await client.open();
      stream.end(sent);
      expect((await collect(stream)).equals(sent)).toBe(true);
    }),
  );
});

test('a half-closed stream still answers', async () => {
  const { client } = await line((stream) => {
    stream.on('end', () => stream.end('goodbye'));
    stream.resume();
  });
  const stream = await client.open();
  stream.end('hello');
  expect((await collect(stream)).toString()).toBe('goodbye');
});

test('a reader that stops holds back its own stream and no other', async () => {
  const { client } = await line(echo);
  const stalled = await client.open();
  let taken = 0;
  const flood = setInterval(() => {
    while (taken < 64 * 1024 * 1024 && stalled.write(randomBytes(65536))) taken += 65536;
  }, 5);
  await sleep(300);
  clearInterval(flood);
  expect(taken).toBeLessThan(48 * 1024 * 1024);
  const other = await client.open();
  other.end('through');
  expect((await collect(other)).toString()).toBe('through');
});

test('a line that is cut ends its streams, says so, and opens no more', async () => {
  const { client, near } = await line(echo);
  const stream = await client.open();
  const closed = new Promise((resolve) => stream.once('close', resolve));
  near.destroy();
  await closed;
  await client.ended;
  await expect(client.open()).rejects.toSatisfy((error) => isFault(error, 'server_unreachable'));
});

test('a line whose other end no longer answers is cut', async () => {
  const [near, far] = [new PassThrough(), new PassThrough()];
  const client = muxClient(Duplex.from({ readable: far, writable: near }), { heartbeat: 40 });
  open.push(client);
  const opening = client.open().catch((error: unknown) => error);
  await client.ended;
  expect(isFault(await opening, 'server_unreachable')).toBe(true);
});
