import { createServer as createHttp } from 'node:http';
import { type AddressInfo, createServer as createTcp } from 'node:net';
import { createServer as createTls, type TlsOptions, type Server as TlsServer } from 'node:tls';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { fakeClock, silentLog, systemClock } from '#kernel';
import { testAuthority } from '../../test/support/certificates.ts';
import type { Net } from './contract.ts';
import { createNet, type NetDeps } from './net.ts';
import type { Resolver } from './resolve.ts';

const authority = testAuthority('test');
const stranger = testAuthority('test');
const open: (() => void)[] = [];
const nets: Net[] = [];

afterEach(async () => {
  for (const net of nets.splice(0)) await net.close();
  for (const close of open.splice(0)) close();
});
afterAll(() => nets.map((net) => net.close()));

const loopback: Resolver = async () => [{ address: '127.0.0.1', family: 4 }];

function netFor(port: number, more: Partial<NetDeps> = {}): Net {
  const hosts = ['api.test', 'other.test', 'wrong.test'];
  const net = createNet({
    allowPrivate: hosts.map((host) => ({ host, port, cidr: '127.0.0.1/32' })),
    clock: systemClock,
    log: silentLog,
    resolver: loopback,
    extraAuthorities: Object.fromEntries(hosts.map((host) => [host, [authority.pem]])),
    ...more,
  });
  nets.push(net);
  return net;
}

interface Listening {
  listen(port: number, host: string, done: () => void): unknown;
  address(): AddressInfo | string | null;
}

async function portOf(server: Listening, close: () => void): Promise<number> {
  open.push(close);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}

async function tlsServer(
  options: TlsOptions,
  answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
): Promise<{ port: number; server: TlsServer; seen: () => number }> {
  let seen = 0;
  const sockets = new Set<{ destroy(): void }>();
  const server = createTls({ ALPNProtocols: ['http/1.1'], ...options }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', () => {
      seen++;
      socket.write(answer);
    });
  });
  server.on('tlsClientError', () => {});
  const port = await portOf(server, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port, server, seen: () => seen };
}

const dialling = { timeout: 5_000 };

