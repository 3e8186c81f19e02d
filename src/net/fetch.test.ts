import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext } from 'node:tls';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type FaultCode, silentLog, systemClock } from '#kernel';
import { testAuthority } from '../../test/support/certificates.ts';
import type { GuardedRequest, Net } from './contract.ts';
import { createNet } from './net.ts';

const authority = testAuthority('test');
type Handler = (request: IncomingMessage, response: ServerResponse) => void;
let handler: Handler;
let port: number;
let net: Net;
const server = createServer(
  {
    ...authority.issue('api.test'),
    SNICallback: (name, done) => done(null, contexts(name)),
  },
  (request, response) => handler(request, response),
);

const contexts = (name: string) => createSecureContext(authority.issue(name));

beforeAll(async () => {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  port = (server.address() as AddressInfo).port;
  net = createNet({
    allowPrivate: ['api.test', 'other.test'].map((host) => ({ host, port, cidr: '127.0.0.1/32' })),
    clock: systemClock,
    log: silentLog,
    resolver: async (name) => [{ address: name === 'private.test' ? '10.0.0.1' : '127.0.0.1', family: 4 }],
    extraAuthorities: { 'api.test': [authority.pem], 'other.test': [authority.pem] },
  });
});
afterAll(async () => {
  await net.close();
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  handler = (_request, response) => response.end('ok');
});

const url = (path = '/', host = 'api.test') => `https://${host}:${port}${path}`;
const get = (target: string, more: Partial<GuardedRequest> = {}) => net.fetch(target, { timeout: 5_000, limit: 10_000, ...more });
const refused = (target: string, code: FaultCode, more: Partial<GuardedRequest> = {}) =>
  expect(get(target, more), target).rejects.toMatchObject({ code });
const text = (body: Uint8Array) => Buffer.from(body).toString();

describe('an exchange', () => {
  test('carries method, headers and body, and brings back status, headers and body', async () => {
    handler = async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      response.writeHead(201, { 'X-Seen': `${request.method} ${request.url} ${request.headers['x-mine']} ${request.headers.host}` });
      response.end(Buffer.concat(parts));
    };
    const answer = await get(url('/a?b=c'), { method: 'POST', headers: { 'X-Mine': 'yes' }, body: 'hello' });
    expect(answer.status).toBe(201);
    expect(answer.headers['x-seen']).toBe(`POST /a?b=c yes api.test:${port}`);
    expect(text(answer.body)).toBe('hello');
  });

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ] as const)('decodes %s', async (coding, pack) => {
    handler = (_request, response) => response.writeHead(200, { 'content-encoding': coding }).end(pack('unfolded'));
    expect(text((await get(url())).body)).toBe('unfolded');
  });

  test('takes no proxy from the environment', async () => {
    vi.stubEnv('HTTPS_PROXY', 'http://127.0.0.1:9');
    vi.stubEnv('https_proxy', 'http://127.0.0.1:9');
    expect((await get(url())).status).toBe(200);
    vi.unstubAllEnvs();
  });
});

describe('addresses that no URL may reach', () => {
  test.each([
    'https://127.0.0.1/',
    'https://localhost/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:7f00:1]/',
    'https://10.0.0.1/',
    'https://192.168.0.1/',
    'https://172.16.0.1/',
    'https://169.254.169.254/latest/meta-data/',
    'https://[fd00:ec2::254]/',
    'https://100.100.100.200/',
    'https://0.0.0.0/',
    'https://0/',
    'https://2130706433/',
    'https://0x7f000001/',
    'https://0177.0.0.1/',
    'https://127.1/',
    'https://0x08.0x08.0x08.0x08/',
    'https://134744072/',
    'https://①②⑦.⓪.⓪.①/',
    'https://127.0.0.1./',
    'https://private.test/',
    'https://api.test/',
    'https://user:password@api.test/',
    'https://[64:ff9b::a9fe:a9fe]/',
    'https://[2002:7f00:1::]/',
    'http://api.test/',
    'ftp://api.test/',
    'file:///etc/passwd',
    'data:text/plain,x',
    'gopher://127.0.0.1:70/',
    '//api.test/',
    'not a url',
    '',
  ])('%s', (target) => refused(target, 'address_refused'));
});

