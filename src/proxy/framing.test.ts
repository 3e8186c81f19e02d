import http from 'node:http';
import { duplexPair } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isFault } from '#kernel';
import { type BodyReader, bodyReader, type Framing, lastChunkWith, requestFraming, responseFraming } from './framing.ts';
import { findHeadEnd, judgeIncomplete, parseRequestHead, parseResponseHead } from './head.ts';
import { defaultLimits } from './limits.ts';

interface Reading {
  readonly first: string;
  readonly pairs: readonly (readonly [string, string])[];
  readonly body: string;
  readonly rest: string;
}

/** Reads a whole message in pieces of `step` bytes; undefined when it is not complete. */
function read(raw: Buffer, kind: 'request' | 'response', step = raw.length): Reading | undefined {
  const end = findHeadEnd(raw);
  if (end < 0) {
    judgeIncomplete(raw, defaultLimits);
    return undefined;
  }
  let first: string;
  let framing: Framing;
  let pairs: Reading['pairs'];
  if (kind === 'request') {
    const head = parseRequestHead(raw, end, defaultLimits);
    framing = requestFraming(head);
    first = `${head.method} ${head.target}`;
    pairs = head.pairs;
  } else {
    const head = parseResponseHead(raw, end, defaultLimits);
    framing = responseFraming(head, 'GET');
    first = `${head.status} ${head.reason}`;
    pairs = head.pairs;
  }
  return readBody(raw.subarray(end), bodyReader(framing, defaultLimits), step, { first, pairs });
}

function readBody(bytes: Buffer, reader: BodyReader, step: number, head: Pick<Reading, 'first' | 'pairs'>): Reading | undefined {
  let body = '';
  let used = 0;
  for (let at = 0; at < bytes.length && !reader.done; at += step) {
    used = at + reader.push(bytes.subarray(at, at + step), 0, { body: (slice) => (body += slice.toString('latin1')) });
  }
  if (!reader.done && !reader.closed()) return undefined;
  return { ...head, body, rest: bytes.toString('latin1', used) };
}

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'accepted';
  } catch (error) {
    return isFault(error) ? error.code : String(error);
  }
}

const start = 'POST /a HTTP/1.1\r\nHost: a.example\r\n';

