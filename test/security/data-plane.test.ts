import { hostname, networkInterfaces } from 'node:os';
import { deflateRawSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectThrough, type HostileAgent, type HostileRun, hostileAgent, once, tunnelTo } from '../support/hostile.ts';
import { answers, must, withPerson } from '../support/person.ts';
import { canary, makeWorld, type World } from '../support/world.ts';

/** What an upstream that wants to give the credential away, or to break us, sends: bytes, in one piece or several. */
const chunk = (part: string | Buffer) =>
  Buffer.concat([Buffer.from(`${Buffer.byteLength(part).toString(16)}\r\n`), Buffer.from(part), Buffer.from('\r\n')]);
const chunkedHead = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
const whole = (head: string, body: string | Buffer = '') =>
  Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`), Buffer.from(body)]);
const text = (bytes: string) => Buffer.from(bytes, 'latin1');

const leaks: Readonly<Record<string, readonly Buffer[]>> = {
  'two Content-Encoding fields, the first harmless': [whole('Content-Encoding: identity\r\nContent-Encoding: gzip\r\n', gzipSync(canary))],
  'an empty Content-Encoding and a second one': [whole('Content-Encoding: \r\nContent-Encoding: deflate\r\n', deflateRawSync(canary))],
  'two encodings in one field': [whole('Content-Encoding: identity, gzip\r\n', gzipSync(canary))],
  'an unknown encoding': [whole('Content-Encoding: aws-chunked\r\n', canary)],
  'a reason phrase': [text(`HTTP/1.1 200 ${canary}\r\nContent-Length: 0\r\n\r\n`)],
  'a field name': [whole(`${canary}: 1\r\n`)],
  'a redirect and a cookie': [
    whole(`Location: https://other.test/?k=${canary}\r\nSet-Cookie: k=${Buffer.from(canary).toString('base64')}\r\n`),
  ],
  'an informational answer': [text(`HTTP/1.1 103 ${canary}\r\n${canary}: a\r\nLink: <${canary}>\r\n\r\n`), whole('')],
  'the value of a trailer': [text(chunkedHead), chunk('hi'), text(`0\r\nx-a: ${canary}\r\n\r\n`)],
  'the name of a trailer': [text(chunkedHead), chunk('hi'), text(`0\r\n${canary}: 1\r\n\r\n`)],
  'a chunk extension': [text(`${chunkedHead}2;${canary}=1\r\nhi\r\n0\r\n\r\n`)],
  'one byte per chunk': [text(chunkedHead), ...[...canary].map(chunk), text('0\r\n\r\n')],
  'two members of one gzip': [
    whole('Content-Encoding: gzip\r\n', Buffer.concat([gzipSync(canary.slice(0, 10)), gzipSync(canary.slice(10))])),
  ],
  'bytes behind a gzip': [whole('Content-Encoding: gzip\r\n', Buffer.concat([gzipSync('a'), Buffer.from(canary)]))],
  'base64 at every offset': [whole('', ['', 'x', 'xy'].map((before) => Buffer.from(`${before}${canary}`).toString('base64')).join(' '))],
  hexadecimal: [whole('', Buffer.from(canary).toString('hex'))],
  'a body that ends with the connection': [text(`HTTP/1.1 200 OK\r\n\r\n${canary}`)],
  'HTTP/1.0': [text(`HTTP/1.0 200 OK\r\n\r\n${canary}`)],
  'a switch of protocols that nobody asked for': [
    text(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n${canary}`),
  ],
};

const broken: Readonly<Record<string, string>> = {
  'both framings': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
  'a negative length': 'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi',
  'a head of 200 KB': `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(200_000)}\r\n\r\n`,
  'a status below 100': 'HTTP/1.1 099 What\r\nContent-Length: 0\r\n\r\n',
  'a bare carriage return': 'HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n',
};

const raw: Readonly<Record<string, readonly Buffer[]>> = {
  ...leaks,
  ...Object.fromEntries(Object.entries(broken).map(([name, bytes]) => [name, [text(bytes)]])),
};

let world: World;
let mallory: HostileAgent;
let run: HostileRun;
let reader: HostileRun;
let target: string;

beforeAll(async () => {
  world = await makeWorld({
    reach: 'everything',
    extra: {
      raw: ({ url = '', socket }) => {
        const parts = [...(raw[decodeURIComponent(url.split('/')[2] ?? '')] ?? [])];
        socket.on('error', () => {}).setNoDelay(true);
        const next = (): void => {
          const part = parts.shift();
          if (part === undefined) socket.end();
          else socket.write(part, () => setImmediate(next));
        };
        next();
      },
    },
  });
  target = world.api.slice('https://'.length);
  mallory = await hostileAgent(world.site, 'mallory');
  const narrow = await hostileAgent(world.site, 'narrow');
  must(await withPerson(world.site, ['policy', 'allow', 'mallory', 'example-api', 'everything'], [answers(world.site)]));
  must(await withPerson(world.site, ['policy', 'allow', 'narrow', 'example-api', 'read'], [answers(world.site)]));
  run = await mallory.startRun();
  reader = await narrow.startRun();
}, 90_000);
afterAll(() => world?.close());

const code = (answer: string): string => /"code":"([a-z_]+)"/.exec(answer)?.[1] ?? answer.split('\r\n', 1)[0] ?? '';
const get = (who: HostileRun, path: string, more = ''): Promise<string> =>
  once(world.site, who, target, `GET ${path} HTTP/1.1\r\nHost: ${target}\r\n${more}Connection: close\r\n\r\n`, 5_000);

describe('an upstream that gives the credential back', () => {
  const forms = [
    canary,
    Buffer.from(canary).toString('hex'),
    gzipSync(canary).toString('latin1', 10, 30),
    deflateRawSync(canary).toString('latin1', 0, 20),
  ];
  const base64 = [0, 1, 2].map((offset) =>
    Buffer.from('x'.repeat(offset) + canary)
      .toString('base64')
      .slice(4, 30),
  );
  test.each(Object.keys(leaks))('in %s does not reach the program with it', async (name) => {
    const answer = await get(run, `/raw/${encodeURIComponent(name)}`, 'TE: trailers\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 \d{3} /);
    for (const form of [...forms, ...base64])
      expect(answer.includes(form) || answer.toLowerCase().includes(form.toLowerCase())).toBe(false);
  });

  test.each(Object.keys(broken))('or sends %s is 502, and the tunnel goes on', async (name) => {
    const line = await tunnelTo(world.site, run, target);
    line.send(`GET /raw/${encodeURIComponent(name)} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    expect(code(await line.until(/source":"gatehouse"\}/))).toBe('upstream_invalid');
    line.send(`GET /status/200 HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    expect(await line.until(/false\}/)).toMatch(/^HTTP\/1\.1 200 /);
    line.socket.destroy();
  });
});

describe('a program that may only read', () => {
  test.each([
    'X-HTTP-Method-Override: DELETE',
    'X_HTTP_Method_Override: DELETE',
    'X-HTTP_Method-Override: DELETE',
    'X-Original-URL: /admin',
    'X-Forwarded-Uri: /admin',
    'X-Forwarded-Host: other.example',
  ])('does not get past with %s', async (field) => {
    expect(code(await get(reader, '/echo', `${field}\r\n`))).toBe('ambiguous_path');
  });

  test.each(['_method=DELETE', '_m%65thod=DELETE', 'a=1&%5fMETHOD=DELETE', '_method[]=DELETE', 'X-HTTP-Method-Override=DELETE'])(
    'does not get past with ?%s',
    async (query) => {
      expect(code(await get(reader, `/echo?${query}`))).toBe('ambiguous_path');
    },
  );

  test.each(['/echo/', '/echo;a=b', '//echo', '/./echo', '/x/../echo', '/%65cho', '/echo%2f', '/echo%00', '/ECHO', '/echo/%2e%2e/admin'])(
    'does not get past as %s',
    async (path) => {
      expect(['ambiguous_path', 'policy_denied']).toContain(code(await get(reader, path)));
    },
  );

  test('gets one answer for each request of a pipeline, each decided for itself', async () => {
    const head = `Host: ${target}\r\n`;
    const line = await tunnelTo(world.site, reader, target);
    line.send(
      `GET /echo HTTP/1.1\r\n${head}Content-Length: 5\r\n\r\nhelloPOST /echo HTTP/1.1\r\n${head}Content-Length: 0\r\nConnection: close\r\n\r\n`,
    );
    const answer = await line.until('end');
    expect([...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status)).toEqual(['200', '403']);
  });
});

describe('a request', () => {
  test('carries no credential of the program, in whatever spelling, header or trailer', async () => {
    const line = await tunnelTo(world.site, run, target);
    line.send(
      `POST /echo HTTP/1.1\r\nHost: ${target}\r\nAUTHORIZATION: Bearer mine\r\nauthorization: Bearer mine\r\nCookie: mine=1\r\nConnection: close, authorization\r\n` +
        'Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nAuthorization: Bearer mine\r\nX-Ok: 1\r\n\r\n',
    );
    expect(await line.until('end')).toMatch(/^HTTP\/1\.1 200 /);
    const { rawHeaders } = world.upstream.seen.at(-1) ?? { rawHeaders: [] };
    expect(rawHeaders.join(' ')).not.toContain('mine');
    expect(rawHeaders.filter((field) => field.toLowerCase() === 'authorization')).toHaveLength(1);
  });

  test('with a placeholder in a wrong slot, or of another run, is refused and does not leave', async () => {
    const before = world.upstream.seen.length;
    const own = run.variables.EXAMPLE_API_KEY as string;
    const other = (await mallory.startRun()).variables.EXAMPLE_API_KEY as string;
    const tried = [
      await get(run, '/echo', `X-Other: ${own}\r\n`),
      await get(run, `/echo/${own}`),
      await get(run, `/echo?key=${own}`),
      await get(run, '/echo', `Authorization: Bearer ${other}\r\n`),
      await get(run, '/echo', `Authorization: Basic ${Buffer.from(`u:${other}`).toString('base64')}\r\n`),
    ];
    expect(tried.map(code)).toEqual([
      'placeholder_misplaced',
      'placeholder_misplaced',
      'placeholder_misplaced',
      'placeholder_foreign',
      'placeholder_foreign',
    ]);
    expect(world.upstream.seen.length).toBe(before);
  });

  test.each([
    ['both framings', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 'bad_framing'],
    ['an odd coding', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n', 'bad_framing'],
    ['white space before a colon', 'Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n', 'bad_framing'],
    ['two lengths', 'Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd', 'bad_framing'],
    ['a folded line', 'X: a\r\n b: c\r\n\r\n', 'bad_framing'],
    ['two hosts', 'Host: other.test\r\n\r\n', 'bad_framing'],
    ['a head that is too large', `X: ${'a'.repeat(70_000)}\r\n\r\n`, 'bad_framing'],
    ['too many fields', `${'X: a\r\n'.repeat(300)}\r\n`, 'bad_framing'],
  ])('with %s is refused and the connection closed', async (_, rest, wanted) => {
    const before = world.upstream.seen.length;
    expect(code(await once(world.site, run, target, `POST /echo HTTP/1.1\r\nHost: ${target}\r\n${rest}`, 5_000))).toBe(wanted);
    expect(world.upstream.seen.length).toBe(before);
  });
});

test('no name leads through the proxy back to Gatehouse', async () => {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
  const names = [
    ...[
      'localhost',
      'LOCALHOST',
      'localhost.',
      '127.0.0.1',
      '127.0.0.2',
      '127.1',
      '0.0.0.0',
      '2130706433',
      '0x7f.1',
      hostname(),
      world.host,
    ],
    ...['[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[64:ff9b::7f00:1]'],
    ...addresses.map((address) => (address.includes(':') ? `[${address}]` : address)),
  ];
  for (const port of [world.site.port, world.site.proxyPort]) {
    for (const name of names) {
      const { line, answer } = await connectThrough(world.site, run.credential, `${name}:${port}`);
      line.socket.destroy();
      expect([name, code(answer)]).toEqual([
        name,
        expect.stringMatching(/^(own_host_refused|address_refused|bad_framing|upstream_unreachable)$/),
      ]);
    }
  }
});
