import { beforeAll, describe, expect, test, vi } from 'vitest';
import type { Reach } from '#api';
import { canary, type Gateway, openGateway, service, startApi } from '../support/gateway.ts';
import type { Upstream } from '../support/upstream.ts';

let api: Upstream;
let target: string;
beforeAll(async () => {
  api = await startApi();
  target = `api.test:${api.port}`;
});

const operations = [
  { id: 'item.read', title: 'Read', classes: ['read'], match: [{ methods: ['GET'], path: '/item' }] },
  { id: 'sse.read', title: 'Follow', classes: ['read'], match: [{ methods: ['GET'], path: '/sse/*/*' }] },
  { id: 'item.write', title: 'Write', classes: ['write'], match: [{ methods: ['POST'], path: '/item' }] },
  { id: 'keys.make', title: 'Make a key', classes: ['mint-credential'], match: [{ methods: ['POST'], path: '/keys' }] },
];
const reach = (more: Partial<Reach>): Reach => ({ classes: [], operations: [], patterns: [], everything: false, ...more });

async function permitting(given: Partial<Reach> | undefined, options: Parameters<typeof openGateway>[0] = { ports: [api.port] }) {
  const gateway = await openGateway(options);
  await gateway.register(service('custom', [{ host: 'api.test', port: api.port }], { operations }));
  const connection = await gateway.connectKey('custom', { api_key: canary });
  const permission = given && (await gateway.permit(connection, { reach: reach(given) }));
  await gateway.again();
  return { ...gateway, connection, permission };
}

/** Sends one request in an open tunnel and waits for the status of its answer. */
function asking({ send, until, take }: Awaited<ReturnType<Gateway['open']>>) {
  return async (line = 'GET /item', body = ''): Promise<number> => {
    take();
    send(`${line} HTTP/1.1\r\nHost: ${target}\r\n${body === '' ? '' : `Content-Length: ${body.length}\r\n`}\r\n${body}`);
    const text = await until('}');
    return Number(text.split(' ')[1]);
  };
}

test('a call that is not permitted is refused before its name is looked up or anything is dialled', async () => {
  const { ask, lookups } = await permitting(undefined);
  const sockets = api.sockets.size;
  for (const line of ['GET /item HTTP/1.1', 'POST /keys HTTP/1.1', 'GET /not/described HTTP/1.1']) {
    expect((await ask(target, line)).status).toBe(403);
  }
  expect(lookups).toEqual([]);
  expect(api.sockets.size).toBe(sockets);
});

test('a permission for a class covers the operations of that class, not what nobody described, nor what makes credentials', async () => {
  const { ask } = await permitting({ classes: ['read'] });
  expect((await ask(target, 'GET /item HTTP/1.1')).status).toBe(200);
  for (const line of [
    'POST /item HTTP/1.1',
    'POST /keys HTTP/1.1',
    'GET /other HTTP/1.1',
    'POST /graphql HTTP/1.1',
    'HEAD /item HTTP/1.1',
  ]) {
    expect((await ask(target, line)).status, line).toBe(403);
  }
});

test('a spelling that an upstream could read as another call is refused under a narrow permission', async () => {
  const { ask } = await permitting({ classes: ['read'] });
  const seen = api.seen.length;
  for (const request of [
    'GET /item/../keys HTTP/1.1',
    'GET /%69tem HTTP/1.1',
    'GET /item%2f..%2fkeys HTTP/1.1',
    'GET /item HTTP/1.1\r\nX-HTTP-Method-Override: POST',
    'GET /item?_method=POST HTTP/1.1',
    'GET //item HTTP/1.1',
  ]) {
    expect((await ask(target, request)).status, request).toBe(403);
  }
  expect(api.seen.length).toBe(seen);
});

const form = (type: string, body: string, more = '') =>
  [`POST /item HTTP/1.1\r\nContent-Type: ${type}\r\n${more}Content-Length: ${body.length}`, body] as const;
