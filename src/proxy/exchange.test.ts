import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Call } from '#broker';
import { Fault, Secret, systemClock } from '#kernel';
import { testAuthority } from '../../test/support/certificates.ts';
import { count } from '../../test/support/need.ts';
import { startUpstream, type Upstream } from '../../test/support/upstream.ts';
import { bearer, credential, dataPlane, eventually, type Harness, tunnel, tunnelSocket } from './testing/harness.ts';
import { rawUpstream } from './testing/raw.ts';

const secret = new Secret('sk-canary-0123456789abcdef');
const authority = testAuthority('test');
let api: Upstream;
let harness: Harness;
let host: string;

const encoders = { gzip: gzipSync, br: brotliCompressSync, zstd: zstdCompressSync, deflate: deflateSync, raw: deflateRawSync };

beforeAll(async () => {
  api = await startUpstream(authority.issue('api.test'), {
    encoded: (request, response) => {
      const how = (request.url?.split('/')[2] ?? 'gzip') as keyof typeof encoders;
      const body = encoders[how](Buffer.from(`secret: ${request.headers.authorization}; end`));
      response.writeHead(200, { 'content-encoding': how === 'raw' ? 'deflate' : how, 'content-length': body.length }).end(body);
    },
    odd: (_, response) => response.writeHead(200, { 'content-encoding': 'compress' }).end('???'),
    split: (request, response) => {
      const text = `a ${request.headers.authorization} z`;
      response.writeHead(200, { 'x-echo': `<${request.headers.authorization}>` });
      for (const [i, character] of [...text].entries()) {
        setTimeout(() => (i === text.length - 1 ? response.end(character) : response.write(character)), i);
      }
    },
    headers: (_, response) =>
      response
        .writeHead(200, {
          'alt-svc': 'h3=":443"',
          connection: 'x-hop',
          'x-hop': '1',
          'gatehouse-refusal': 'forged',
          'proxy-authenticate': 'Basic',
          'set-cookie': ['a=1', 'b=2'],
          'content-length': 2,
        })
        .end('ok'),
    trailers: (_, response) => {
      response.writeHead(200, { trailer: 'x-sum' });
      response.write('body');
      response.addTrailers({ 'x-sum': '1' });
      response.end();
    },
    nothing: () => {},
  });
  harness = await dataPlane([api.port], authority, { limits: { firstByteTimeout: 600, streamIdle: 1_000, drainTimeout: 300 } });
  host = `Host: api.test:${api.port}\r\n`;
  harness.broker.decideWith = (call) => bearer(call, secret);
});
afterEach(() => {
  harness.broker.decideWith = (call) => bearer(call, secret);
  harness.broker.renewWith = () => Promise.resolve(undefined);
  harness.broker.rejudgeWith = () => Promise.reject(new Fault('stale_revocations'));
});
afterAll(async () => {
  await harness.close();
  await api.close();
});

const open = () => tunnel(harness, `api.test:${api.port}`);
const lastReport = () => harness.broker.reports.at(-1);

