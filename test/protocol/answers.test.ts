import type { IncomingMessage, ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { canary, type Gateway, openGateway, service, startApi } from '../support/gateway.ts';
import type { Upstream } from '../support/upstream.ts';

let api: Upstream;
let gateway: Gateway;
let target: string;

const value = (headers: Readonly<Record<string, unknown>>) => String(headers['x-api-key']);
const awkward = 'sk-canary/with+odd=characters&"quoted"';

/** What a token endpoint answers, in its several forms. */
function tokens({ url }: IncomingMessage, response: ServerResponse): void {
  const answer = { access_token: 'canary-access', token_type: 'bearer', nested: { refresh_token: 'canary-refresh' } };
  if (url?.endsWith('form')) response.end('access_token=canary-access&token_type=bearer');
  else if (url?.endsWith('gzip')) response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(JSON.stringify(answer)));
  else response.end(JSON.stringify(answer));
}

beforeAll(async () => {
  api = await startApi({
    plain: ({ headers }, response) => response.end(`you sent ${value(headers)} twice: ${value(headers)}`),
    base64: ({ headers }, response) => response.end(Buffer.from(`some ${value(headers)} more`).toString('base64')),
    base64url: ({ headers }, response) => response.end(Buffer.from(`s ${value(headers)} more`).toString('base64url')),
    percent: ({ headers }, response) => response.end(encodeURIComponent(`some ${value(headers)} more`)),
    hex: ({ headers }, response) => response.end(Buffer.from(`some ${value(headers)} more`).toString('hex')),
    json: ({ headers }, response) => response.end(JSON.stringify({ deep: { header: value(headers) } })),
    packed: ({ headers }, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(`some ${value(headers)} more`)),
    field: ({ headers }, response) => response.writeHead(200, 'OK', { 'x-echo': value(headers), location: `/x?k=${value(headers)}` }).end(),
    reason: ({ headers }, response) => response.writeHead(200, `got ${value(headers)}`).end(),
    error: ({ headers }, response) => response.writeHead(500).end(`failed with ${value(headers)}`),
    trailing: ({ headers }, response) => {
      response.writeHead(200, { trailer: 'x-sum' }).write('body');
      response.addTrailers({ 'x-sum': value(headers) });
      response.end();
    },
    fields: ({ url }, response) => {
      response.writeEarlyHints({ link: '</a>; rel=preload', 'alt-svc': 'h3=":443"' });
      response.writeHead(Number(url?.split('/')[2]), {
        'www-authenticate': 'Bearer realm="api"',
        'proxy-authenticate': 'Basic realm="a trap"',
        'gatehouse-request': 'forged',
        'set-cookie': ['a=1; Path=/', 'b=2'],
        'alt-svc': 'h3=":443"',
        trailer: 'x-sum',
      });
      response.write('body');
      response.addTrailers({ 'x-sum': '1', 'set-cookie': 'c=3', 'www-authenticate': 'Basic', 'alt-svc': 'clear', 'proxy-x': '1' });
      response.end();
    },
    oauth: tokens,
    OAuth: tokens,
    challenge: ({ headers }, response) =>
      response
        .writeHead(403, {
          'www-authenticate': `Bearer realm="api", hint="${value(headers)}"`,
          'proxy-authenticate': 'Basic realm="a trap"',
          'set-cookie': ['session=of-the-account; HttpOnly', 'theme=dark'],
          'alt-svc': 'h3=":443"; ma=86400',
        })
        .end(),
  });
  gateway = await openGateway({ ports: [api.port] });
  await gateway.add(service('custom', [{ host: 'api.test', port: api.port }], { inject: [{ kind: 'header', name: 'X-Api-Key' }] }));
  target = `api.test:${api.port}`;
});

/** Every plain form of a value that a reader could turn back. */
function readable(text: string, secret: string): boolean {
  const forms = [text, Buffer.from(text, 'base64').toString('latin1'), Buffer.from(text, 'hex').toString('latin1')];
  try {
    forms.push(decodeURIComponent(text));
  } catch {}
  return forms.some((form) => form.includes(secret));
}

describe('an upstream that sends back what it was sent', () => {
  for (const route of ['plain', 'base64', 'base64url', 'percent', 'hex', 'json', 'packed', 'field', 'reason', 'error', 'trailing']) {
    test(`as ${route}: the credential does not reach the program, and the trail says that something was masked`, async () => {
      const { text, body } = await gateway.ask(target, `GET /${route} HTTP/1.1\r\nTE: trailers`);
      expect(api.seen.at(-1)?.headers['x-api-key']).toBe(canary);
      expect(text).not.toContain(canary);
      expect(readable(body, canary)).toBe(false);
      await gateway.people.audit.flush();
      const { events } = await gateway.people.audit.search(gateway.run.organization, { name: 'call.finished', limit: 1 });
      expect(Number(events[0]?.fields.scrubbed)).toBeGreaterThan(0);
    });
  }

  test('a credential of awkward characters does not reach the program in any of these forms either', async () => {
    const own = await openGateway({ ports: [api.port] });
    const inject = [{ kind: 'header', name: 'X-Api-Key' }];
    await own.add(service('custom', [{ host: 'api.test', port: api.port }], { inject }), { api_key: awkward });
    for (const route of ['plain', 'base64', 'percent', 'hex', 'json', 'packed']) {
      const { body } = await own.ask(target, `GET /${route} HTTP/1.1`);
      expect(readable(body, awkward), route).toBe(false);
      expect(body, route).not.toContain(JSON.stringify(awkward).slice(1, -1));
    }
  });
});