describe('judging', () => {
  const judgeWith = (addresses: readonly { address: string; family: 4 | 6 }[]) =>
    netFor(443, { resolver: async () => addresses }).judge('rebound.example', 443, dialling);

  test('one refused address among good ones refuses the host', async () => {
    const mixed = [
      { address: '93.184.215.14', family: 4 },
      { address: '10.0.0.7', family: 4 },
    ] as const;
    await expect(judgeWith(mixed)).rejects.toMatchObject({ code: 'address_refused' });
    await expect(judgeWith(mixed.slice(0, 1))).resolves.toMatchObject({ host: 'rebound.example', port: 443 });
  });

  test('a name that resolves to nothing, or fails to resolve, is unreachable', async () => {
    await expect(judgeWith([])).rejects.toMatchObject({ code: 'upstream_unreachable' });
    const failing = netFor(443, { resolver: async () => Promise.reject(new Error('SERVFAIL')) });
    await expect(failing.judge('a.example', 443, dialling)).rejects.toMatchObject({ code: 'upstream_unreachable' });
  });

  test('a resolver that never answers is a timeout, and an abort ends the wait', async () => {
    const net = netFor(443, { resolver: () => new Promise(() => {}) });
    await expect(net.judge('a.example', 443, { timeout: 20 })).rejects.toMatchObject({ code: 'upstream_timeout' });
    const abort = new AbortController();
    const waiting = net.judge('a.example', 443, { timeout: 60_000, signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('lookups under way are shared, and forgotten after', async () => {
    let asked = 0;
    const net = netFor(443, {
      resolver: async () => {
        asked++;
        return [{ address: '93.184.215.14', family: 4 }];
      },
    });
    await Promise.all(Array.from({ length: 20 }, () => net.judge('a.example', 443, dialling)));
    expect(asked).toBe(1);
    await net.judge('a.example', 443, dialling);
    expect(asked).toBe(2);
  });

  test('ports outside 1 to 65535 are refused', async () => {
    for (const port of [0, -1, 65_536, 1.5, Number.NaN]) {
      await expect(netFor(443).judge('a.example', port, dialling)).rejects.toMatchObject({ code: 'address_refused' });
    }
  });
});

describe('dialling', () => {
  test('the judged address is dialled even when the name now resolves to another', async () => {
    const { port } = await tlsServer(authority.issue('api.test'));
    let answers = 0;
    const resolver: Resolver = async () => [{ address: answers++ === 0 ? '127.0.0.1' : '127.0.0.99', family: 4 }];
    const net = netFor(port, { resolver });
    const judged = await net.judge('api.test', port, dialling);
    const socket = await net.dialTls(judged, { servername: 'api.test' }, dialling);
    expect(socket.remoteAddress).toBe('127.0.0.1');
    expect(answers).toBe(1);
  });

  test('what was not judged is refused', async () => {
    const net = netFor(1);
    const forged = { host: 'api.test', port: 2, addresses: [{ address: '127.0.0.1', family: 4 }] } as const;
    await expect(net.dial(forged, dialling)).rejects.toMatchObject({ code: 'address_refused' });
  });

  test('our own listener is refused though its address is opened', async () => {
    const { port } = await tlsServer(authority.issue('api.test'));
    const net = netFor(port);
    net.own('127.0.0.1', port);
    await expect(net.judge('api.test', port, dialling)).rejects.toMatchObject({ code: 'address_refused' });
  });

  test('the next address is tried when one refuses', async () => {
    const { port } = await tlsServer(authority.issue('api.test'));
    const net = netFor(port, {
      allowPrivate: [
        { host: 'api.test', port, cidr: '127.0.0.0/8' },
        { host: 'api.test', port, cidr: '::1/128' },
      ],
      resolver: async () => [
        { address: '::1', family: 6 },
        { address: '127.0.0.2', family: 4 },
        { address: '127.0.0.1', family: 4 },
      ],
    });
    const socket = await net.dial(await net.judge('api.test', port, dialling), dialling);
    expect((socket as { remoteAddress?: string }).remoteAddress).toBe('127.0.0.1');
  });

  test('a closed port is unreachable', async () => {
    const server = createTcp();
    const port = await portOf(server, () => {});
    await new Promise((closed) => server.close(closed));
    const net = netFor(port);
    await expect(net.dial(await net.judge('api.test', port, dialling), dialling)).rejects.toMatchObject({ code: 'upstream_unreachable' });
  });

  test('closing the room cuts its sockets and dials no more', async () => {
    const { port } = await tlsServer(authority.issue('api.test'));
    const net = netFor(port);
    const judged = await net.judge('api.test', port, dialling);
    const socket = await net.dial(judged, dialling);
    const gone = new Promise((closed) => socket.once('close', closed));
    await net.close();
    await gone;
    await expect(net.dial(judged, dialling)).rejects.toMatchObject({ code: 'shutting_down' });
  });
});

describe('the certificate of the upstream', () => {
  async function handshake(options: TlsOptions, servername = 'api.test', more: Partial<NetDeps> = {}) {
    const { port, seen } = await tlsServer(options);
    const net = netFor(port, more);
    const judged = await net.judge(servername, port, dialling);
    return { result: net.dialTls(judged, { servername }, dialling), seen };
  }

  test('that has expired is refused by its own code, and nothing is sent', async () => {
    const { result, seen } = await handshake(authority.issue('api.test', { from: -48, until: -24 }));
    await expect(result).rejects.toMatchObject({ code: 'upstream_certificate_expired' });
    expect(seen()).toBe(0);
  });

  test('that is not yet valid is refused by the same code', async () => {
    const { result } = await handshake(authority.issue('api.test', { from: 24, until: 48 }));
    await expect(result).rejects.toMatchObject({ code: 'upstream_certificate_expired' });
  });

  test('that is for another name is refused by its own code', async () => {
    const { result } = await handshake(authority.issue('api.test'), 'wrong.test');
    await expect(result).rejects.toMatchObject({ code: 'upstream_certificate_name' });
  });

  test('that an unknown authority signed is refused by its own code', async () => {
    const { result } = await handshake(stranger.issue('api.test'));
    await expect(result).rejects.toMatchObject({ code: 'upstream_certificate_untrusted' });
  });

  test('that no known authority vouches for passes only for a host the operator listed', async () => {
    const { result } = await handshake(stranger.issue('api.test'), 'api.test', { skipVerifyHosts: ['api.test'] });
    expect((await result).encrypted).toBe(true);
    const other = await handshake(stranger.issue('other.test'), 'other.test', { skipVerifyHosts: ['api.test'] });
    await expect(other.result).rejects.toMatchObject({ code: 'upstream_certificate_untrusted' });
  });

  test('of one host is not vouched for by the authority added for another', async () => {
    const { result } = await handshake(authority.issue('api.test'), 'api.test', { extraAuthorities: { 'other.test': [authority.pem] } });
    await expect(result).rejects.toMatchObject({ code: 'upstream_certificate_untrusted' });
  });

  test('asked to skip the check by a caller is still checked', async () => {
    const { port } = await tlsServer(stranger.issue('api.test'));
    const net = netFor(port);
    const judged = await net.judge('api.test', port, dialling);
    const result = net.dialTls(judged, { servername: 'api.test', skipVerify: true }, dialling);
    await expect(result).rejects.toMatchObject({ code: 'upstream_certificate_untrusted' });
  });
});

describe('the handshake', () => {
  test('resumes a session with the same server, and not with another name', async () => {
    const { port } = await tlsServer(authority.issue('api.test'));
    const net = netFor(port);
    const dial = async (host: string) => net.dialTls(await net.judge(host, port, dialling), { servername: host }, dialling);
    const first = await dial('api.test');
    const ticket = new Promise((seen) => first.once('session', seen));
    first.write('x');
    await ticket;
    expect((await dial('api.test')).isSessionReused()).toBe(true);
    await expect(dial('wrong.test')).rejects.toMatchObject({ code: 'upstream_certificate_name' });
  });

  test('sees the certificate again after an hour', async () => {
    const { port } = await tlsServer(authority.issue('api.test'));
    const clock = fakeClock(Date.now());
    const net = netFor(port, { clock });
    const dial = async () => net.dialTls(await net.judge('api.test', port, dialling), { servername: 'api.test' }, dialling);
    const first = await dial();
    const ticket = new Promise((seen) => first.once('session', seen));
    first.write('x');
    await ticket;
    clock.advance(3_600_001);
    expect((await dial()).isSessionReused()).toBe(false);
  });

  test('agrees on the protocol that was asked for', async () => {
    const { port } = await tlsServer({ ...authority.issue('api.test'), ALPNProtocols: ['h2', 'http/1.1'] });
    const net = netFor(port);
    const judged = await net.judge('api.test', port, dialling);
    expect((await net.dialTls(judged, { servername: 'api.test', alpn: ['h2'] }, dialling)).alpnProtocol).toBe('h2');
    expect((await net.dialTls(judged, { servername: 'api.test' }, dialling)).alpnProtocol).toBe('http/1.1');
  });

  test('with a server that says nothing is a timeout; with one that hangs up or speaks no TLS, unreachable', async () => {
    const silent = createTcp(() => {});
    const rude = createTcp((socket) => socket.destroy());
    const plain = createTcp((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    for (const [server, code] of [
      [silent, 'upstream_timeout'],
      [rude, 'upstream_unreachable'],
      [plain, 'upstream_unreachable'],
    ] as const) {
      const port = await portOf(server, () => server.close());
      const net = netFor(port);
      const judged = await net.judge('api.test', port, dialling);
      await expect(net.dialTls(judged, { servername: 'api.test' }, { timeout: 150 })).rejects.toMatchObject({ code });
    }
  });
});

test('a clear-text server is reached only where the operator opened it', async () => {
  const server = createHttp((_request, response) => response.end('plain'));
  const port = await portOf(server, () => server.close().closeAllConnections());
  const net = netFor(port);
  const bounds = { timeout: 5_000, limit: 100 };
  const answer = await net.fetch(`http://api.test:${port}/`, { ...bounds, allowHttp: true });
  expect(Buffer.from(answer.body).toString()).toBe('plain');
  await expect(net.fetch(`http://api.test:${port}/`, bounds)).rejects.toMatchObject({ code: 'address_refused' });
  await expect(net.fetch('http://shut.test:80/', { ...bounds, allowHttp: true })).rejects.toMatchObject({ code: 'address_refused' });
});