describe('a request that two parsers could read in two ways is refused', () => {
  const refused: Record<string, string> = {
    'Content-Length with Transfer-Encoding': `${start}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'Transfer-Encoding with Content-Length': `${start}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n`,
    'two different lengths': `${start}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd`,
    'the same length twice': `${start}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd`,
    'a list of lengths': `${start}Content-Length: 4, 4\r\n\r\nabcd`,
    'a signed length': `${start}Content-Length: +4\r\n\r\nabcd`,
    'a negative length': `${start}Content-Length: -1\r\n\r\n`,
    'a hexadecimal length': `${start}Content-Length: 0x4\r\n\r\nabcd`,
    'an empty length': `${start}Content-Length: \r\n\r\n`,
    'a length with a space inside': `${start}Content-Length: 1 0\r\n\r\nabcd`,
    'a length beyond what a number holds': `${start}Content-Length: 99999999999999999999\r\n\r\n`,
    'an unknown transfer coding': `${start}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    'a list of transfer codings': `${start}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    'chunked twice': `${start}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`,
    'two Transfer-Encoding fields': `${start}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
    identity: `${start}Transfer-Encoding: identity\r\n\r\n`,
    'Transfer-Encoding behind a vertical tab': `${start}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`,
    'Transfer-Encoding with an underscore': `${start}Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
    'Content-Length with an underscore': `${start}Content_Length: 5\r\n\r\nhello`,
    'Transfer-Encoding in quotes': `${start}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`,
    'Transfer-Encoding before a tab': `${start}Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n`,
    'Transfer-Encoding in HTTP/1.0': 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a space before the colon': `${start}Content-Length : 4\r\n\r\nabcd`,
    'a tab before the colon': `${start}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n`,
    'a folded header': `${start}X: a\r\n b\r\n\r\n`,
    'a folded Transfer-Encoding': `${start}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`,
    'a first header that begins with a space': 'GET / HTTP/1.1\r\n Host: a.example\r\n\r\n',
    'a bare line feed in the head': `${start}X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'a bare line feed after the request line': 'GET / HTTP/1.1\nHost: a.example\r\n\r\n',
    'a head of bare line feeds': 'GET / HTTP/1.1\nHost: a.example\n\n',
    'a bare carriage return in a value': `${start}X: a\rb\r\n\r\n`,
    'a carriage return before the line end': `${start}X: a\r\r\n\r\n`,
    'a NUL in a value': `${start}X: a\0b\r\n\r\n`,
    'a NUL in a name': `${start}X\0: a\r\n\r\n`,
    'an escape in a value': `${start}X: \x1b[0m\r\n\r\n`,
    'a name with a byte above 127': `${start}X\xe9: a\r\n\r\n`,
    'an empty name': `${start}: a\r\n\r\n`,
    'a line without a colon': `${start}Transfer-Encoding chunked\r\n\r\n`,
    'a chunk size in another notation': `${start}Transfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n`,
    'a signed chunk size': `${start}Transfer-Encoding: chunked\r\n\r\n+4\r\nabcd\r\n0\r\n\r\n`,
    'a negative chunk size': `${start}Transfer-Encoding: chunked\r\n\r\n-4\r\nabcd\r\n0\r\n\r\n`,
    'an empty chunk size': `${start}Transfer-Encoding: chunked\r\n\r\n\r\nabcd\r\n0\r\n\r\n`,
    'a chunk size behind a space': `${start}Transfer-Encoding: chunked\r\n\r\n 4\r\nabcd\r\n0\r\n\r\n`,
    'a chunk size before a space': `${start}Transfer-Encoding: chunked\r\n\r\n4 \r\nabcd\r\n0\r\n\r\n`,
    'a chunk size that overflows': `${start}Transfer-Encoding: chunked\r\n\r\n10000000000000004\r\nabcd\r\n0\r\n\r\n`,
    'a chunk longer than its size': `${start}Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n`,
    'a chunk that ends in a bare line feed': `${start}Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\n0\r\n\r\n`,
    'a chunk size that ends in a bare line feed': `${start}Transfer-Encoding: chunked\r\n\r\n4\nabcd\r\n0\r\n\r\n`,
    'a bare line feed in a chunk extension': `${start}Transfer-Encoding: chunked\r\n\r\n4;x\nabcd\r\n0\r\n\r\n`,
    'a control character in a chunk extension': `${start}Transfer-Encoding: chunked\r\n\r\n4;\x01\r\nabcd\r\n0\r\n\r\n`,
    'a chunk extension without a name': `${start}Transfer-Encoding: chunked\r\n\r\n4;=x=y\r\nabcd\r\n0\r\n\r\n`,
    'an empty chunk extension': `${start}Transfer-Encoding: chunked\r\n\r\n4;;x\r\nabcd\r\n0\r\n\r\n`,
    'a chunk extension without its value': `${start}Transfer-Encoding: chunked\r\n\r\n4;x=\r\nabcd\r\n0\r\n\r\n`,
    'an endless chunk extension': `${start}Transfer-Encoding: chunked\r\n\r\n4;${'x'.repeat(2000)}\r\nabcd\r\n0\r\n\r\n`,
    'a trailer with a bare line feed': `${start}Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\n\r\n`,
    'a trailer with a space before the colon': `${start}Transfer-Encoding: chunked\r\n\r\n0\r\nX : a\r\n\r\n`,
    'an empty line before the request line': `\r\n${start}\r\n`,
    'a space before the method': ` ${start}\r\n`,
    'a method in lower case': 'get / HTTP/1.1\r\nHost: a.example\r\n\r\n',
    'two spaces before the target': 'GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n',
    'a space in the target': 'GET /a b HTTP/1.1\r\nHost: a.example\r\n\r\n',
    'a tab in the target': 'GET /a\tb HTTP/1.1\r\nHost: a.example\r\n\r\n',
    'a byte above 127 in the target': 'GET /\xe9 HTTP/1.1\r\nHost: a.example\r\n\r\n',
    'a fragment in the target': 'GET /a#b HTTP/1.1\r\nHost: a.example\r\n\r\n',
    'a backslash in the target': 'GET /a\\b HTTP/1.1\r\nHost: a.example\r\n\r\n',
    'a target that is no target': 'GET a HTTP/1.1\r\nHost: a.example\r\n\r\n',
    'a target with user information': 'GET http://a@b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n',
    'a target of another scheme': 'GET ftp://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n',
    'a CONNECT target with a path': 'CONNECT a.example:443/ HTTP/1.1\r\nHost: a.example\r\n\r\n',
    'a CONNECT target with other characters': 'CONNECT a%2eexample:443 HTTP/1.1\r\nHost: a.example\r\n\r\n',
    'no version': 'GET /\r\nHost: a.example\r\n\r\n',
    'another version': 'GET / HTTP/2.0\r\nHost: a.example\r\n\r\n',
    'a version in lower case': 'GET / http/1.1\r\nHost: a.example\r\n\r\n',
    'something after the version': 'GET / HTTP/1.1 x\r\nHost: a.example\r\n\r\n',
    'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'a TLS handshake': '\x16\x03\x01\x02\x00\x01',
    'a body of CONNECT': 'CONNECT a.example:443 HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd',
    'too many headers': `${start}${'a: b\r\n'.repeat(200)}\r\n`,
    'a head that is too large': `${start}a: ${'b'.repeat(40_000)}\r\n\r\n`,
    'a head that is too large and never ends': `${start}a: ${'b'.repeat(40_000)}`,
  };
  for (const [name, raw] of Object.entries(refused)) {
    test(name, () => {
      const bytes = Buffer.from(raw, 'latin1');
      expect(codeOf(() => read(bytes, 'request'))).toBe('bad_framing');
      expect(codeOf(() => read(bytes, 'request', 1))).toBe('bad_framing');
    });
  }
});

