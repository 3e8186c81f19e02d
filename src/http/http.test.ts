import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { schemas } from '#api';
import { Fault } from '#kernel';
import { proofOf, testIssuer, testKeys } from '../../test/support/people.ts';
import { agentOf, openServing, proving, type Serving, signedIn, testReadiness } from '../../test/support/serving.ts';

/** Bytes out, bytes back until the server closes. */
function raw(serving: Serving, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(serving.port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (part) => {
      answer += part.toString();
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}

describe('before set-up', () => {
  it('only health, the set-up page and its link answer', async () => {
    const serving = await openServing();
    for (const path of [
      '/',
      '/signin',
      '/v1/whoami',
      '/v1/agents',
      '/claim',
      '/llms.txt',
      '/nothing',
      '/v1/command-line',
      '/healthy',
      '/health/x',
    ]) {
      const answer = await serving.send({ path });
      expect([path, answer.status]).toEqual([path, 503]);
    }
    for (const path of ['/health', '/health/live', '/health/ready']) expect((await serving.send({ path })).status).toBe(200);
    expect((await serving.send({ path: '/setup?token=x' })).status).toBe(410);
    const registering = await serving.send({
      method: 'POST',
      path: '/v1/agents',
      local: true,
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(registering.json()).toMatchObject({ code: 'setup_required' });
  });

  it('prints a new link over the local socket, and there alone, until it is closed', async () => {
    const serving = await openServing();
    const ask = { method: 'POST', path: '/v1/setup-link' };
    expect((await serving.send(ask)).status).toBe(503);
    const answer = await serving.send({ ...ask, local: true });
    expect(answer.status).toBe(201);
    const link = new URL(String(answer.json().url));
    expect((await serving.send({ path: link.pathname + link.search })).status).toBe(200);
    await signedIn(serving);
    expect((await serving.send({ ...ask, local: true })).json()).toMatchObject({ code: 'setup_closed' });
    expect((await serving.send({ path: link.pathname + link.search })).status).toBe(410);
  });
});

describe('health', () => {
  it('answers as monitors expect, and tells nothing else', async () => {
    const serving = await openServing();
    expect((await serving.send({ path: '/health' })).json()).toEqual({ status: 'ok', version: '1.2.3' });
    expect((await serving.send({ path: '/health/ready' })).json()).toEqual({
      status: 'ready',
      version: '1.2.3',
      database: 'connected',
      ephemera: 'connected',
      sealed_store: 'connected',
      migrations: 'current',
    });
    expect((await serving.send({ path: '/health', method: 'HEAD' })).text).toBe('');
  });

  it('is not ready without its database', async () => {
    const readiness = async () => ({ ...testReadiness, ready: false, database: 'unreachable' as const, reason: 'database' });
    const serving = await openServing({ http: { readiness } });
    const answer = await serving.send({ path: '/health/ready' });
    expect(answer.status).toBe(503);
    expect(answer.json()).toEqual({
      status: 'not_ready',
      version: '1.2.3',
      database: 'unreachable',
      ephemera: 'connected',
      sealed_store: 'connected',
      migrations: 'current',
      reason: 'database',
    });
  });
});

describe('every answer', () => {
  it('carries a request id and what keeps browsers in check', async () => {
    const serving = await openServing();
    await signedIn(serving);
    for (const path of ['/v1/whoami', '/', '/signin', '/health', '/nothing', '/v1/nothing', '/done']) {
      const { headers } = await serving.send({ path });
      expect(headers['request-id']).toMatch(/^req_/);
      expect(headers['cache-control']).toBe('no-store');
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
      expect(headers['content-security-policy']).not.toContain('unsafe');
      expect(headers['strict-transport-security']).toBeDefined();
      expect(headers['access-control-allow-origin']).toBeUndefined();
      expect(headers['x-powered-by'] ?? headers.server).toBeUndefined();
    }
  });

  it('is a problem document when it refuses: 404, 405, 413, 415, 400', async () => {
    const serving = await openServing();
    await signedIn(serving);
    const json = { 'content-type': 'application/json' };
    const asked = [
      [{ path: '/v1/nothing' }, 404, 'not_found'],
      [{ path: '/v1/whoami', method: 'DELETE' }, 405, 'method_not_allowed'],
      [{ path: '/v1/command-line', method: 'POST', headers: json, body: `"${'a'.repeat(1 << 20)}"` }, 413, 'payload_too_large'],
      [{ path: '/v1/command-line', method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{}' }, 415, 'unsupported_media_type'],
      [{ path: '/v1/command-line', method: 'POST', headers: json, body: '{' }, 400, 'invalid_request'],
      [{ path: '/v1/agents/%zz' }, 400, 'invalid_request'],
      [{ path: `/v1/agents/${'a'.repeat(500)}` }, 404, 'not_found'],
    ] as const;
    for (const [sent, status, code] of asked) {
      const answer = await serving.send(sent);
      expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
      expect([sent.path.slice(0, 40), answer.status, schemas.problem.parse(answer.json()).code]).toEqual([
        sent.path.slice(0, 40),
        status,
        code,
      ]);
    }
    const offered = await serving.send({ path: '/v1/agents', method: 'PUT', headers: json, body: '{}' });
    expect(offered.headers.allow).toBe('GET, HEAD, POST');
  });

  it('points at the fields that are wrong', async () => {
    const serving = await openServing();
    await signedIn(serving);
    const answer = await serving.send({
      method: 'POST',
      path: '/v1/agents',
      local: true,
      headers: { 'content-type': 'application/json' },
      body: '{"handle":"NO"}',
    });
    expect(Object.keys(answer.json().errors as object)).toEqual(['/handle', '/public_jwk']);
    const query = await serving.send({ path: '/v1/events?limit=0&order=sideways', local: true });
    expect(Object.keys(query.json().errors as object)).toEqual(['/query/limit', '/query/order']);
    for (const follow of ['', 'x', '1_2_3', `1_5_${'9'.repeat(16)}-1-1`]) {
      const wrong = await serving.send({ path: `/v1/events?follow=${follow}`, local: true });
      expect([wrong.status, wrong.text]).toEqual([400, expect.stringContaining('follow')]);
    }
  });

  it('does not say why it broke', async () => {
    const serving = await openServing({
      http: {
        readiness: async () => {
          throw new Error('secret cause');
        },
      },
    });
    const answer = await serving.send({ path: '/health/ready' });
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain('secret cause');
    const listed = await openServing({
      http: { readiness: async () => Promise.reject(new Fault('unavailable', { cause: new Error('secret cause') })) },
    });
    expect((await listed.send({ path: '/health/ready' })).text).not.toContain('secret cause');
  });
});

describe('names and origins', () => {
  it('answers to its own names only', async () => {
    const serving = await openServing();
    await signedIn(serving);
    for (const host of ['evil.example', 'gatehouse.example.evil.com', `evil.example:${serving.port}`]) {
      for (const path of ['/health', '/signin', '/v1/whoami', '/assets/icon.svg']) {
        expect((await serving.send({ path, headers: { host } })).status).toBe(421);
      }
    }
    for (const host of ['gatehouse.example', `localhost:${serving.port}`, '127.0.0.1']) {
      expect((await serving.send({ path: '/health', headers: { host } })).status).toBe(200);
    }
  });

  it('builds links from its settings, whatever a request claims', async () => {
    const serving = await openServing();
    await signedIn(serving);
    const forged = {
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'gopher',
      forwarded: 'host=evil.example',
      'x-forwarded-for': '9.9.9.9',
    };
    const answer = await serving.send({
      method: 'POST',
      path: '/v1/command-line',
      headers: { ...forged, 'content-type': 'application/json' },
      body: '{"label":"x"}',
    });
    expect(answer.json().url).toBe('https://gatehouse.example/device');
    expect((await serving.send({ path: '/llms.txt', headers: forged })).text).not.toContain('evil');
  });

  it('believes forwarded addresses only from the proxies that were named', async () => {
    const offered = async (serving: Serving) => {
      const { user } = await signedIn(serving);
      const answer = await serving.send({
        method: 'POST',
        path: '/v1/command-line',
        headers: { 'x-forwarded-for': '203.0.113.7', 'content-type': 'application/json' },
        body: '{"label":"x"}',
      });
      return (await serving.people.signin.viewCommandLine(user, String(answer.json().user_code))).address;
    };
    expect(await offered(await openServing())).toBe('127.0.0.1');
    expect(await offered(await openServing({ http: { trustedProxies: ['127.0.0.1'] } }))).toBe('203.0.113.7');
  });

  it('refuses what another site sends, and offers nothing to it', async () => {
    const serving = await openServing();
    const { cookie } = await signedIn(serving);
    for (const origin of ['https://evil.example', 'null', 'https://gatehouse.example.evil.com', 'http://localhost:1']) {
      for (const path of ['/v1/whoami', '/', '/health']) {
        const answer = await serving.send({ path, headers: { origin, cookie } });
        expect(answer.status).toBe(403);
        expect(answer.headers['access-control-allow-origin']).toBeUndefined();
      }
      const preflight = await serving.send({
        method: 'OPTIONS',
        path: '/v1/whoami',
        headers: { origin, 'access-control-request-method': 'GET' },
      });
      expect(preflight.status).toBe(403);
    }
  });

  it('refuses to change anything by cookie without a sign that our own page asks', async () => {
    const serving = await openServing();
    const { cookie } = await signedIn(serving);
    const ask = (headers: Record<string, string>) =>
      serving.send({
        method: 'POST',
        path: '/v1/events/verify',
        headers: { cookie, 'content-type': 'application/json', ...headers },
        body: '{}',
      });
    expect((await ask({})).status).toBe(403);
    expect((await ask({ 'sec-fetch-site': 'cross-site' })).status).toBe(403);
    expect((await ask({ 'sec-fetch-site': 'same-site', origin: testIssuer })).status).toBe(403);
    expect((await ask({ 'sec-fetch-site': 'same-origin', origin: testIssuer })).status).toBe(200);
  });
});

describe('bytes that are not a request', () => {
  it.each([
    ['garbage', 'HELO\r\n\r\n', '400'],
    ['two lengths', 'POST /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx', '400'],
    [
      'length and chunks',
      'POST /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      '400',
    ],
    ['large headers', `GET /health HTTP/1.1\r\nhost: localhost\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`, '431'],
    ['a proxy request', 'GET http://localhost/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n', '400'],
    ['no host', 'GET /health HTTP/1.1\r\nconnection: close\r\n\r\n', '400'],
  ])('refuses %s', async (_, bytes, status) => {
    const serving = await openServing();
    expect((await raw(serving, bytes)).split(' ')[1]).toBe(status);
  });

  it('is no proxy: CONNECT is closed', async () => {
    const serving = await openServing();
    expect(await raw(serving, 'CONNECT api.github.com:443 HTTP/1.1\r\nhost: api.github.com:443\r\n\r\n')).not.toContain('200');
  });
});

describe('registering an agent', () => {
  const path = '/v1/agents';

  async function register(
    serving: Serving,
    more: { readonly local?: boolean; readonly headers?: Record<string, string>; readonly origin?: string },
  ) {
    const keys = testKeys();
    const body = JSON.stringify({ handle: `agent-${Math.random().toString(36).slice(2)}`, public_jwk: keys.key.jwk });
    const origin = more.origin ?? testIssuer;
    const { proof } = proofOf(serving.people, keys, { method: 'POST', target: `${origin}${path}`, body: Buffer.from(body) });
    const headers = { 'content-type': 'application/json', authorization: proof, ...more.headers };
    return serving.send({ method: 'POST', path, headers, body, local: more.local ?? false });
  }

  it('takes the owner’s socket, and not the network of a server that others reach', async () => {
    const serving = await openServing();
    await signedIn(serving);
    expect((await register(serving, { local: true })).json()).toMatchObject({ status: 'registered' });
    expect((await register(serving, {})).json()).toMatchObject({ code: 'registration_closed' });
  });

  it('takes loopback where the server is only there, unless somebody passed it on', async () => {
    const serving = await openServing({ http: { publicUrl: 'http://localhost:7300' } });
    await signedIn(serving);
    const origin = 'http://localhost:7300';
    const host = 'localhost:7300';
    expect((await register(serving, { origin, headers: { host } })).status).toBe(201);
    for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip']) {
      expect((await register(serving, { origin, headers: { host, [name]: '127.0.0.1' } })).json().code).toBe('registration_closed');
    }
  });

  it('proves the very key that it registers', async () => {
    const serving = await openServing();
    await signedIn(serving);
    const [one, two] = [testKeys(), testKeys()];
    const body = JSON.stringify({ handle: 'thief', public_jwk: one.key.jwk });
    const { proof } = proofOf(serving.people, two, { method: 'POST', target: `${testIssuer}${path}`, body: Buffer.from(body) });
    const headers = { 'content-type': 'application/json', authorization: proof };
    expect((await serving.send({ method: 'POST', path, headers, body, local: true })).json().code).toBe('invalid_proof');
  });
});

describe('an agent', () => {
  it('starts, renews and ends a run, and is told of the proxy’s socket only over the local one', async () => {
    const serving = await openServing();
    const { user } = await signedIn(serving);
    const { keys } = await agentOf(serving, user);
    const call = (path: string, given: object, local: boolean) => {
      const body = JSON.stringify(given);
      const headers = { 'content-type': 'application/json', authorization: proving(serving, keys, 'POST', path, body) };
      return serving.send({ method: 'POST', path, headers, body, local });
    };
    const far = await call('/v1/runs', { level: 'cooperative', program: 'python' }, false);
    const near = await call('/v1/runs', { level: 'cooperative', program: 'python' }, true);
    expect([far.status, near.status]).toEqual([201, 201]);
    expect(far.json().proxy_socket).toBeUndefined();
    expect(near.json().proxy_socket).toBe('/run/gatehouse/proxy.sock');
    const run = String(near.json().run);
    expect((await call(`/v1/runs/${run}/renew`, {}, true)).status).toBe(200);
    expect((await call(`/v1/runs/${run}/end`, {}, true)).status).toBe(200);
    expect((await serving.send({ path: '/v1/runs', local: true })).json()).toMatchObject({
      items: [{ agent: 'researcher' }, { agent: 'researcher' }],
    });
  });

  it('can be claimed while it is not confirmed, and do nothing else', async () => {
    const serving = await openServing();
    const { user } = await signedIn(serving);
    const keys = testKeys();
    const { organization: _, ...proof } = proofOf(serving.people, keys, {
      method: 'POST',
      target: `${testIssuer}/v1/agents`,
      body: Buffer.from('{}'),
    });
    const agent = await serving.people.identity.enrol({
      organization: serving.people.organization.id,
      handle: 'fresh',
      publicJwk: { ...keys.key.jwk },
      proof,
      address: 'local',
    });
    const call = (method: string, path: string, given?: object) => {
      const body = given === undefined ? '' : JSON.stringify(given);
      const headers = {
        authorization: proving(serving, keys, method, path, body),
        ...(body === '' ? {} : { 'content-type': 'application/json' }),
      };
      return serving.send({ method, path, headers, ...(body === '' ? {} : { body }) });
    };
    const claim = `/v1/agents/${agent.id}/claim`;
    const offer = await call('POST', claim, { host: 'laptop' });
    expect(offer.status).toBe(201);
    expect(offer.json().url).toBe('https://gatehouse.example/claim');
    await serving.people.identity.typeClaim(user, String(offer.json().code));
    expect((await call('GET', claim)).json()).toMatchObject({ kind: 'typed', by: 'ada@example.com' });
    expect((await call('POST', `${claim}/answer`, { accept: true })).json()).toMatchObject({ status: 'claimed' });
    expect((await call('GET', claim)).json()).toMatchObject({ kind: 'accepted' });
    expect((await call('GET', '/v1/whoami')).status).toBe(200);
    for (const path of ['/v1/connections', '/v1/providers', '/v1/permissions']) {
      expect((await call('GET', path)).json()).toMatchObject({ code: 'agent_not_active' });
    }
    expect((await call('POST', '/v1/runs', { level: 'cooperative', program: 'x' })).json()).toMatchObject({ code: 'agent_not_active' });
  });
});

describe('closing', () => {
  it('lets a request end before the deadline, and answers nobody afterwards', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const readiness = async () => {
      await held;
      return testReadiness;
    };
    const serving = await openServing({ http: { readiness } });
    const answer = serving.send({ path: '/health/ready' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closed = serving.http.close(5_000);
    release();
    expect((await answer).status).toBe(200);
    await closed;
    await expect(serving.send({ path: '/health' })).rejects.toThrow();
  });

  it('cuts what is still under way at the deadline', async () => {
    const serving = await openServing({ http: { readiness: () => new Promise(() => {}) } });
    const answer = serving.send({ path: '/health/ready' }).catch(() => 'cut');
    await new Promise((resolve) => setTimeout(resolve, 50));
    await serving.http.close(100);
    expect(await answer).toBe('cut');
  });
});
