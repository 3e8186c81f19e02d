import type { ServerResponse } from 'node:http';
import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { rawUpstream } from '../../src/proxy/testing/raw.ts';
import { canary, type Gateway, openGateway, service, startApi } from '../support/gateway.ts';
import type { Upstream } from '../support/upstream.ts';

let api: Upstream;
let target: string;
let held: ServerResponse;

beforeAll(async () => {
  api = await startApi({
    held: (_, response) => {
      held = response;
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n');
    },
  });
  target = `api.test:${api.port}`;
});

async function connected(limits: NonNullable<Parameters<typeof openGateway>[0]['limits']> = {}): Promise<Gateway> {
  const gateway = await openGateway({ ports: [api.port], limits });
  await gateway.add(service('custom', [{ host: 'api.test', port: api.port }]));
  return gateway;
}

/** Time passes as it does for a server that is well: it learns again and again what ended, and runs are renewed. */
async function live({ people, broker, agent, current }: Gateway, milliseconds: number): Promise<void> {
  const step = 2_500;
  for (let passed = 0; passed < milliseconds; passed += step) {
    await people.pass(step);
    if (passed % 120_000 === 0) await broker.renewRun(agent, current.started.run);
  }
}

describe('an event stream', () => {
  let gateway: Gateway;
  beforeEach(async () => {
    gateway = await connected({ streamIdle: 60_000 });
  });
  const follow = async () => {
    const stream = await gateway.open(target);
    stream.send(`GET /held HTTP/1.1\r\nHost: ${target}\r\nAccept: text/event-stream\r\n\r\n`);
    await stream.until('first');
    return stream;
  };

  test('outlives half an hour, as long as something comes now and then', { timeout: 30_000 }, async () => {
    const stream = await follow();
    for (let minutes = 0; minutes < 32; minutes += 0.5) {
      await live(gateway, 30_000);
      held.write(`data: ${minutes}m\n\n`);
      expect(await stream.until(`${minutes}m`)).toContain(`data: ${minutes}m`);
      stream.take();
    }
    held.end();
    expect(await stream.until('0\r\n\r\n')).toContain('0\r\n\r\n');
  });

  test('on which nothing comes for the idle time is cut, and the trail says so', async () => {
    const stream = await follow();
    await live(gateway, 50_000);
    expect(stream.socket.destroyed).toBe(false);
    await live(gateway, 15_000);
    await stream.ended();
    await vi.waitFor(async () => {
      await gateway.people.audit.flush();
      const { events } = await gateway.people.audit.search(gateway.run.organization, { name: 'call.finished', limit: 1 });
      expect(events[0]?.fields).toMatchObject({ outcome: 'upstream_failed', code: 'upstream_timeout' });
    });
  });
});

test('an upload is taken no faster than the upstream reads it', async () => {
  const upstream = await rawUpstream((peer) => peer.socket.pause());
  const gateway = await openGateway({
    ports: [upstream.port],
    net: { extraAuthorities: { 'api.test': [upstream.authority.pem] } },
  });
  await gateway.add(service('custom', [{ host: 'api.test', port: upstream.port }]));
  const { socket, send } = await gateway.open(`api.test:${upstream.port}`);
  const total = 60_000_000;
  send(`POST /x HTTP/1.1\r\nHost: api.test:${upstream.port}\r\nContent-Length: ${total}\r\n\r\n`);
  const part = Buffer.alloc(1_000_000, 'x');
  for (let sent = 0; sent < total; sent += part.length) socket.write(part);
  await new Promise((resolve) => setTimeout(resolve, 400));
  // What left the client sits in socket buffers of the system and of the proxy: a few megabytes, not the whole body.
  expect(socket.writableLength).toBeGreaterThan(total / 2);
  const { external, arrayBuffers } = process.memoryUsage();
  expect(external + arrayBuffers).toBeLessThan(250_000_000);
  socket.destroy();
  await upstream.close();
});

describe('a WebSocket', () => {
  async function opened(gateway: Gateway) {
    const secured = await gateway.openSocket(target);
    const socket = new WebSocket(`wss://${target}/ws`, { createConnection: () => secured } as never);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return socket;
  }

  test('carries the credential, is on record, and is cut when its permission ends', async () => {
    const gateway = await connected();
    const socket = await opened(gateway);
    expect(api.seen.at(-1)?.headers.authorization).toBe(`Bearer ${canary}`);
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    const { policy, by, write, people, run } = gateway;
    const { items } = await policy.list(by.organization, { limit: 10 });
    for (const { id } of items) await write((tx) => policy.end(tx, by, id));
    expect(await closed).toBe(1006);
    await people.audit.flush();
    const { events } = await people.audit.search(run.organization, { name: 'call.finished', limit: 1 });
    expect(events[0]?.fields).toMatchObject({ outcome: 'cut', status: 101 });
  });

  test('is never compressed where a credential went in, so that answers can be searched; frames, pings and close codes pass', async () => {
    const socket = await opened(await connected());
    expect([socket.extensions, api.seen.at(-1)?.headers['sec-websocket-extensions']]).toEqual(['', undefined]);
    const heard = (event: string) => new Promise<unknown[]>((resolve) => socket.once(event, (...told) => resolve(told)));
    for (const [sent, binary] of [['words', false] as const, [Buffer.alloc(70_000, 7), true] as const]) {
      const echoed = heard('message');
      socket.send(sent);
      expect(await echoed).toEqual([Buffer.from(sent), binary]);
    }
    const pong = heard('pong');
    socket.ping('are you there');
    expect(String((await pong)[0])).toBe('are you there');
    const closed = heard('close');
    socket.close(4001, 'done here');
    expect([await closed].map(([code, reason]) => [code, String(reason)])).toEqual([[4001, 'done here']]);
  });

  test('counts against the limit of connections for as long as it is open', async () => {
    const gateway = await connected({ connections: 2 });
    const first = await opened(gateway);
    const second = await opened(gateway);
    const third = await gateway.plain();
    expect(await third.ended()).toBe('');
    first.terminate();
    await vi.waitFor(async () => {
      const { answer, socket } = await gateway.knock(target);
      expect(answer).toContain(' 200 ');
      socket.destroy();
    });
    second.terminate();
  });

  test('an Upgrade to anything else is not passed on, and answered as plain HTTP', async () => {
    const { ask } = await connected();
    for (const protocol of ['h2c', 'TLS/1.0', 'websocket, h2c', 'foo']) {
      const { status } = await ask(target, `GET /echo HTTP/1.1\r\nUpgrade: ${protocol}\r\nConnection: Upgrade`);
      expect(status).toBe(200);
      expect(api.seen.at(-1)?.headers.upgrade).toBeUndefined();
    }
  });
});