describe('a response that two parsers could read in two ways is refused', () => {
  const refused: Record<string, string> = {
    'length and coding': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
    'a coding other than chunked': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'a folded header': 'HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\n\r\n',
    'a bare line feed': 'HTTP/1.1 200 OK\nX: a\r\n\r\n',
    'a space before the colon': 'HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\na',
    'a status of two digits': 'HTTP/1.1 20 OK\r\n\r\n',
    'a status of four digits': 'HTTP/1.1 2000 OK\r\n\r\n',
    'a status below 100': 'HTTP/1.1 099 X\r\n\r\n',
    'a control character in the reason': 'HTTP/1.1 200 O\x01K\r\n\r\n',
    'another protocol': 'ICY 200 OK\r\n\r\n',
    'a bad chunk size': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n',
  };
  for (const [name, raw] of Object.entries(refused)) {
    test(name, () => {
      expect(codeOf(() => read(Buffer.from(raw, 'latin1'), 'response'))).toBe('bad_framing');
    });
  }
});

describe('what is well formed is read', () => {
  test('in pieces of any size with the same result', () => {
    const raw = Buffer.from(
      `${start}Transfer-Encoding: Chunked\r\n\r\n4;a=b\r\nabcd\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET`,
      'latin1',
    );
    for (let step = 1; step <= raw.length; step++) {
      expect(read(raw, 'request', step)).toMatchObject({ first: 'POST /a', body: 'abcd0123456789' });
    }
    expect(read(raw, 'request')?.rest).toBe('GET');
  });

  test('a request without a length has no body', () => {
    expect(read(Buffer.from(`${start}\r\nGET / `), 'request')).toMatchObject({ body: '', rest: 'GET / ' });
  });

  test('answers to HEAD, 1xx, 204 and 304 have no body whatever their headers say', () => {
    const parse = (raw: string) => parseResponseHead(Buffer.from(raw), raw.length, defaultLimits);
    expect(responseFraming(parse('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'), 'HEAD').kind).toBe('none');
    for (const status of [100, 103, 204, 304]) {
      expect(responseFraming(parse(`HTTP/1.1 ${status} X\r\nContent-Length: 5\r\n\r\n`), 'GET').kind).toBe('none');
    }
    expect(responseFraming(parse('HTTP/1.1 200\r\n\r\n'), 'GET').kind).toBe('close');
    expect(parse('HTTP/1.1 200\r\n\r\n').reason).toBe('');
  });

  test('a body that ends early is not whole', () => {
    const reader = bodyReader({ kind: 'length', length: 5 }, defaultLimits);
    reader.push(Buffer.from('abc'), 0, { body() {} });
    expect(reader.closed()).toBe(false);
    const chunks = bodyReader({ kind: 'chunked' }, defaultLimits);
    chunks.push(Buffer.from('3\r\nabc\r\n'), 0, { body() {} });
    expect(chunks.closed()).toBe(false);
  });

  test('trailers are written as they were read', () => {
    expect(lastChunkWith({ pairs: [['X-Sum', '1']], names: ['x-sum'] }).toString()).toBe('0\r\nX-Sum: 1\r\n\r\n');
  });
});

const runs = process.env.GATEHOUSE_TEST_LONG === '1' ? 20_000 : 500;

/** How Node's own parser reads a request, or undefined when it refuses. */
function nodeReadsRequest(raw: Buffer): Promise<Omit<Reading, 'rest'> | undefined> {
  return new Promise((resolve) => {
    const [ours, theirs] = duplexPair();
    const server = http.createServer({ requireHostHeader: false }, (request, response) => {
      let body = '';
      request.setEncoding('latin1');
      request.on('data', (part) => (body += part));
      request.on('error', () => resolve(undefined));
      request.on('end', () => {
        resolve({ first: `${request.method} ${request.url}`, pairs: pairsOf(request.rawHeaders), body });
        response.destroy();
      });
    });
    server.on('clientError', () => resolve(undefined));
    server.on('upgrade', (request) => resolve({ first: `${request.method} ${request.url}`, pairs: pairsOf(request.rawHeaders), body: '' }));
    server.on('connect', (request) => resolve({ first: `${request.method} ${request.url}`, pairs: pairsOf(request.rawHeaders), body: '' }));
    server.on('checkContinue', (request, response) => server.emit('request', request, response));
    server.on('checkExpectation', (request, response) => server.emit('request', request, response));
    theirs.on('error', () => {});
    ours.on('error', () => {});
    ours.resume();
    server.emit('connection', theirs);
    ours.end(raw);
  });
}

