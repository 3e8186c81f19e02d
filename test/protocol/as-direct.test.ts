import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Talk, talk } from '../../src/proxy/testing/harness.ts';
import { type RawUpstream, rawUpstream } from '../../src/proxy/testing/raw.ts';
import { type Gateway, openGateway, service } from '../support/gateway.ts';

/** What an upstream does with each request; the body of the request is behind `head`. */
type Act = (peer: Talk, head: string) => void;

const end = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast';
/** Each part some time after the one before it; timers set at once may fire out of order on a busy machine. */
function later(peer: Talk, ...[part, ...rest]: readonly string[]): void {
  if (part === undefined) return;
  setTimeout(() => {
    peer.send(part);
    later(peer, ...rest);
  }, 2);
}

const acts: Readonly<Record<string, Act>> = {
  head: (peer) => peer.send('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-A: 1\r\n\r\n'),
  chunkedhead: (peer) => peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'),
  nothing: (peer) => peer.send('HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n'),
  same: (peer) => peer.send('HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 999\r\n\r\n'),
  empty: (peer) => peer.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'),
  silent: (peer) => peer.send('HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok'),
  odd: (peer) => peer.send('HTTP/1.1 799 Whatever you say\r\nContent-Length: 2\r\n\r\nok'),
  hints: (peer) =>
    peer.send(
      'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    ),
  processing: (peer) => later(peer, 'HTTP/1.1 102 Processing\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n', 'ok'),
  chunks: (peer) => later(peer, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n', '3\r\ncd', 'e\r\n0\r\n\r\n'),
  trailers: (peer) =>
    peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n'),
  ten: (peer) => {
    peer.send('HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nuntil the end');
    peer.socket.end();
  },
  close: (peer) => {
    peer.send('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end');
    peer.socket.end();
  },
  byte: (peer) => later(peer, ...'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
  refused: (peer) => {
    peer.send('HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig');
    setTimeout(() => peer.socket.end(), 30);
  },
  upgrade: (peer) => peer.send('HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno'),
  repeated: (peer) => peer.send('HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nVary: a\r\nSet-Cookie: b=2\r\nvary: b\r\nContent-Length: 0\r\n\r\n'),
  last: (peer) => peer.send(end),
};

let upstream: RawUpstream;
let gateway: Gateway;
let target: string;

beforeAll(async () => {
  upstream = await rawUpstream((peer, head) => {
    const path = /(?:GET|HEAD|POST|PUT|OPTIONS) \/([a-z]+)/.exec(head)?.[1] ?? '';
    acts[path]?.(peer, head);
  });
  gateway = await openGateway({ ports: [upstream.port], net: { extraAuthorities: { 'api.test': [upstream.authority.pem] } } });
  await gateway.add(service('custom', [{ host: 'api.test', port: upstream.port }]));
  target = `api.test:${upstream.port}`;
});
afterAll(() => upstream.close());

async function straight(): Promise<Talk> {
  const socket = connectTls({ port: upstream.port, host: '127.0.0.1', servername: 'api.test', ca: upstream.authority.pem });
  await once(socket, 'secureConnect');
  return talk(socket);
}

interface Message {
  readonly status: string;
  readonly fields: readonly string[];
  readonly body: string;
  readonly trailers: string;
}

/** Fields that belong to one connection, or say only how long the body is. */
const ofConnection = /^(connection|keep-alive|transfer-encoding|content-length):/i;

/** The answers to requests of these methods, without what belongs to the connection they came on. */
function readAll(text: string, methods: readonly string[]): readonly Message[] {
  const messages: Message[] = [];
  let rest = text;
  for (const method of methods) {
    for (let final = false; !final; ) {
      const at = rest.indexOf('\r\n\r\n');
      if (at < 0) return messages;
      const [status = '', ...fields] = rest.slice(0, at).split('\r\n');
      const code = Number(status.split(' ')[1]);
      final = code >= 200;
      const bare = !final || method === 'HEAD' || code === 204 || code === 304;
      const { body, trailers, used } = bare ? { body: '', trailers: '', used: 0 } : bodyOf(rest.slice(at + 4), fields);
      rest = rest.slice(at + 4 + used);
      messages.push({
        status: status.replace('HTTP/1.0', 'HTTP/1.1'),
        fields: fields.filter((field) => !ofConnection.test(field)),
        body,
        trailers,
      });
    }
  }
  return messages;
}

function bodyOf(raw: string, fields: readonly string[]): { readonly body: string; readonly trailers: string; readonly used: number } {
  const length = fields.find((field) => /^content-length:/i.test(field));
  if (length !== undefined) {
    const size = Number(length.split(':')[1]);
    return { body: raw.slice(0, size), trailers: '', used: size };
  }
  if (!fields.some((field) => /^transfer-encoding: chunked$/i.test(field))) return { body: raw, trailers: '', used: raw.length };
  let body = '';
  for (let at = 0; ; ) {
    const line = raw.indexOf('\r\n', at);
    const size = Number.parseInt(raw.slice(at, line), 16);
    if (size === 0) {
      const over = raw.indexOf('\r\n\r\n', line);
      return { body, trailers: raw.slice(line + 2, over).trim(), used: over + 4 };
    }
    body += raw.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
  }
}

/** One request and then another on one connection; the answers to both. */
async function answersOn(talking: Talk, method: string, request: string): Promise<readonly Message[]> {
  talking.send(request.replaceAll('{host}', `Host: ${target}\r\n`));
  // Nobody can tell from outside when an answer to HEAD or a 204 is whole but by its silence.
  await new Promise((resolve) => setTimeout(resolve, 150));
  talking.send(`GET /last HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  const messages = readAll(await talking.until('last'), [method, 'GET']);
  talking.socket.destroy();
  return messages;
}

describe('an answer arrives as it would without the proxy, and the connection goes on', () => {
  const requests: Readonly<Record<string, readonly [string, string]>> = {
    'to HEAD with a length': ['HEAD', 'HEAD /head HTTP/1.1\r\n{host}\r\n'],
    'to HEAD that would be chunked': ['HEAD', 'HEAD /chunkedhead HTTP/1.1\r\n{host}\r\n'],
    'of 204': ['GET', 'GET /nothing HTTP/1.1\r\n{host}\r\n'],
    'of 304 with a length': ['GET', 'GET /same HTTP/1.1\r\n{host}If-None-Match: "a"\r\n\r\n'],
    'of an empty body': ['GET', 'GET /empty HTTP/1.1\r\n{host}\r\n'],
    'without a reason': ['GET', 'GET /silent HTTP/1.1\r\n{host}\r\n'],
    'of a status nobody knows': ['GET', 'GET /odd HTTP/1.1\r\n{host}\r\n'],
    'behind several 103': ['GET', 'GET /hints HTTP/1.1\r\n{host}\r\n'],
    'behind 102': ['GET', 'GET /processing HTTP/1.1\r\n{host}\r\n'],
    'in chunks': ['GET', 'GET /chunks HTTP/1.1\r\n{host}\r\n'],
    'with trailers': ['GET', 'GET /trailers HTTP/1.1\r\n{host}TE: trailers\r\n\r\n'],
    'byte by byte': ['GET', 'GET /byte HTTP/1.1\r\n{host}\r\n'],
    'that wants an upgrade': ['GET', 'GET /upgrade HTTP/1.1\r\n{host}\r\n'],
    'with repeated fields': ['OPTIONS', 'OPTIONS /repeated HTTP/1.1\r\n{host}\r\n'],
  };
  for (const [name, [method, request]] of Object.entries(requests)) {
    test(name, async () => {
      const [direct, proxied] = await Promise.all([
        answersOn(await straight(), method, request),
        answersOn(await gateway.open(target), method, request),
      ]);
      expect(direct.at(-1)?.body).toBe('last');
      expect(proxied).toEqual(direct);
    });
  }
});

describe('an answer that ends with its connection arrives whole', () => {
  for (const path of ['ten', 'close'] as const) {
    test(path === 'ten' ? 'from HTTP/1.0' : 'of a body without a length', async () => {
      const connection = await straight();
      connection.send(`GET /${path} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
      const [direct] = readAll(await connection.ended(), ['GET']);
      const tunnel = await gateway.open(target);
      tunnel.send(`GET /${path} HTTP/1.1\r\nHost: ${target}\r\n\r\nGET /last HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
      const proxied = readAll(await tunnel.until('last'), ['GET', 'GET']);
      expect(direct?.body).toBe('until the end');
      expect(proxied[0]).toEqual(direct);
      expect(proxied[1]?.body).toBe('last');
      tunnel.socket.destroy();
    });
  }
});

test('an answer that comes before the body was sent reaches a program that is still sending', async () => {
  for (const talking of [await straight(), await gateway.open(target)]) {
    talking.send(`POST /refused HTTP/1.1\r\nHost: ${target}\r\nContent-Length: 1000000\r\n\r\n`);
    talking.send('x'.repeat(10_000));
    expect(await talking.until('big')).toMatch(/^HTTP\/1\.1 413 /);
    talking.socket.destroy();
  }
});

test('a request that may be repeated is, on a new connection, when the upstream closed the idle one; another is not sent twice', async () => {
  const seen: string[] = [];
  const fickle = await rawUpstream((peer, head) => {
    seen.push(head.split('\r\n')[0] as string);
    if (head.startsWith('GET /close') || (head.startsWith('POST') && seen.length === 2)) peer.socket.destroy();
    else peer.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  const own = await openGateway({ ports: [fickle.port], net: { extraAuthorities: { 'api.test': [fickle.authority.pem] } } });
  await own.add(service('custom', [{ host: 'api.test', port: fickle.port }]));
  const tunnel = await own.open(`api.test:${fickle.port}`);
  const send = async (line: string, body = '') => {
    tunnel.take();
    tunnel.send(
      `${line} HTTP/1.1\r\nHost: api.test:${fickle.port}\r\n${body === '' ? '' : `Content-Length: ${body.length}\r\n`}\r\n${body}`,
    );
    return Number((await tunnel.until(line.startsWith('POST') && seen.length === 1 ? '}' : 'ok')).split(' ')[1]);
  };
  expect(await send('GET /first')).toBe(200);
  expect(await send('POST /pay', 'x')).toBe(502);
  expect(seen).toEqual(['GET /first HTTP/1.1', 'POST /pay HTTP/1.1']);
  await fickle.close();
});
