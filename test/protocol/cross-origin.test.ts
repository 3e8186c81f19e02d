import { beforeAll, describe, expect, test } from 'vitest';
import { basic, formOf, openIssuance, type Registered } from '../support/issuing.ts';
import { openServing, type Serving } from '../support/serving.ts';

let serving: Serving;
let client: Registered;
beforeAll(async () => {
  serving = await openServing();
  client = await (await openIssuance(serving.people)).add();
});

const origin = 'https://app.example';
const form = { 'content-type': 'application/x-www-form-urlencoded' };
const open = [
  '/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
  '/jwks.json',
  '/token',
  '/revoke',
  '/userinfo',
];
const preflight = (path: string, from = origin) =>
  serving.send({ method: 'OPTIONS', path, headers: { origin: from, 'access-control-request-method': 'POST' } });

describe('a script of another site', () => {
  test.each(open)('may ask %s, with a token or a proof, and never by the credentials of the browser', async (path) => {
    for (const from of [origin, 'null', 'http://evil.example']) {
      const { status, headers } = await preflight(path, from);
      expect([status, headers['access-control-allow-origin']]).toEqual([204, '*']);
      expect(headers['access-control-allow-headers']).toBe('Authorization, Content-Type, DPoP');
      expect(headers['access-control-allow-credentials']).toBeUndefined();
    }
  });

  test('is told the methods that are there', async () => {
    expect((await preflight('/userinfo')).headers['access-control-allow-methods']).toBe('GET, POST');
    expect((await preflight('/token')).headers['access-control-allow-methods']).toBe('POST');
    expect((await preflight('/jwks.json')).headers['access-control-allow-methods']).toBe('GET');
  });

  test('reads the answer, and of its headers the nonce and what was wrong with the token', async () => {
    const body = formOf({ grant_type: 'client_credentials' });
    const answer = await serving.send({ method: 'POST', path: '/token', headers: { ...form, origin, authorization: basic(client) }, body });
    expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([200, '*']);
    const refused = await serving.send({ path: '/userinfo', headers: { origin, authorization: 'Bearer x' } });
    expect([refused.status, refused.headers['access-control-allow-origin']]).toEqual([401, '*']);
    expect(refused.headers['access-control-expose-headers']).toBe('DPoP-Nonce, WWW-Authenticate, Retry-After');
    const unknown = await serving.send({ method: 'POST', path: '/token', headers: { ...form, origin }, body });
    expect([unknown.status, unknown.headers['access-control-allow-origin']]).toEqual([401, '*']);
  });

  test.each(['/authorize', '/introspect', '/v1/whoami', '/signin'])('is let into nothing else: not %s', async (path) => {
    const { status, headers } = await preflight(path);
    expect([status, headers['access-control-allow-origin']]).toEqual([403, undefined]);
    const asked = await serving.send({ path, headers: { origin } });
    expect([asked.status, asked.headers['access-control-allow-origin']]).toEqual([403, undefined]);
  });

  test('and other programs still find no other method', async () => {
    const { status, headers } = await serving.send({ method: 'PUT', path: '/token' });
    expect([status, headers.allow]).toEqual([405, 'POST, OPTIONS']);
  });
});
