import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { canary, fieldsOf, type Gateway, openGateway, service, startApi } from '../support/gateway.ts';
import type { Upstream } from '../support/upstream.ts';

let api: Upstream;
let target: string;
beforeAll(async () => {
  api = await startApi();
  target = `api.test:${api.port}`;
});

const at = (path?: string, host = 'api.test') => ({ host, port: api.port, ...(path === undefined ? {} : { path }) });
const latest = () => api.seen.at(-1) as NonNullable<(typeof api.seen)[number]>;

async function injecting(
  inject: readonly object[],
  fields: Readonly<Record<string, string>> = { api_key: canary },
  more: Readonly<Record<string, unknown>> = {},
): Promise<Gateway> {
  const gateway = await openGateway({ ports: [api.port] });
  await gateway.add(service('custom', [at()], { inject, fields: Object.keys(fields), ...more }), fields);
  return gateway;
}

describe('a credential arrives exactly once, in place of every value that the client sent in its slot', () => {
  test('as a bearer', async () => {
    const { ask } = await injecting([{ kind: 'bearer', part: 'api_key' }]);
    const { status, text } = await ask(target, 'GET /echo HTTP/1.1\r\nAUTHORIZATION: Bearer mine\r\nauthorization: Basic bWluZTpt');
    expect(status).toBe(200);
    expect(fieldsOf(latest(), 'authorization')).toEqual([`Bearer ${canary}`]);
    expect(text).not.toContain(canary);
  });

  test('as Basic', async () => {
    const { ask } = await injecting([{ kind: 'basic' }], { username: 'ada', password: canary });
    await ask(target, 'GET /echo HTTP/1.1\r\nAuthorization: Bearer mine\r\nAuthorization: Basic bWluZTpt');
    expect(fieldsOf(latest(), 'authorization')).toEqual([`Basic ${Buffer.from(`ada:${canary}`).toString('base64')}`]);
  });

  test('as a header with a prefix', async () => {
    const { ask } = await injecting([{ kind: 'header', name: 'X-Api-Key', prefix: 'Key ' }]);
    await ask(target, 'GET /echo HTTP/1.1\r\nx-api-key: a\r\nX-API-KEY: b\r\nAuthorization: Bearer mine\r\nCookie: session=mine');
    expect(fieldsOf(latest(), 'x-api-key')).toEqual([`Key ${canary}`]);
    expect(fieldsOf(latest(), 'authorization')).toEqual([]);
    expect(fieldsOf(latest(), 'cookie')).toEqual([]);
  });

  test('as several headers of several parts', async () => {
    const inject = [
      { kind: 'header', name: 'X-App', part: 'app' },
      { kind: 'header', name: 'X-App-Key', part: 'api_key' },
    ];
    const { ask } = await injecting(inject, { app: 'app-4711-sealed', api_key: canary });
    await ask(target, 'GET /echo HTTP/1.1\r\nX-APP: mine\r\nx-app-key: mine');
    expect(fieldsOf(latest(), 'x-app')).toEqual(['app-4711-sealed']);
    expect(fieldsOf(latest(), 'x-app-key')).toEqual([canary]);
  });

  test('as a query parameter, however the client spelled its own', async () => {
    const { ask } = await injecting([{ kind: 'query', name: 'key' }]);
    await ask(target, 'GET /echo?a=1&KEY=x&k%65y=y&key[]=z&b=%26;key=w HTTP/1.1');
    expect(latest().url).toBe(`/echo?a=1&b=%26&key=${canary}`);
    await ask(target, 'GET /echo HTTP/1.1');
    expect(latest().url).toBe(`/echo?key=${canary}`);
  });

  test('as a segment of the path', async () => {
    const { ask } = await injecting([{ kind: 'path', template: '/bot{api_key}/' }], { api_key: '123:canary-of-a-path' });
    await ask(target, 'GET /botmine/echo?x=1 HTTP/1.1');
    expect(latest().url).toBe('/bot123:canary-of-a-path/echo?x=1');
  });

  test('as a cookie, instead of all that the client sent', async () => {
    const { ask } = await injecting([{ kind: 'cookie', name: 'session' }]);
    await ask(target, 'GET /echo HTTP/1.1\r\nCookie: session=mine; theme=dark\r\ncookie: session=again');
    expect(fieldsOf(latest(), 'cookie')).toEqual([`session=${canary}`]);
  });

  test('in place of a placeholder, wherever the provider takes one, also inside Basic', async () => {
    const { ask, current } = await injecting([{ kind: 'placeholder', slots: ['header', 'query'] }]);
    const placeholder = current.started.variables.CUSTOM_KEY as string;
    const basic = Buffer.from(`user:${placeholder}`).toString('base64');
    await ask(
      target,
      `GET /echo?q=${placeholder} HTTP/1.1\r\nX-Odd: v1 ${placeholder}\r\nAuthorization: Bearer own\r\nAuthorization: Basic ${basic}`,
    );
    expect(latest().url).toBe(`/echo?q=${canary}`);
    expect(fieldsOf(latest(), 'x-odd')).toEqual([`v1 ${canary}`]);
    expect(fieldsOf(latest(), 'authorization')).toEqual([`Basic ${Buffer.from(`user:${canary}`).toString('base64')}`]);
  });
});