/** One request in a tunnel of its own that the client asks to close. */
async function once(text: string): Promise<string> {
  const { send, ended } = await open();
  send(text.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
  return ended();
}

describe('a call in an intercepted tunnel', () => {
  test('arrives with the credential once, whatever the client sent in its slots, and it does not come back', async () => {
    const answer = await once(
      `GET /echo HTTP/1.1\r\n${host}AUTHORIZATION: Bearer x\r\nAuthorization: y\r\nX-Api-Key: z\r\nCookie: s=1\r\n\r\n`,
    );
    expect(answer).toContain('HTTP/1.1 200 OK');
    const { headers, rawHeaders } = api.seen.at(-1) as NonNullable<(typeof api.seen)[number]>;
    expect(headers.authorization).toBe(`Bearer ${secret.reveal()}`);
    expect(rawHeaders.filter((name) => /^(authorization|x-api-key|cookie)$/i.test(name))).toHaveLength(1);
    expect(answer).not.toContain(secret.reveal());
    expect(answer).toContain(`Bearer ${'*'.repeat(secret.reveal().length)}`);
    expect(lastReport()).toMatchObject({ status: 200, outcome: 'answered', scrubbed: 1, sent: 0 });
  });

  test('is reported with its steps in order, on the monotonic clock', async () => {
    const before = systemClock.monotonic();
    await once(`GET /echo HTTP/1.1\r\n${host}\r\n`);
    const steps = lastReport()?.steps ?? [];
    expect(steps.map(({ step }) => step).filter((step) => step !== 'dialled')).toEqual(['injected', 'recorded', 'answered', 'finished']);
    for (const { ms } of steps) expect(ms).toBeGreaterThan(before);
    expect(steps.map(({ ms }) => ms)).toEqual(steps.map(({ ms }) => ms).sort((a, b) => a - b));
  });

  test('percent-encoded characters of the path and the query survive untouched', async () => {
    await once(`GET /echo/a%2Fb%20c/%e2%82%ac;x=(1)?q=%26&p=a+b&&r=%zz HTTP/1.1\r\n${host}\r\n`);
    expect(api.seen.at(-1)?.url).toBe('/echo/a%2Fb%20c/%e2%82%ac;x=(1)?q=%26&p=a+b&&r=%zz');
  });

  test('whose Host, port or TLS name is another is 421 and not forwarded', async () => {
    const seen = api.seen.length;
    for (const name of ['other.test', 'api.test', `api.test:${api.port + 1}`, `api.test.:1`]) {
      expect(await once(`GET /echo HTTP/1.1\r\nHost: ${name}\r\n\r\n`)).toContain('HTTP/1.1 421 ');
    }
    expect(await once(`GET https://other.test/echo HTTP/1.1\r\nHost: other.test\r\n\r\n`)).toContain('HTTP/1.1 421 ');
    const misnamed = await tunnel(harness, `api.test:${api.port}`, 'other.test');
    misnamed.send(`GET /echo HTTP/1.1\r\n${host}\r\n`);
    expect(await misnamed.ended()).toContain('host_mismatch');
    expect(api.seen.length).toBe(seen);
  });

  test('is refused with a problem document that says what to do, and the tunnel goes on', async () => {
    harness.broker.decideWith = () => ({
      kind: 'need',
      what: 'connection',
      code: 'connection_needed',
      hint: 'gatehouse login acme',
      url: 'https://gatehouse.test/c/1',
    });
    const { send, until, take, socket } = await open();
    send(`GET /echo HTTP/1.1\r\n${host}\r\n`);
    const answer = await until('gatehouse"}');
    expect(answer).toContain('HTTP/1.1 403 Forbidden');
    expect(answer).toContain('application/problem+json');
    expect(JSON.parse(answer.slice(answer.indexOf('{')))).toMatchObject({
      code: 'connection_needed',
      hint: 'gatehouse login acme',
      url: 'https://gatehouse.test/c/1',
      source: 'gatehouse',
    });
    take();
    harness.broker.decideWith = (call) => bearer(call, secret);
    send(`GET /echo HTTP/1.1\r\n${host}\r\n`);
    expect(await until('"body"')).toContain('200 OK');
    socket.destroy();
  });

  test('is checked again on every request of an open tunnel', async () => {
    const { send, until, take, socket } = await open();
    send(`GET /echo HTTP/1.1\r\n${host}\r\n`);
    await until('"body"');
    take();
    const before = harness.broker.authenticateWith;
    harness.broker.authenticateWith = () => {
      throw new Fault('agent_not_active');
    };
    send(`GET /echo HTTP/1.1\r\n${host}\r\n`);
    expect(await until('gatehouse"}')).toContain('agent_not_active');
    harness.broker.authenticateWith = before;
    socket.destroy();
  });

  test('that is denied touches neither resolver nor upstream', async () => {
    harness.broker.decideWith = () => ({ kind: 'deny', code: 'policy_denied' });
    const sockets = api.sockets.size;
    expect(await once(`GET /echo HTTP/1.1\r\n${host}\r\n`)).toContain('policy_denied');
    expect(api.sockets.size).toBe(sockets);
  });

  test('whose record cannot be made does not leave', async () => {
    const seen = api.seen.length;
    harness.broker.decideWith = (call) => bearer(call, secret, { recorded: Promise.reject(new Fault('audit_unavailable')) });
    expect(await once(`GET /echo HTTP/1.1\r\n${host}\r\n`)).toContain('HTTP/1.1 503 ');
    expect(api.seen.length).toBe(seen);
    expect(lastReport()).toMatchObject({ outcome: 'refused', code: 'audit_unavailable', status: 0 });
  });

  test('leaves only once its record is durable', async () => {
    const seen = api.seen.length;
    let record: () => void = () => {};
    harness.broker.decideWith = (call) => bearer(call, secret, { recorded: new Promise((resolve) => (record = resolve)) });
    const answer = once(`GET /echo HTTP/1.1\r\n${host}\r\n`);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(api.seen.length).toBe(seen);
    record();
    expect(await answer).toContain('200 OK');
  });

  test('whose upstream cannot be reached before its record is durable is answered like any other, and the process goes on', async () => {
    const lost: unknown[] = [];
    const note = (error: unknown) => void lost.push(error);
    process.on('unhandledRejection', note);
    const own = await dataPlane([], authority);
    own.broker.decideWith = (call) => bearer(call, secret, { recorded: new Promise((resolve) => setTimeout(resolve, 100)) });
    const { send, until } = await tunnel(own, 'api.test:443');
    send('GET / HTTP/1.1\r\nHost: api.test:443\r\n\r\n');
    expect(await until('gatehouse"}')).toContain('address_refused');
    process.off('unhandledRejection', note);
    expect(lost).toEqual([]);
    await own.close();
  });

  test('whose decision is no longer fresh does not leave', async () => {
    harness.broker.decideWith = (call) => bearer(call, secret, { until: systemClock.monotonic() - 1 });
    expect(await once(`GET /echo HTTP/1.1\r\n${host}\r\n`)).toContain('stale_revocations');
  });

  test('that reached its upstream later than its decision holds is judged again, and then leaves, once', async () => {
    const other = new Secret('another-credential-0123456789');
    const past = () => systemClock.monotonic() - 1;
    harness.broker.decideWith = (call) => bearer(call, secret, { until: past() });
    harness.broker.rejudgeWith = async (verdict) => bearer(harness.broker.calls.at(-1) as Call, other, { recorded: verdict.recorded });
    const seen = api.seen.length;
    const answer = await once(`POST /echo HTTP/1.1\r\n${host}Content-Length: 2\r\n\r\n{}`);
    expect(answer).toContain('HTTP/1.1 200 OK');
    expect(answer).not.toContain(other.reveal());
    expect(api.seen.slice(seen).map(({ headers, body }) => [headers.authorization, body])).toEqual([[`Bearer ${other.reveal()}`, '{}']]);
    harness.broker.rejudgeWith = async (verdict) => ({ ...verdict, until: past() });
    expect(await once(`GET /echo HTTP/1.1\r\n${host}\r\n`)).toContain('upstream_timeout');
    expect(api.seen).toHaveLength(seen + 1);
  });

  test('with TRACE is refused', async () => {
    expect(await once(`TRACE / HTTP/1.1\r\n${host}\r\n`)).toContain('method_refused');
  });

  test('with a run credential in its target is refused', async () => {
    expect(await once(`GET /echo?t=${credential} HTTP/1.1\r\n${host}\r\n`)).toContain('placeholder_misplaced');
  });

  test('that is not strictly framed is 400 and the tunnel closed', async () => {
    const { send, ended } = await open();
    send(`POST /echo HTTP/1.1\r\n${host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`);
    expect(await ended()).toContain('bad_framing');
  });

  test('whose chunks break in the middle is cut, and reported', async () => {
    const { send, ended } = await open();
    send(`POST /echo HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n`);
    expect(await ended()).toContain('bad_framing');
    expect(lastReport()).toMatchObject({ outcome: 'refused', code: 'bad_framing' });
  });

  test('pipelined behind another is answered after it', async () => {
    const { send, until, socket } = await open();
    send(
      `GET /status/201 HTTP/1.1\r\n${host}\r\nPOST /status/202 HTTP/1.1\r\n${host}Content-Length: 3\r\n\r\nabcGET /status/203 HTTP/1.1\r\n${host}\r\n`,
    );
    const answer = await until('203 ');
    expect(answer.indexOf('201 ')).toBeLessThan(answer.indexOf('202 '));
    socket.destroy();
  });
});

describe('an answer', () => {
  for (const how of Object.keys(encoders)) {
    test(`in ${how} is decoded and scrubbed`, async () => {
      const answer = await once(`GET /encoded/${how} HTTP/1.1\r\n${host}Accept-Encoding: gzip\r\n\r\n`);
      expect(api.seen.at(-1)?.headers['accept-encoding']).toBe('identity');
      expect(answer).toContain(`secret: Bearer ${'*'.repeat(26)}; end`);
      expect(answer.toLowerCase()).not.toContain('content-encoding');
    });
  }

  test('in an encoding that cannot be scrubbed is refused', async () => {
    expect(await once(`GET /odd HTTP/1.1\r\n${host}\r\n`)).toContain('encoding_refused');
    expect(lastReport()).toMatchObject({ outcome: 'upstream_failed', code: 'encoding_refused' });
  });

  test('that splits the secret over many chunks, or puts it in a header, does not leak it', async () => {
    const answer = await once(`GET /split HTTP/1.1\r\n${host}Range: bytes=0-3\r\n\r\n`);
    expect(api.seen.at(-1)?.headers.range).toBeUndefined();
    const body = answer.slice(answer.indexOf('\r\n\r\n')).replace(/[0-9a-f]+\r\n|\r\n/g, '');
    expect(body).toContain('*'.repeat(26));
    expect(answer).toContain(`x-echo: <Bearer ${'*'.repeat(26)}>`);
    expect(lastReport()?.scrubbed).toBe(2);
  });

  test('loses hop-by-hop fields, Alt-Svc and forged marks of ours, and keeps every cookie', async () => {
    const answer = await once(`GET /headers HTTP/1.1\r\n${host}\r\n`);
    expect(answer).not.toMatch(/alt-svc|x-hop|forged|proxy-authenticate/i);
    expect(answer).toContain('set-cookie: a=1\r\nset-cookie: b=2');
  });

  test('keeps its trailers', async () => {
    expect(await once(`GET /trailers HTTP/1.1\r\n${host}TE: trailers\r\n\r\n`)).toContain('4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n');
  });

  test('to HEAD, and one of 204 or 304, has no body, and the tunnel goes on', async () => {
    const { send, until, take, socket } = await open();
    for (const line of ['HEAD /bytes/1000', 'GET /status/204', 'GET /status/304']) {
      send(`${line} HTTP/1.1\r\n${host}\r\n`);
      const answer = await until('\r\n\r\n');
      expect(answer.slice(answer.indexOf('\r\n\r\n'))).toBe('\r\n\r\n');
      take();
    }
    send(`GET /echo HTTP/1.1\r\n${host}\r\n`);
    expect(await until('"body"')).toContain('200 OK');
    socket.destroy();
  });

  test('that never comes is 504 in bounded time', async () => {
    expect(await once(`GET /nothing HTTP/1.1\r\n${host}\r\n`)).toContain('HTTP/1.1 504 ');
    expect(lastReport()).toMatchObject({ outcome: 'upstream_failed', code: 'upstream_timeout' });
  });
});

describe('streaming', () => {
  test('an event arrives within 10 ms of being written, unbuffered', async () => {
    const { until, send, socket } = await open();
    send(`GET /sse/5/60 HTTP/1.1\r\n${host}\r\n`);
    const late: number[] = [];
    for (let n = 0; n < 5; n++) {
      const text = await until(`"n":${n},`);
      late.push(Date.now() - Number(text.match(new RegExp(`"n":${n},"at":([0-9]+)`))?.[1]));
    }
    expect(late.sort((a, b) => a - b)[2]).toBeLessThanOrEqual(10);
    socket.destroy();
  });

  test('a client that goes closes the upstream within a second', async () => {
    const { until, send, socket } = await open();
    const before = api.sockets.size;
    send(`GET /sse/1000/20 HTTP/1.1\r\n${host}\r\n`);
    await until('data:');
    const during = api.sockets.size;
    socket.destroy();
    await eventually(() => api.sockets.size < Math.max(during, before), 1_000);
    await eventually(() => lastReport()?.outcome === 'client_gone', 1_000);
  });

  test('an upload and a download keep memory flat under back-pressure', async () => {
    const megabytes = count(30, 1_000);
    const { until, send, socket } = await open();
    send(`GET /bytes/${megabytes * 1_000_000} HTTP/1.1\r\n${host}\r\n`);
    await until('\r\n\r\n');
    socket.removeAllListeners('data');
    socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 200));
    const held = process.memoryUsage();
    expect(held.arrayBuffers + held.external).toBeLessThan(120_000_000);
    socket.destroy();
    const upload = await open();
    const part = 'y'.repeat(1_000_000);
    upload.send(`POST /digest HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`);
    for (let n = 0; n < 8; n++) upload.send(`${part.length.toString(16)}\r\n${part}\r\n`);
    upload.send('0\r\n\r\n');
    expect(await upload.until('sha256')).toContain('"bytes":8000000');
    upload.socket.destroy();
  });

  test('a run that ends cuts its streams at once', async () => {
    const { until, send, ended } = await open();
    send(`GET /sse/1000/20 HTTP/1.1\r\n${host}\r\n`);
    await until('data:');
    const started = performance.now();
    harness.broker.cut('run_ended');
    await ended();
    expect(performance.now() - started).toBeLessThan(500);
    expect(lastReport()).toMatchObject({ outcome: 'cut', code: 'run_ended' });
  });

  test('a WebSocket arrives with the credential; messages, pings and close codes pass, and the secret does not come back', async () => {
    const secured = await tunnelSocket(harness, `api.test:${api.port}`);
    const socket = new WebSocket(`wss://api.test:${api.port}/ws`, {
      createConnection: () => secured,
      headers: { authorization: 'x' },
    } as never);
    const messages: string[] = [];
    socket.on('message', (data) => messages.push(String(data)));
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    expect(api.seen.at(-1)).toMatchObject({ method: 'WEBSOCKET', headers: { authorization: `Bearer ${secret.reveal()}` } });
    expect(socket.extensions).toBe('');
    socket.send('hello s');
    socket.send(`it was ${secret.reveal()}`);
    socket.ping();
    await new Promise((resolve) => socket.once('pong', resolve));
    await eventually(() => messages.length === 2);
    expect(messages).toEqual(['hello s', `it was ${'*'.repeat(26)}`]);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.close(4001, 'enough');
    expect(await closed).toBe(4001);
    await eventually(() => lastReport()?.status === 101);
    expect(lastReport()).toMatchObject({ outcome: 'answered', scrubbed: 1 });
  });
});

