import { beforeAll, describe, expect, test } from 'vitest';
import type { Connection } from '#connect';
import { Secret } from '#kernel';
import { connectByCode, giveClient, localDefinition, type Script, startScriptedProvider } from '../support/connecting.ts';
import { openGateway, service, startApi } from '../support/gateway.ts';
import type { Upstream } from '../support/upstream.ts';

const minute = 60_000;
let api: Upstream;
let target: string;
/** The only token the API takes. */
let good = '';

beforeAll(async () => {
  api = await startApi({
    guarded: ({ headers }, response) =>
      headers.authorization === `Bearer ${good}`
        ? response.end('welcome')
        : response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end('unknown token'),
  });
  target = `api.test:${api.port}`;
});

const numbered: Script = (_, count) => ({
  body: { access_token: `canary-token-${count - 1}`, refresh_token: `refresh-${count - 1}`, expires_in: 3600 },
});

async function standing(script: Script = numbered) {
  const provider = await startScriptedProvider(script);
  const gateway = await openGateway({ ports: [api.port], brokering: { ports: [provider.port] } });
  await gateway.register(localDefinition(provider.origin, { hosts: [{ host: 'api.test', port: api.port }] }));
  const asked = (grant: string) => provider.tokenRequests().filter(({ parameters }) => parameters.grant_type === grant);
  return { ...gateway, provider, asked };
}

async function byCode(script?: Script) {
  const given = await standing(script);
  const { connection } = await connectByCode(given);
  await given.permit(connection);
  await given.again();
  return given;
}

describe('a token that the API no longer takes', () => {
  test('is refreshed once and the call repeated once, unseen by the program', async () => {
    const { ask, people, asked, again } = await byCode();
    good = 'canary-token-0';
    expect((await ask(target, 'GET /guarded HTTP/1.1')).body).toBe('welcome');
    await people.pass(2 * minute);
    await again();
    good = 'canary-token-1';
    const seen = api.seen.length;
    const { status, text } = await ask(target, 'GET /guarded HTTP/1.1');
    expect(status).toBe(200);
    expect(text).not.toMatch(/canary|refresh-/);
    expect(api.seen.slice(seen).map(({ headers }) => headers.authorization)).toEqual(['Bearer canary-token-0', 'Bearer canary-token-1']);
    expect(asked('refresh_token')).toHaveLength(1);
  });

  const large = 'x'.repeat(100_000);
  test.each([
    ['that is not idempotent', 'POST /guarded HTTP/1.1\r\nContent-Length: 2', '{}'],
    ['whose body is too large to keep', `PUT /guarded HTTP/1.1\r\nContent-Length: ${large.length}`, large],
  ])('is refreshed for the next call by one %s: that one is sent once, and its 401 passed on', async (_, request, sent) => {
    const { ask, people, again, asked } = await byCode();
    await people.pass(2 * minute);
    await again();
    good = 'canary-token-1';
    const seen = api.seen.length;
    const { status, body } = await ask(target, request, sent);
    expect([status, body]).toEqual([401, 'unknown token']);
    expect(api.seen.length).toBe(seen + 1);
    expect(asked('refresh_token')).toHaveLength(1);
    expect((await ask(target, request, sent)).body).toBe('welcome');
    expect(asked('refresh_token')).toHaveLength(1);
  });

  test('is refreshed also when the 401 comes before the whole body was sent', async () => {
    const { ask, open, people, again, asked } = await byCode();
    await people.pass(2 * minute);
    await again();
    good = 'canary-token-1';
    const { send, until } = await open(target);
    send(`POST /early HTTP/1.1\r\nHost: ${target}\r\nContent-Length: 10\r\n\r\nhalf`);
    expect(await until('too early')).toContain('401');
    await expect.poll(() => asked('refresh_token')).toHaveLength(1);
    await expect.poll(async () => (await ask(target, 'GET /guarded HTTP/1.1')).body).toBe('welcome');
  });

  test('is not refreshed again when the new one is refused as well: the 401 is passed on, then the owner is needed', async () => {
    const { ask, people, again, asked } = await byCode();
    await people.pass(2 * minute);
    await again();
    good = 'never';
    expect((await ask(target, 'GET /guarded HTTP/1.1')).status).toBe(401);
    expect(asked('refresh_token')).toHaveLength(1);
    await people.pass(2 * minute);
    expect((await ask(target, 'GET /guarded HTTP/1.1')).status).toBe(401);
    expect(asked('refresh_token')).toHaveLength(1);
    expect((await ask(target, 'GET /guarded HTTP/1.1')).json()).toMatchObject({ code: 'needs_attention' });
  });
});

test('a token that a client gets for itself is kept until it ends, and then minted once for a hundred calls at once', async () => {
  const { connect, by, permit, ask, people, write, again, asked } = await standing((_, count) => ({
    body: { access_token: `canary-token-${count - 1}`, expires_in: 3600 },
  }));
  await giveClient({ connect, people, by }, 'local', { id: 'service', secret: new Secret('the-client-secret') });
  const { id } = await connect.begin(by, { provider: 'local', name: 'default', flow: 'client_credentials', force: false, allow: [] });
  const flow = await connect.flow(by.organization, id);
  expect(flow?.state.kind).toBe('connected');
  const [connection] = await connect.candidates(by.organization, await people.identity.vaultsOf(by), 'local');
  await write((tx) => connect.confirm(tx, by, { connection: (connection as Connection).id, flow: id }));
  await permit(connection as Connection);
  await again();
  for (let i = 0; i < 3; i++) await ask(target, 'GET /echo HTTP/1.1');
  expect(asked('client_credentials')).toHaveLength(1);
  await people.pass(60 * minute + 1);
  await again();
  const answers = await Promise.all(Array.from({ length: 100 }, () => ask(target, 'GET /echo HTTP/1.1')));
  expect(answers.map(({ status }) => status)).toEqual(Array(100).fill(200));
  expect(asked('client_credentials')).toHaveLength(2);
  expect(api.seen.at(-1)?.headers.authorization).toBe('Bearer canary-token-1');
  const { events } = await people.audit.search(by.organization, { limit: 500 });
  expect(JSON.stringify(events)).not.toMatch(/canary|the-client-secret/);
});

describe('several connections of one service', () => {
  test('the default is taken until a call names another; without a default the answer is 409 with the choices', async () => {
    const { register, connectKey, permit, again, ask, connect, by } = await openGateway({ ports: [api.port] });
    await register(service('custom', [{ host: 'api.test', port: api.port }]));
    const names = ['default', 'home', 'work'];
    const connections: Connection[] = [];
    for (const name of names) connections.push(await connectKey('custom', { api_key: `key-of-${name}` }, name));
    for (const one of connections) await permit(one);
    await again();
    const key = async (field = '') => {
      const { status, text } = await ask(target, `GET /echo HTTP/1.1${field}`);
      return status === 200 ? String(api.seen.at(-1)?.headers.authorization).replace('Bearer key-of-', '') : text;
    };
    expect(await key()).toBe('default');
    expect(await key('\r\nGatehouse-Connection: work')).toBe('work');
    await again({ connections: { custom: 'home' } });
    expect(await key()).toBe('home');
    await again();
    await connect.disconnect(by, (connections[0] as Connection).id);
    const refused = await key();
    expect(refused).toMatch(/^HTTP\/1\.1 409 /);
    expect(refused).toContain('connection_ambiguous');
    expect(refused).toContain('custom/home, custom/work');
    expect(await key('\r\nGatehouse-Connection: home')).toBe('home');
  });
});