describe('services on one host', () => {
  test('have each its own credential by path, on segment boundaries, the longest first', async () => {
    const { add, ask } = await openGateway({ ports: [api.port] });
    await add(service('files', [at('/files')]), { api_key: 'key-of-files' });
    await add(service('admin', [at('/files/admin')]), { api_key: 'key-of-admin' });
    const key = async (path: string) => {
      await ask(target, `GET ${path} HTTP/1.1`);
      return fieldsOf(latest(), 'authorization').join().replace('Bearer key-of-', '');
    };
    expect(await key('/files')).toBe('files');
    expect(await key('/files/x?y=/files/admin')).toBe('files');
    expect(await key('/files/admin/x')).toBe('admin');
    expect(await key('/files/administrator')).toBe('files');
  });

  test('an exact host comes before a suffix', async () => {
    const wild = await startApi({}, 'a.wild.test');
    const other = await startApi({}, 'b.wild.test');
    const { add, ask } = await openGateway({ ports: [wild.port, other.port] });
    const ports = [wild.port, other.port];
    await add(
      service(
        'wide',
        ports.map((port) => ({ host: '*.wild.test', port, tenant: false })),
      ),
      { api_key: 'key-of-wide' },
    );
    await add(service('exact', [{ host: 'a.wild.test', port: wild.port }]), { api_key: 'key-of-exact' });
    await ask(`a.wild.test:${wild.port}`, 'GET /echo HTTP/1.1');
    expect(wild.seen.at(-1)?.headers.authorization).toBe('Bearer key-of-exact');
    await ask(`b.wild.test:${other.port}`, 'GET /echo HTTP/1.1');
    expect(other.seen.at(-1)?.headers.authorization).toBe('Bearer key-of-wide');
  });

  test('of one provider share its credential, and what lies beside their paths gets none, not even the client’s own', async () => {
    const { add, ask } = await openGateway({ ports: [api.port] });
    await add(service('suite', [at('/drive/v3'), at('/calendar/v3'), at('/upload/drive/v3')]));
    for (const path of ['/drive/v3/files', '/calendar/v3', '/upload/drive/v3/files']) {
      await ask(target, `GET ${path} HTTP/1.1`);
      expect(latest(), path).toMatchObject({ url: path, headers: { authorization: `Bearer ${canary}` } });
    }
    for (const path of ['/drive/v2/files', '/calendar/v33', '/', '/driveX/v3', '/upload']) {
      await ask(target, `GET ${path} HTTP/1.1\r\nAuthorization: Bearer mine`);
      expect(latest().url).toBe(path);
      expect(latest().headers.authorization, path).toBeUndefined();
    }
  });

  test('a path that can be read in two ways gets the credential of none of them', async () => {
    const { add, ask } = await openGateway({ ports: [api.port] });
    await add(service('files', [at('/files')]), { api_key: 'key-of-files' });
    await add(service('admin', [at('/admin')]), { api_key: 'key-of-admin' });
    const seen = api.seen.length;
    for (const path of ['/files/../admin', '/files/%2e%2e/admin', '/files%2f..%2fadmin', '/files//../admin', '/files/.%2E/admin']) {
      const { status, text } = await ask(target, `GET ${path} HTTP/1.1`);
      expect(status, path).toBe(403);
      expect(text).toContain('ambiguous_path');
    }
    expect(api.seen.length).toBe(seen);
  });
});