test('cookies and challenges of the upstream pass, scrubbed; a challenge that looks like the proxy’s and offers of HTTP/3 do not', async () => {
  const { status, head } = await gateway.ask(target, 'GET /challenge HTTP/1.1');
  expect(status).toBe(403);
  expect(head).toContain(`www-authenticate: Bearer realm="api", hint="${'*'.repeat(canary.length)}"`);
  expect(head).toContain('set-cookie: session=of-the-account; HttpOnly\r\nset-cookie: theme=dark');
  expect(head).not.toMatch(/proxy-authenticate|alt-svc/i);
});

const answering = [
  ['with a credential of ours', {}],
  ['with the program’s own', { passCredential: true }],
] as const;
test.each(answering)(
  'the policy for cookies, challenges and offers is the same for a call %s, also in trailers and before the answer',
  async (_, more) => {
    const own = await openGateway({ ports: [api.port] });
    await own.add(service('custom', [{ host: 'api.test', port: api.port }]), { api_key: canary }, more);
    for (const status of [200, 401, 403, 500]) {
      const { text } = await own.ask(target, `GET /fields/${status} HTTP/1.1\r\nAuthorization: Bearer mine\r\nTE: trailers`);
      expect(text).toContain(`\r\nHTTP/1.1 ${status} `);
      expect(text.match(/^set-cookie: .*$/gim)).toEqual(['set-cookie: a=1; Path=/', 'set-cookie: b=2']);
      expect(text.match(/^www-authenticate: .*$/gim)).toEqual(['www-authenticate: Bearer realm="api"']);
      expect(text).not.toMatch(/alt-svc|proxy-|gatehouse-/i);
      expect(text).toMatch(/^x-sum: 1$/im);
    }
  },
);

test('the tokens that a provider’s own token endpoint answers with do not reach the program, whatever permits the call', async () => {
  const own = await openGateway({ ports: [api.port] });
  const plain = service('custom', [{ host: 'api.test', port: api.port }]);
  const endpoint = `https://api.test:${api.port}/oauth/token`;
  const flow = { kind: 'oauth2', flows: ['client_credentials'], token_endpoint: endpoint, scopes: [], inject: [{ kind: 'bearer' }] };
  const operations = [
    { id: 'oauth.token', title: 'Tokens', classes: ['mint-credential'], match: [{ methods: ['POST'], path: '/oauth/token' }] },
  ];
  await own.add(
    { ...plain, auth: [...plain.auth, flow], operations } as typeof plain,
    { api_key: canary },
    {
      reach: { classes: ['mint-credential'], operations: [], patterns: [], everything: true },
    },
  );
  for (const path of ['/oauth/token', '/oauth/token?form', '/OAuth/Token', '/oauth/token?gzip']) {
    const { status, body } = await own.ask(target, `POST ${path} HTTP/1.1`);
    expect([status, body.length], path).toEqual([200, expect.any(Number)]);
    expect(body, path).toMatch(/token_type/);
    expect(body, path).not.toContain('canary');
  }
  expect((await own.ask(target, 'POST /oauth/other HTTP/1.1')).body).toContain('canary-access');
});

test('a cookie of the upstream does not come back to it through a connection', async () => {
  await gateway.ask(target, 'GET /challenge HTTP/1.1\r\nCookie: session=of-the-account');
  expect(api.seen.at(-1)?.headers.cookie).toBeUndefined();
});

test('a refusal is a problem document of ours with a code, what to do and where to go, which no upstream can forge', async () => {
  const own = await openGateway({ ports: [api.port] });
  const definition = service('custom', [{ host: 'api.test', port: api.port }]);
  await own.register(definition);
  const connection = await own.connectKey('custom', { api_key: canary });
  await own.again();
  const refused = await own.ask(target, 'GET /plain HTTP/1.1');
  expect(refused.head).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
  expect(refused.head).toContain('Content-Type: application/problem+json');
  expect(refused.head).toContain('Gatehouse-Refusal: policy_denied');
  expect(refused.json()).toMatchObject({
    code: 'policy_denied',
    status: 403,
    source: 'gatehouse',
    hint: expect.stringContaining('gatehouse policy allow'),
    request_id: expect.stringMatching(/^req_/),
  });
  await own.permit(connection);
  expect((await own.ask(target, 'GET /plain HTTP/1.1\r\nGatehouse-Refusal: forged')).head).not.toMatch(/gatehouse-refusal/i);
  await own.people.store.sealed.remove(`vault:${connection.vault}:custom:connection:default`, 1);
  await own.write((tx) => tx.bump('connections'));
  const attention = await own.ask(target, 'GET /plain HTTP/1.1');
  expect(attention.json()).toMatchObject({ url: expect.stringMatching(/^https:\/\/gatehouse\.example\//) });
});