describe('bounds', () => {
  test('an endless body is stopped at the limit', async () => {
    let written = 0;
    handler = (_request, response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384))) written += 16_384;
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    };
    await refused(url(), 'upstream_invalid');
    expect(written).toBeLessThan(32_000_000);
  });

  test('a slow drip ends with the deadline', async () => {
    handler = (_request, response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write('.'), 10);
      response.on('close', () => clearInterval(drip));
    };
    const started = performance.now();
    await refused(url(), 'upstream_timeout', { timeout: 200 });
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  test('headers that never come end with the deadline', async () => {
    handler = () => {};
    await refused(url(), 'upstream_timeout', { timeout: 100 });
  });

  test('a gzip bomb is stopped at the limit, decoded', async () => {
    const bomb = gzipSync(Buffer.alloc(100_000_000));
    handler = (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb);
    const before = process.memoryUsage().arrayBuffers;
    await refused(url(), 'upstream_invalid');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(15_000_000);
  });

  test('a body that does not decode, or an unknown coding, is invalid', async () => {
    handler = (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('not gzip');
    await refused(url(), 'upstream_invalid');
    handler = (_request, response) => response.writeHead(200, { 'content-encoding': 'rot13' }).end('x');
    await refused(url(), 'upstream_invalid');
    handler = (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip, gzip' }).end(gzipSync(gzipSync('x')));
    await refused(url(), 'upstream_invalid');
  });

  test('an upstream that drops the connection midway is unreachable, not a short answer', async () => {
    handler = (_request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => response.destroy());
    };
    await refused(url(), 'upstream_unreachable');
  });

  test('an abort ends it', async () => {
    handler = () => {};
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 50);
    await refused(url(), 'cancelled', { signal: abort.signal });
  });
});

describe('redirects', () => {
  const redirectTo =
    (location: string, status = 302): Handler =>
    (request, response) => {
      if (request.url === '/start') response.writeHead(status, { location }).end();
      else response.end(`${request.method} ${request.headers.authorization ?? 'no authorization'}`);
    };

  test('are answers unless the caller follows them', async () => {
    handler = redirectTo('/end');
    expect((await get(url('/start'))).status).toBe(302);
    expect(text((await get(url('/start'), { redirects: 1 })).body)).toBe('GET no authorization');
  });

  test.each(['https://private.test/', 'https://127.0.0.1/', 'https://169.254.169.254/', 'https://0x7f.1/', 'https://[::1]/'])(
    'to %s are judged anew',
    async (location) => {
      handler = redirectTo(location);
      await refused(url('/start'), 'address_refused', { redirects: 3 });
    },
  );

  test('never lead to clear text', async () => {
    handler = redirectTo(`http://api.test:${port}/`);
    await refused(url('/start'), 'upstream_invalid', { redirects: 3, allowHttp: true });
  });

  test('end after as many as were allowed', async () => {
    handler = (_request, response) => response.writeHead(302, { location: '/again' }).end();
    await refused(url(), 'upstream_invalid', { redirects: 3 });
  });

  test('keep the credential on the same origin and drop it on another', async () => {
    handler = redirectTo('/end');
    const headers = { Authorization: 'Bearer mine', 'X-Api-Key': 'mine' };
    expect(text((await get(url('/start'), { redirects: 1, headers })).body)).toBe('GET Bearer mine');
    handler = redirectTo(url('/end', 'other.test'));
    expect(text((await get(url('/start'), { redirects: 1, headers })).body)).toBe('GET no authorization');
  });

  test('do not carry a body to another origin', async () => {
    handler = redirectTo(url('/end', 'other.test'), 307);
    await refused(url('/start'), 'upstream_invalid', { redirects: 1, method: 'POST', body: 'client_secret=x' });
    handler = redirectTo('/end', 307);
    expect(text((await get(url('/start'), { redirects: 1, method: 'POST', body: 'x' })).body)).toContain('POST');
    handler = redirectTo('/end', 303);
    expect(text((await get(url('/start'), { redirects: 1, method: 'POST', body: 'x' })).body)).toContain('GET');
  });
});