describe('a placeholder', () => {
  test('in a slot or at a host that does not take it is refused with 403 and on record, and nothing leaves', async () => {
    const { ask, current, people, add } = await injecting([{ kind: 'bearer', part: 'api_key' }]);
    await add(service('second', [at('/second', 'other.test')]));
    const placeholder = current.started.variables.CUSTOM_KEY as string;
    const seen = api.seen.length;
    for (const request of [
      `GET /echo HTTP/1.1\r\nX-Note: ${placeholder}`,
      `GET /echo?a=${placeholder} HTTP/1.1`,
      `GET /${placeholder} HTTP/1.1`,
      `GET /echo HTTP/1.1\r\nReferer: https://x.test/?t=${placeholder}`,
    ]) {
      const { status, text } = await ask(target, request);
      expect(status).toBe(403);
      expect(text).toContain('placeholder_misplaced');
    }
    expect(api.seen.length).toBe(seen);
    await people.audit.flush();
    const { events } = await people.audit.search(current.run.organization, { name: 'call.denied', limit: 9 });
    expect(events).toHaveLength(4);
    expect(JSON.stringify(events)).not.toContain(placeholder);
  });

  test('of another agent is refused, wherever it stands', async () => {
    const gateway = await injecting([{ kind: 'bearer', part: 'api_key' }]);
    const { started } = await gateway.startRun();
    const foreign = started.variables.CUSTOM_KEY as string;
    const seen = api.seen.length;
    const { status, text } = await gateway.ask(target, `GET /echo HTTP/1.1\r\nAuthorization: Bearer ${foreign}`);
    expect(status).toBe(403);
    expect(text).toContain('placeholder_foreign');
    expect(api.seen.length).toBe(seen);
  });
});

describe('a body', () => {
  test('keeps its length, its chunks stay chunks, and a compressed one arrives byte for byte', async () => {
    const { ask } = await injecting([{ kind: 'bearer', part: 'api_key' }]);
    await ask(target, 'POST /echo HTTP/1.1\r\nContent-Length: 5', 'hello');
    expect(latest()).toMatchObject({ body: 'hello', headers: { 'content-length': '5' } });
    expect(latest().headers['transfer-encoding']).toBeUndefined();
    await ask(target, 'POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked', '2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n');
    expect(latest()).toMatchObject({ body: 'hello', headers: { 'transfer-encoding': 'chunked' } });
    expect(latest().headers['content-length']).toBeUndefined();
    const packed = gzipSync('{"a":1}').toString('latin1');
    const { json } = await ask(target, `POST /digest HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: ${packed.length}`, packed);
    expect(latest().headers['content-encoding']).toBe('gzip');
    expect(json()).toMatchObject({ bytes: packed.length });
  });
});

test('reserved characters that are percent-encoded survive in path and query, whatever is injected beside them', async () => {
  const { ask } = await injecting([
    { kind: 'query', name: 'key' },
    { kind: 'header', name: 'X-Key' },
  ]);
  await ask(target, 'GET /echo/a%20b/%e2%82%AC;x=(1)/%3Aid%40?q=%26&p=a+b&&r=%zz&u=%2F HTTP/1.1');
  expect(latest().url).toBe(`/echo/a%20b/%e2%82%AC;x=(1)/%3Aid%40?q=%26&p=a+b&&r=%zz&u=%2F&key=${canary}`);
});

test('a credential that cannot be had is a clear answer that names the service and what mends it, and nothing leaves', async () => {
  const { add, ask, people, write } = await openGateway({ ports: [api.port] });
  const { vault } = await add(service('custom', [at()]));
  const seen = api.seen.length;
  await people.store.sealed.remove(`vault:${vault}:custom:connection:default`, 1);
  await write((tx) => tx.bump('connections'));
  for (let i = 0; i < 2; i++) {
    const { status, json } = await ask(target, 'GET /echo HTTP/1.1');
    expect(status).toBe(502);
    expect(json()).toMatchObject({ source: 'gatehouse', code: 'needs_attention', hint: expect.stringContaining('gatehouse login custom') });
  }
  expect(api.seen.length).toBe(seen);
});