describe('a credential refused with 401', () => {
  const fresh = new Secret('sk-fresh-0123456789abcdef');

  test('is renewed once and the call repeated, when that is safe', async () => {
    harness.broker.decideWith = (call) => bearer(call, secret, { refreshable: true });
    let renewals = 0;
    harness.broker.renewWith = async (verdict) => {
      renewals++;
      return bearer({ ...verdict, request: verdict.exchange } as never, fresh, { run: verdict.run, exchange: verdict.exchange });
    };
    const reports = harness.broker.reports.length;
    const answer = await once(`PUT /status/401 HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello`);
    expect(answer).toContain('HTTP/1.1 401 ');
    expect(renewals).toBe(1);
    expect(api.seen.slice(-2).map(({ headers, body }) => [headers.authorization, body])).toEqual([
      [`Bearer ${secret.reveal()}`, 'hello'],
      [`Bearer ${fresh.reveal()}`, 'hello'],
    ]);
    expect(harness.broker.reports.length).toBe(reports + 1);
  });

  test('is passed on when nothing can be renewed', async () => {
    harness.broker.decideWith = (call) => bearer(call, secret, { refreshable: true });
    expect(await once(`GET /status/401 HTTP/1.1\r\n${host}\r\n`)).toContain('HTTP/1.1 401 ');
  });

  test('of a request that may not be repeated is passed on', async () => {
    harness.broker.decideWith = (call) => bearer(call, secret, { refreshable: true });
    const seen = api.seen.length;
    expect(await once(`POST /status/401 HTTP/1.1\r\n${host}Content-Length: 1\r\n\r\nx`)).toContain('HTTP/1.1 401 ');
    expect(api.seen.length).toBe(seen + 1);
  });
});