function nodeReadsResponse(raw: Buffer): Promise<Omit<Reading, 'rest'> | undefined> {
  return new Promise((resolve) => {
    const [ours, theirs] = duplexPair();
    const request = http.request({ createConnection: () => theirs as never, headers: { connection: 'close' } }, (response) => {
      let body = '';
      response.setEncoding('latin1');
      response.on('data', (part) => (body += part));
      response.on('error', () => resolve(undefined));
      response.on('end', () =>
        resolve({ first: `${response.statusCode} ${response.statusMessage}`, pairs: pairsOf(response.rawHeaders), body }),
      );
    });
    request.on('error', () => resolve(undefined));
    request.end();
    ours.on('error', () => {});
    ours.once('data', () => ours.end(raw));
  });
}

function pairsOf(raw: readonly string[]): (readonly [string, string])[] {
  return Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i] as string, raw[2 * i + 1] as string] as const);
}

const noise = fc.constantFrom(...'\r\n \t:;,=0aA\0\x0b\x7f\xe9"+-'.split(''), '\r\n', '\n', '\r\n\r\n', '\r\n ', 'chunked', '0\r\n\r\n');
const fieldPart = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('X: a', 'Host: a.example', 'Accept: */*', 'X-Long:  b  c\t', 'Cookie: a=b; c=d') },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      'Content-Length: 5',
      'Content-Length: 05',
      'content-length:5',
      'Transfer-Encoding: chunked',
      'TRANSFER-ENCODING:chunked',
      'Transfer-Encoding: gzip',
      'Transfer-Encoding : chunked',
      'Content-Length: 0',
      'Connection: close',
      'Expect: 100-continue',
    ),
  },
);
const bodyPart = fc.constantFrom(
  '',
  'abcde',
  '5\r\nabcde\r\n0\r\n\r\n',
  '5;x=y\r\nabcde\r\n0\r\nT: 1\r\n\r\n',
  '00005\r\nabcde\r\n000\r\n\r\n',
  'abcdeGET / HTTP/1.1\r\n\r\n',
);

function messages(firstLines: readonly string[]): fc.Arbitrary<Buffer> {
  return fc
    .tuple(
      fc.constantFrom(...firstLines),
      fc.array(fieldPart, { maxLength: 5 }),
      bodyPart,
      fc.array(fc.tuple(fc.nat(200), noise, fc.nat(2)), { maxLength: 2 }),
    )
    .map(([first, fields, body, edits]) => {
      let raw = `${[first, ...fields].join('\r\n')}\r\n\r\n${body}`;
      for (const [at, text, removed] of edits) raw = raw.slice(0, at % raw.length) + text + raw.slice((at % raw.length) + removed);
      return Buffer.from(raw, 'latin1');
    });
}

async function agrees(raw: Buffer, kind: 'request' | 'response', node: (raw: Buffer) => Promise<Omit<Reading, 'rest'> | undefined>) {
  let ours: Reading | undefined;
  try {
    ours = read(raw, kind);
  } catch (error) {
    expect(isFault(error, 'bad_framing')).toBe(true);
  }
  if (ours === undefined) return;
  const method = ours.first.split(' ')[0] ?? '';
  if (kind === 'request' && !http.METHODS.includes(method)) return;
  const { rest, ...reading } = ours;
  expect(await node(raw.subarray(0, raw.length - rest.length))).toEqual(reading);
}

test("whatever request we accept, Node's parser reads the same way", async () => {
  const lines = ['GET / HTTP/1.1', 'POST /a?b=c HTTP/1.1', 'PUT /%2f HTTP/1.0', 'DELETE http://a.example/ HTTP/1.1', 'OPTIONS * HTTP/1.1'];
  await fc.assert(
    fc.asyncProperty(messages(lines), (raw) => agrees(raw, 'request', nodeReadsRequest)),
    { numRuns: runs },
  );
});

test("whatever response we accept, Node's parser reads the same way", async () => {
  const lines = ['HTTP/1.1 200 OK', 'HTTP/1.1 404', 'HTTP/1.1 500 ', 'HTTP/1.0 200 fine, thanks'];
  await fc.assert(
    fc.asyncProperty(messages(lines), (raw) => agrees(raw, 'response', nodeReadsResponse)),
    { numRuns: runs },
  );
});

test('random bytes never do more than be refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom('request' as const, 'response' as const), (bytes, kind) => {
      const code = codeOf(() => read(Buffer.from(bytes), kind));
      expect(['accepted', 'bad_framing']).toContain(code);
    }),
    { numRuns: runs },
  );
});
