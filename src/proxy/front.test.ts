import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Fault } from '#kernel';
import { testAuthority } from '../../test/support/certificates.ts';
import { count, python, testWith } from '../../test/support/need.ts';
import { startUpstream, type Upstream } from '../../test/support/upstream.ts';
import { allowed, credential, dataPlane, eventually, type Harness, plain, tunnel } from './testing/harness.ts';

const authority = testAuthority('test');
let api: Upstream;
let clear: Upstream;
let harness: Harness;
const run = promisify(execFile);

beforeAll(async () => {
  api = await startUpstream(authority.issue('api.test'));
  clear = await startUpstream();
  harness = await dataPlane([api.port, clear.port], authority);
});
afterEach(() => {
  harness.broker.decideWith = (call) => allowed(call);
  harness.broker.admitWith = () => ({ kind: 'intercept' });
});
afterAll(async () => {
  await harness.close();
  await api.close();
  await clear.close();
});

const proof = `Proxy-Authorization: Bearer ${credential}\r\n`;

async function ask(text: string): Promise<string> {
  const { send, until, socket } = await plain(harness.port);
  send(text);
  const answer = await until('"source":"gatehouse"}');
  socket.destroy();
  return answer;
}

describe('a CONNECT', () => {
  test('without a credential is 407 with Proxy-Authenticate, and may be tried again on the same connection', async () => {
    const { send, until, take, socket } = await plain(harness.port);
    send(`CONNECT api.test:${api.port} HTTP/1.1\r\nHost: api.test:${api.port}\r\n\r\n`);
    const answer = await until('gatehouse"}');
    expect(answer).toContain('HTTP/1.1 407 ');
    expect(answer).toContain('Proxy-Authenticate: Basic');
    expect(answer).toContain('Gatehouse-Refusal: proxy_unauthenticated');
    take();
    send(`CONNECT api.test:${api.port} HTTP/1.1\r\nHost: api.test:${api.port}\r\n${proof}\r\n`);
    expect(await until('\r\n\r\n')).toContain('HTTP/1.1 200 ');
    socket.destroy();
  });

  test('with a wrong credential is 407, never 200 and then a reset', async () => {
    expect(await ask(`CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\nProxy-Authorization: Bearer wrong-token-0123\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 407/,
    );
  });

  test('takes the credential as password and as user name', async () => {
    for (const pair of [`gatehouse:${credential}`, `${credential}:`, `${credential}:x`]) {
      const { send, until, socket } = await plain(harness.port);
      const basic = Buffer.from(pair).toString('base64');
      send(`CONNECT api.test:${api.port} HTTP/1.1\r\nProxy-Authorization: Basic ${basic}\r\nHost: api.test:${api.port}\r\n\r\n`);
      expect(await until('\r\n\r\n')).toContain('HTTP/1.1 200 ');
      socket.destroy();
    }
  });

  test('of a suspended agent is 403, and 503 while revocations cannot be learned', async () => {
    const before = harness.broker.authenticateWith;
    for (const [code, status] of [
      ['agent_not_active', 403],
      ['run_ended', 407],
      ['stale_revocations', 503],
    ] as const) {
      harness.broker.authenticateWith = () => {
        throw new Fault(code);
      };
      const answer = await ask(`CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\n${proof}\r\n`);
      expect(answer).toContain(`HTTP/1.1 ${status} `);
      if (status === 503) expect(answer).toContain('Retry-After: 1');
    }
    harness.broker.authenticateWith = before;
  });

  for (const target of [
    'api.test',
    'api.test:',
    'api.test:0',
    'api.test:70000',
    'api test:443',
    'a%41.test:443',
    'https://api.test:443',
    '[::1:443',
    '0x7f.1:443',
  ]) {
    test(`of ${target} is 400`, async () => {
      expect(await ask(`CONNECT ${target} HTTP/1.1\r\nHost: x\r\n${proof}\r\n`)).toMatch(/^HTTP\/1.1 400/);
    });
  }

  test('of a bracketed IPv6 address is understood, and no address is ever intercepted', async () => {
    const answer = await ask(`CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n${proof}\r\n`);
    expect(answer).toContain('HTTP/1.1 403 ');
    expect(answer).toContain('host_refused');
  });

  test('whose Host says another name is 421', async () => {
    expect(await ask(`CONNECT api.test:443 HTTP/1.1\r\nHost: other.test:443\r\n${proof}\r\n`)).toContain('host_mismatch');
  });

  test('that the broker refuses says why, before any name is resolved', async () => {
    harness.broker.admitWith = () => ({ kind: 'refuse', code: 'host_refused', hint: 'connect it first' });
    const answer = await ask(`CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\n${proof}\r\n`);
    expect(answer).toContain('HTTP/1.1 403 ');
    expect(answer).toContain('"hint":"connect it first"');
  });

  test('to the proxy itself is refused', async () => {
    harness.broker.admitWith = () => ({ kind: 'blind' });
    expect(await ask(`CONNECT 127.0.0.1:${harness.port} HTTP/1.1\r\nHost: 127.0.0.1:${harness.port}\r\n${proof}\r\n`)).toContain(
      'address_refused',
    );
  });

  test('is tunnelled blind when the broker says so: bytes pass, are counted, and the tunnel is on record before them', async () => {
    const echo = createServer((socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    const { port } = echo.address() as { port: number };
    const own = await dataPlane([port], authority);
    own.broker.admitWith = () => ({ kind: 'blind' });
    const { send, until, take, socket } = await plain(own.port);
    send(`CONNECT api.test:${port} HTTP/1.1\r\nHost: api.test:${port}\r\n${proof}\r\nearly`);
    expect(await until('early')).toContain('HTTP/1.1 200 ');
    expect(own.broker.tunnels).toEqual([{ host: 'api.test', port }]);
    take();
    send(' and late');
    await until(' and late');
    socket.end();
    await eventually(() => own.broker.tunnels.length === 2);
    expect(own.broker.tunnels[1]).toMatchObject({ host: 'api.test', port, sent: 14, received: 14 });
    await own.close();
    echo.close();
  });

  test('to a host that does not answer is 502, not 200', async () => {
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
    const { port } = gone.address() as { port: number };
    await new Promise((resolve) => gone.close(resolve));
    const own = await dataPlane([port], authority);
    own.broker.admitWith = () => ({ kind: 'blind' });
    const { send, until } = await plain(own.port);
    send(`CONNECT api.test:${port} HTTP/1.1\r\nHost: api.test:${port}\r\n${proof}\r\n`);
    expect(await until('gatehouse"}')).toMatch(/^HTTP\/1.1 502/);
    await own.close();
  });
});

describe('a request without a tunnel', () => {
  test('with an absolute http target is passed on without what was meant for the proxy', async () => {
    const { send, until, socket } = await plain(harness.port);
    send(
      `GET http://api.test:${clear.port}/echo HTTP/1.1\r\nHost: api.test:${clear.port}\r\n${proof}` +
        `Proxy-Connection: keep-alive\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nGatehouse-Connection: work\r\n` +
        `X-Copy: ${credential}\r\nAuthorization: Basic ${Buffer.from(`me:${credential}`).toString('base64')}\r\nX-Stay: 1\r\n\r\n`,
    );
    expect(await until('"body"')).toContain('HTTP/1.1 200 OK');
    const names = clear.seen.at(-1)?.rawHeaders.filter((_, i) => i % 2 === 0);
    expect(names).toEqual(['Host', 'X-Stay']);
    expect(clear.seen.at(-1)?.url).toBe('/echo');
    expect(harness.broker.calls.at(-1)).toMatchObject({ scheme: 'http', host: 'api.test', port: clear.port, path: '/echo' });
    socket.destroy();
  });

  test('to a host with a connection is refused', async () => {
    harness.broker.decideWith = () => ({ kind: 'deny', code: 'clear_text_refused' });
    const seen = clear.seen.length;
    const answer = await ask(`GET http://api.test:${clear.port}/x HTTP/1.1\r\nHost: api.test:${clear.port}\r\n${proof}\r\n`);
    expect(answer).toContain('HTTP/1.1 403 ');
    expect(answer).toContain('clear_text_refused');
    expect(clear.seen.length).toBe(seen);
  });

  test('with an absolute https target is sent over TLS, never in the clear', async () => {
    const { send, until, socket } = await plain(harness.port);
    send(`GET https://api.test:${api.port}/echo HTTP/1.1\r\nHost: api.test:${api.port}\r\n${proof}\r\n`);
    expect(await until('"body"')).toContain('HTTP/1.1 200 OK');
    expect(harness.broker.calls.at(-1)?.scheme).toBe('https');
    socket.destroy();
  });

  test('with an origin target is 400', async () => {
    expect(await ask(`GET /x HTTP/1.1\r\nHost: api.test\r\n${proof}\r\n`)).toMatch(/^HTTP\/1.1 400/);
  });

  test('without a credential is 407', async () => {
    expect(await ask(`GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n`)).toMatch(/^HTTP\/1.1 407/);
  });

  test('that is no HTTP is refused at once and the connection closed', async () => {
    for (const text of ['\x16\x03\x01\x02\x00\x01\x00', 'GET / HTTP/1.1\nHost: a\n\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']) {
      const { send, ended } = await plain(harness.port);
      send(text);
      expect(await ended()).toContain('"code":"bad_framing"');
    }
  });
});

test('repeated bad credentials from one address are slowed, and good ones from it are not', async () => {
  const own = await dataPlane([api.port], authority, { limits: { badTokens: 2 } });
  const timed = async (given: string) => {
    const started = performance.now();
    const { send, until, socket } = await plain(own.port);
    send(`CONNECT api.test:${api.port} HTTP/1.1\r\nHost: api.test:${api.port}\r\nProxy-Authorization: Bearer ${given}\r\n\r\n`);
    await until('\r\n\r\n');
    socket.destroy();
    return performance.now() - started;
  };
  for (let i = 0; i < 3; i++) await timed('wrong-token-012345');
  const [bad, good] = await Promise.all([timed('wrong-token-012345'), timed(credential)]);
  expect(bad).toBeGreaterThan(190);
  expect(good).toBeLessThan(bad);
  await own.close();
});

test('a storm of connections that are aborted at any moment leaves nothing behind', async () => {
  const own = await dataPlane([api.port], authority, { limits: { drainTimeout: 100 } });
  const total = count(400, 10_000);
  const texts = ['', 'CONN', `CONNECT api.test:${api.port} HTTP/1.1\r\nHost: api.test:${api.port}\r\n${proof}\r\n`, `${proof}`, 'GET / HT'];
  let started = 0;
  const storm = async () => {
    while (started < total) {
      const n = started++;
      await new Promise<void>((resolve) => {
        const socket = connect(own.port, '127.0.0.1', () => {
          const text = texts[n % texts.length] as string;
          if (text !== '') socket.write(text);
          const leave = () => (n % 2 === 0 ? socket.resetAndDestroy() : socket.destroy());
          if (n % 3 === 0) leave();
          else setTimeout(leave, n % 7);
        });
        socket.on('error', () => {});
        socket.on('close', () => resolve());
      });
    }
  };
  await Promise.all(Array.from({ length: 50 }, storm));
  const { send, until, socket } = await tunnel(own, `api.test:${api.port}`);
  send(`GET /echo HTTP/1.1\r\nHost: api.test:${api.port}\r\n\r\n`);
  expect(await until('"body"')).toContain('200 OK');
  socket.destroy();
  const before = performance.now();
  await own.close();
  expect(performance.now() - before).toBeLessThan(2_000);
});

describe('independent clients', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-proxy-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const bundle = () => {
    const file = join(folder, 'ca.pem');
    writeFileSync(file, harness.interception.pem);
    return file;
  };

  testWith('curl')('curl, with the credential in the proxy URL', async () => {
    const { stdout } = await run('curl', [
      ...['-sS', '--cacert', bundle(), '--proxy', `http://run:${credential}@127.0.0.1:${harness.port}`, '-d', 'hello'],
      `https://api.test:${api.port}/echo`,
    ]);
    expect(JSON.parse(stdout).body).toBe('hello');
  });

  testWith('python3')('Python urllib', async () => {
    const script = `
import ssl, sys, urllib.request
proxy, url, ca = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({'https': proxy}), urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
print(opener.open(url, data=b'from python').read().decode())
`;
    const url = `https://api.test:${api.port}/echo`;
    const { stdout } = await run(python, ['-c', script, `http://run:${credential}@127.0.0.1:${harness.port}`, url, bundle()]);
    expect(JSON.parse(stdout).body).toBe('from python');
  });
});