describe('an upstream that breaks the protocol', () => {
  const answers: Record<string, string> = {
    'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
    'length and coding': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'no HTTP': 'SSH-2.0-OpenSSH_9\r\n\r\n',
    'an unasked 101': 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
    'an endless head': `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(50_000)}`,
  };
  for (const [name, text] of Object.entries(answers)) {
    test(`with ${name} is 502`, async () => {
      const upstream = await rawUpstream((peer) => peer.send(text));
      const own = await dataPlane([upstream.port], upstream.authority);
      const { send, until } = await tunnel(own, `api.test:${upstream.port}`);
      send(`GET / HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
      const answer = await until('gatehouse"}');
      expect(answer).toContain('HTTP/1.1 502 ');
      expect(answer).toContain('upstream_invalid');
      await own.close();
      await upstream.close();
    });
  }

  test('by lying about its length never hands one answer to the next request', async () => {
    const upstream = await rawUpstream((peer, _, nth) =>
      peer.send(
        nth === 0
          ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged'
          : 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue',
      ),
    );
    const own = await dataPlane([upstream.port], upstream.authority);
    const { send, until, take } = await tunnel(own, `api.test:${upstream.port}`);
    send(`GET /1 HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    expect(await until('ok')).toContain('\r\n\r\nok');
    take();
    send(`GET /2 HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    expect(await until('true')).toMatch(/\r\n\r\ntrue$/);
    await own.close();
    await upstream.close();
  });

  test('by dropping in the middle of a body is seen as a cut, not as an end', async () => {
    const upstream = await rawUpstream((peer) => {
      peer.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart');
      setTimeout(() => peer.socket.destroy(), 20);
    });
    const own = await dataPlane([upstream.port], upstream.authority);
    const { send, ended } = await tunnel(own, `api.test:${upstream.port}`);
    send(`GET / HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    expect(await ended()).toMatch(/part$/);
    await eventually(() => own.broker.reports.length === 1);
    expect(own.broker.reports[0]).toMatchObject({ outcome: 'upstream_failed', status: 200, received: 4 });
    await own.close();
    await upstream.close();
  });

  test('by answering early gets no further requests, and the client keeps its tunnel', async () => {
    const upstream = await rawUpstream((peer, head) =>
      peer.send(`HTTP/1.1 ${head.startsWith('POST') ? 413 : 200} X\r\nContent-Length: 0\r\n\r\n`),
    );
    const own = await dataPlane([upstream.port], upstream.authority);
    const { send, until, take } = await tunnel(own, `api.test:${upstream.port}`);
    const name = `Host: api.test:${upstream.port}\r\n`;
    send(`POST / HTTP/1.1\r\n${name}Content-Length: 10\r\n\r\nhello`);
    expect(await until('413 ')).toContain('413 ');
    take();
    send(`world GET / HTTP/1.1\r\n${name}\r\n`.replace('world ', 'world'));
    expect(await until('200 ')).toContain('HTTP/1.1 200');
    expect(upstream.peers.length).toBe(2);
    await own.close();
    await upstream.close();
  });

  test('1xx answers pass, and 100 lets the body come', async () => {
    const upstream = await rawUpstream((peer, head) => {
      if (!head.startsWith('PUT')) return;
      peer.send('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n');
      void peer.until('hello').then(() => peer.send('HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n'));
    });
    const own = await dataPlane([upstream.port], upstream.authority);
    const { send, until } = await tunnel(own, `api.test:${upstream.port}`);
    send(`PUT / HTTP/1.1\r\nHost: api.test:${upstream.port}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`);
    expect(await until('100 Continue')).toContain('103 Early Hints\r\nLink: </a>');
    send('hello');
    expect(await until('201 ')).toContain('201 Created');
    await own.close();
    await upstream.close();
  });
});

test('a pooled connection that its peer closed is replaced for a request that may be repeated', async () => {
  const upstream = await rawUpstream((peer, head) => {
    if (head.startsWith('GET /second') && upstream.peers.length === 1) peer.socket.destroy();
    else peer.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  const own = await dataPlane([upstream.port], upstream.authority);
  const { send, until, take } = await tunnel(own, `api.test:${upstream.port}`);
  send(`GET /first HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
  await until('ok');
  take();
  send(`GET /second HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
  expect(await until('ok')).toContain('200 OK');
  expect(upstream.peers.length).toBe(2);
  expect(own.broker.reports.length).toBe(2);
  await own.close();
  await upstream.close();
});

describe('an upstream whose certificate is wrong', () => {
  const stranger = testAuthority('test');
  const cases = {
    expired: [authority.issue('api.test', { from: -48, until: -24 }), 'upstream_certificate_expired'],
    'of another name': [authority.issue('wrong.test'), 'upstream_certificate_name'],
    'of a stranger': [stranger.issue('api.test'), 'upstream_certificate_untrusted'],
  } as const;
  for (const [name, [tls, code]] of Object.entries(cases)) {
    test(`(${name}) is 502 with a code of its own, and gets no request`, async () => {
      const upstream = await startUpstream(tls);
      const own = await dataPlane([upstream.port], authority);
      const { send, until } = await tunnel(own, `api.test:${upstream.port}`);
      send(`GET / HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
      expect(await until('gatehouse"}')).toContain(`"code":"${code}"`);
      expect(upstream.seen).toEqual([]);
      await own.close();
      await upstream.close();
    });
  }
});

test('closing lets what is under way end, then cuts it at the deadline', async () => {
  const own = await dataPlane([api.port], authority);
  const ending = await tunnel(own, `api.test:${api.port}`);
  ending.send(`GET /sse/4/50 HTTP/1.1\r\n${host}\r\n`);
  await ending.until('data:');
  const closed = own.proxy.close(5_000);
  expect(await ending.ended()).toContain('"n":3');
  await closed;
  await own.net.close();
  const other = await dataPlane([api.port], authority);
  const endless = await tunnel(other, `api.test:${api.port}`);
  endless.send(`GET /sse/10000/20 HTTP/1.1\r\n${host}\r\n`);
  await endless.until('data:');
  const started = performance.now();
  await other.proxy.close(200);
  expect(performance.now() - started).toBeLessThan(1_500);
  expect(other.broker.reports.at(-1)).toMatchObject({ outcome: 'cut', code: 'shutting_down' });
  await other.net.close();
});
