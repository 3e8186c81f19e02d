import { randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { Duplex, PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { isFault } from '#kernel';
import { type MuxClient, type MuxOptions, muxClient, muxServer } from '#net';
import { frameHead, frameKinds } from './mux-frames.ts';

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

test('what came whole is still read after its sender, or the line, is gone', async () => {
  const { client, near } = await line((stream) => {
    stream.end(randomBytes(50_000));
    stream.once('finish', () => stream.destroy());
  });
  const early = await client.open();
  await sleep(50);
  expect((await collect(early)).length).toBe(50_000);
  const late = await client.open();
  await sleep(50);
  near.destroy();
  await client.ended;
  expect((await collect(late)).length).toBe(50_000);
});

test('what was cut in the middle is not taken for whole', async () => {
  const { client } = await line((stream) => {
    stream.write(randomBytes(50_000));
    setTimeout(() => stream.destroy(), 20);
  });
  await expect(collect(await client.open())).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
});

test('a line that breaks under full streams, in both directions, ends them and no process', async () => {
  for (let round = 0; round < 20; round++) {
    const served: Duplex[] = [];
    const { client, near } = await line((stream) => served.push(stream.pipe(stream)));
    const streams = await Promise.all([1, 2, 3, 4].map(() => client.open()));
    for (const stream of streams) {
      const pump = () => {
        while (!stream.destroyed && stream.write(Buffer.alloc(30_000)));
      };
      stream.resume().on('drain', pump);
      pump();
    }
    await sleep(round);
    if (round % 2 === 0) near.resetAndDestroy();
    else near.destroy();
    await client.ended;
    await Promise.all([...streams, ...served].map((stream) => stream.closed || new Promise((resolve) => stream.once('close', resolve))));
  }
});

test('a hundred megabytes pass quickly once the window has grown', async () => {
  const { client } = await line(echo);
  const stream = await client.open();
  let heard = 0;
  const all = new Promise<void>((resolve) => {
    stream.on('data', (part: Buffer) => {
      heard += part.length;
      if (heard === 100_000_000) resolve();
    });
  });
  for (let sent = 0; sent < 100_000_000; sent += 1_000_000)
    if (!stream.write(Buffer.alloc(1_000_000))) await new Promise((resolve) => stream.once('drain', resolve));
  await all;
});

/** The accepting side, spoken to in bytes; resolves when it hangs up, or with `stays` when it does not. */
async function spoken(...frames: readonly Buffer[]): Promise<'cut' | 'stays'> {
  const { near } = await rawLine();
  const cut = new Promise<'cut'>((resolve) => near.once('close', () => resolve('cut')));
  near.write(Buffer.concat(frames));
  return Promise.race([cut, sleep(150).then(() => 'stays' as const)]).finally(() => near.destroy());
}

async function rawLine(): Promise<{ near: Socket }> {
  const server = createServer((socket) => void muxServer(socket, (stream) => stream.pause()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const near = connect((server.address() as { port: number }).port, '127.0.0.1');
  near.resume().on('error', () => near.destroy());
  open.push(server);
  return { near };
}

test('a peer that does not keep to the protocol is hung up on', async () => {
  const frame = (kind: number, stream: number, payload: Buffer = Buffer.alloc(0)) =>
    Buffer.concat([frameHead(kind as 1, stream, payload.length), payload]);
  const { open: opened, data, credit, accept, reset } = frameKinds;
  const block = frame(data, 1, Buffer.alloc(65_536));
  const cases: readonly (readonly [string, 'cut' | 'stays', ...Buffer[]])[] = [
    ['a stream within its window', 'stays', frame(opened, 1), block],
    ['more than its window', 'cut', frame(opened, 1), block, frame(data, 1, Buffer.alloc(1))],
    ['data of a stream that ended', 'stays', frame(opened, 1), frame(reset, 1), block],
    ['data of a stream that never was', 'cut', frame(data, 1, Buffer.alloc(1))],
    ['a number that was left out', 'cut', frame(opened, 2)],
    ['a number twice', 'cut', frame(opened, 1), frame(opened, 1)],
    ['an unknown kind', 'cut', frame(99, 1)],
    ['a payload that is too long', 'cut', frameHead(data, 1, 65_537)],
    ['credit without a number', 'cut', frame(opened, 1), frame(credit, 1)],
    ['an answer to nothing', 'stays', frame(opened, 1), frame(accept, 1)],
    ['another protocol', 'cut', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
  ];
  for (const [name, outcome, ...frames] of cases) expect([name, await spoken(...frames)]).toEqual([name, outcome]);
});