const parts = (name: string) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\nDELETE\r\n--b--\r\n`;

describe('a form under a permission narrower than the host', () => {
  const urlencoded = 'application/x-www-form-urlencoded';

  test('names no other method in its body: the upstream never has the whole of one that does', async () => {
    const { ask } = await permitting({ classes: ['write'] });
    const seen = api.seen.length;
    for (const [request, body] of [
      form(urlencoded, 'a=1&_method=DELETE'),
      form(`${urlencoded}; charset=utf-8`, '%5Fmethod=DELETE'),
      form('multipart/form-data; boundary=b', parts('_method')),
      form(urlencoded, 'cannot be read', 'Content-Encoding: gzip\r\n'),
      ['POST /item HTTP/1.1\r\nContent-Length: 16', '_method=DELETE&a'],
    ] as const) {
      const { status, json } = await ask(target, request, body);
      expect([status, json().code], request).toEqual([403, 'ambiguous_path']);
    }
    expect(api.seen.length).toBe(seen);
    for (const [request, body] of [form(urlencoded, 'a=1&payment_method=x'), form('multipart/form-data; boundary=b', parts('file'))]) {
      expect((await ask(target, request, body)).status, request).toBe(200);
    }
  });

  test('may say what it likes where the whole host is permitted', async () => {
    const { ask } = await permitting({ everything: true });
    const [request, body] = form(urlencoded, '_method=DELETE');
    expect((await ask(target, request, body)).status).toBe(200);
  });
});

test('GraphQL and batches, whose calls nobody reads, pass only where the whole host is permitted', async () => {
  const lines = ['POST /graphql', 'POST /api/GraphQL/', 'GET /graphql?query=x', 'POST /v1.0/$batch', 'POST /batch/v1', 'POST /v1/batch'];
  const patterns = [{ methods: [], path: '/**' }];
  const narrow = await permitting({ patterns });
  for (const line of lines) expect((await narrow.ask(target, `${line} HTTP/1.1`)).json(), line).toMatchObject({ code: 'ambiguous_path' });
  const mixed = 'POST /other HTTP/1.1\r\nContent-Type: multipart/mixed; boundary=b';
  expect((await narrow.ask(target, mixed)).json()).toMatchObject({ code: 'ambiguous_path' });
  for (const line of ['POST /graphs', 'GET /batches/1']) expect((await narrow.ask(target, `${line} HTTP/1.1`)).status, line).toBe(200);
  const whole = await permitting({ everything: true });
  for (const line of lines) expect((await whole.ask(target, `${line} HTTP/1.1`)).status, line).toBe(200);
});

describe('the next request in a tunnel that is already open', () => {
  test('follows a permission that is given and ended', async () => {
    const { open, permit, connection, policy, write, by } = await permitting(undefined);
    const request = asking(await open(target));
    expect(await request()).toBe(403);
    const { id } = await permit(connection);
    expect(await request()).toBe(200);
    await write((tx) => policy.end(tx, by, id));
    expect(await request()).toBe(403);
  });

  test('follows a rule that denies', async () => {
    const { open, permit, connection } = await permitting({ everything: true });
    const request = asking(await open(target));
    expect(await request('POST /item', 'x')).toBe(200);
    await permit(connection, { effect: 'deny', reach: reach({ classes: ['write'] }) });
    expect(await request('GET /item')).toBe(200);
    expect(await request('POST /item', 'x')).toBe(403);
  });

  test('carries no credential once the connection ended', async () => {
    const { open, connect, by, connection } = await permitting({ everything: true });
    const request = asking(await open(target));
    expect(await request()).toBe(200);
    await connect.disconnect(by, connection.id);
    const seen = api.seen.length;
    await request();
    for (const { headers } of api.seen.slice(seen)) expect(headers.authorization).toBeUndefined();
  });

  test('is refused once the agent is suspended or the run ended', async () => {
    for (const end of ['agent', 'run'] as const) {
      const { open, people, by, agent, broker, current } = await permitting({ everything: true });
      const tunnel = await open(target);
      const request = asking(tunnel);
      expect(await request()).toBe(200);
      if (end === 'agent') await people.identity.suspend(by, agent.id);
      else await broker.endRun(agent, current.started.run, 'ended');
      const seen = api.seen.length;
      expect(await request()).not.toBe(200);
      expect(api.seen.length).toBe(seen);
    }
  });
});

describe('a stream that is under way', () => {
  async function streaming() {
    const given = await permitting({ everything: true });
    const stream = await given.open(target);
    stream.send(`GET /sse/10000/20 HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    await stream.until('data:');
    return { ...given, stream, began: () => performance.now() };
  }

  async function cutWithin(milliseconds: number, stream: Awaited<ReturnType<Gateway['open']>>, act: () => Promise<unknown>) {
    await act();
    const acted = performance.now();
    await stream.ended();
    expect(performance.now() - acted).toBeLessThan(milliseconds);
  }

  test('is cut within a second of the end of its permission, and the trail says why', async () => {
    const { stream, write, policy, by, permission, people, run } = await streaming();
    await cutWithin(1_000, stream, () => write((tx) => policy.end(tx, by, permission?.id as never)));
    await people.audit.flush();
    const { events } = await people.audit.search(run.organization, { name: 'call.finished', limit: 1 });
    expect(events[0]?.fields).toMatchObject({ outcome: 'cut' });
  });

  test('is cut within a second of the suspension of its agent', async () => {
    const { stream, people, by, agent } = await streaming();
    await cutWithin(1_000, stream, () => people.identity.suspend(by, agent.id));
  });

  test('is cut within a second of the end of its connection', async () => {
    const { stream, connect, by, connection } = await streaming();
    await cutWithin(1_000, stream, () => connect.disconnect(by, connection.id));
  });
});

describe('a server that can no longer learn what was revoked', () => {
  test('refuses with 503 and Retry-After, cuts what is under way, injects nothing, and recovers by itself', async () => {
    const { open, people, knock } = await permitting({ everything: true });
    const request = asking(await open(target));
    expect(await request()).toBe(200);
    const stream = await open(target);
    stream.send(`GET /sse/10000/20 HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    await stream.until('data:');
    const seen = api.seen.length;
    // The store goes on polling, so what it knows has to grow old again and again.
    const ageing = setInterval(() => people.clock.advance(3_001), 10);
    await stream.ended();
    clearInterval(ageing);
    expect(api.seen.length).toBe(seen);
    people.clock.advance(3_001);
    const { answer } = await knock(target);
    expect(answer).toMatch(/^HTTP\/1\.1 503 /);
    expect(answer).toMatch(/Retry-After: \d/);
    await people.pass(0);
    await vi.waitFor(async () => expect((await knock(target)).answer).toMatch(/^HTTP\/1\.1 200 /));
    expect(await asking(await open(target))()).toBe(200);
  });
});
