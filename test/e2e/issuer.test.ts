import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as client from 'openid-client';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { type Installation, install, owner, setUp } from '../support/installation.ts';
import { hasPython, python, testWith } from '../support/need.ts';
import { answers, must, withPerson } from '../support/person.ts';

const test = testWith();
const scope = 'openid email profile things:read';
const resource = 'https://api.example.test/';

let site: Installation;
let app: Server;
/** Where the application waits for the answer, at a port that nobody registered (RFC 8252 §7.3). */
let callback: string;

interface Made {
  readonly client_id: string;
  readonly client_secret: string;
}

beforeAll(async () => {
  site = await install();
  await setUp(site);
  app = createServer((_, answer) => answer.end('back at the application'));
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  callback = `http://127.0.0.1:${(app.address() as AddressInfo).port}/callback`;
}, 120_000);
afterAll(async () => {
  app?.close();
  await site?.close();
});

async function register(name: string, ...flags: readonly string[]): Promise<Made> {
  const ended = must(await withPerson(site, ['client', 'add', name, ...flags, '--json'], [answers(site)]));
  return JSON.parse(ended.stdout) as Made;
}

function discover(made: Made, authentication?: client.ClientAuth): Promise<client.Configuration> {
  const execute = [client.allowInsecureRequests];
  return client.discovery(new URL(site.url), made.client_id, made.client_secret, authentication, { execute });
}

/** The address the browser ends at, with the answer. */
async function throughThePages(url: URL, says: 'yes' | 'no' = 'yes'): Promise<URL> {
  let page = await site.browser.open(url.href);
  if (page.url.includes('/signin')) page = await site.browser.submit(page, '/signin', { email: owner.email, password: owner.password });
  if (page.url.includes('/authorize/'))
    page = await site.browser.submit(page, '/authorize/answer', { answer: says, password: owner.password });
  return new URL(page.url);
}

async function begin(config: client.Configuration, more: Readonly<Record<string, string>> = {}) {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const nonce = client.randomNonce();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: callback,
    scope,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    ...more,
  });
  return { url, checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true } };
}

const standard = [
  '--redirect',
  'http://127.0.0.1/callback',
  ...scope.split(' ').flatMap((one) => ['--scope', one]),
  '--resource',
  resource,
];

describe('openid-client against the server', () => {
  test('discovers the issuer, signs a person in through the pages, refreshes, introspects and revokes', async () => {
    const made = await register('The App', ...standard);
    const config = await discover(made);
    expect(config.serverMetadata()).toMatchObject({ issuer: site.url, code_challenge_methods_supported: ['S256'] });
    const { url, checks } = await begin(config);
    const back = await throughThePages(url);
    expect(back.searchParams.get('iss')).toBe(site.url);
    const tokens = await client.authorizationCodeGrant(config, back, checks);
    expect(tokens.claims()).toMatchObject({ iss: site.url, aud: made.client_id });
    const person = await client.fetchUserInfo(config, tokens.access_token, tokens.claims()?.sub ?? '');
    expect(person).toMatchObject({ email: owner.email, name: owner.name });

    const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token ?? '');
    expect(refreshed.refresh_token).not.toBe(tokens.refresh_token);
    expect(await client.tokenIntrospection(config, refreshed.access_token)).toMatchObject({ active: true, username: owner.email });
    const { items } = JSON.parse(must(await site.command(['grant', 'list', '--json'])).stdout) as { items: object[] };
    expect(items).toMatchObject([{ client: made.client_id, client_name: 'The App' }]);
    await client.tokenRevocation(config, refreshed.refresh_token ?? '');
    expect(await client.tokenIntrospection(config, refreshed.access_token)).toEqual({ active: false });
    await expect(client.fetchUserInfo(config, refreshed.access_token, person.sub)).rejects.toThrow();
    await expect(client.refreshTokenGrant(config, refreshed.refresh_token ?? '')).rejects.toMatchObject({ error: 'invalid_grant' });
  }, 60_000);

  test('redeems one code once, however many try, and gives one successor to a refresh token', async () => {
    const config = await discover(await register('The Racer', ...standard));
    const { url, checks } = await begin(config);
    const back = await throughThePages(url);
    const tries = await Promise.allSettled(Array.from({ length: 20 }, () => client.authorizationCodeGrant(config, new URL(back), checks)));
    expect(tries.filter(({ status }) => status === 'fulfilled').length).toBe(1);

    const next = await begin(config);
    const tokens = await client.authorizationCodeGrant(config, await throughThePages(next.url), next.checks);
    const refreshes = await Promise.all(Array.from({ length: 20 }, () => client.refreshTokenGrant(config, tokens.refresh_token ?? '')));
    expect(new Set(refreshes.map((answer) => answer.refresh_token)).size).toBe(1);
  }, 60_000);

  test('is told of a refusal, and with prompt=none of what is missing, at the redirect URI with state and iss', async () => {
    const config = await discover(await register('The Refused', ...standard));
    const { url, checks } = await begin(config);
    const refused = await throughThePages(url, 'no');
    await expect(client.authorizationCodeGrant(config, refused, checks)).rejects.toMatchObject({ error: 'access_denied' });
    const quiet = await begin(config, { prompt: 'none' });
    const missing = await throughThePages(quiet.url);
    expect(missing.searchParams.get('iss')).toBe(site.url);
    await expect(client.authorizationCodeGrant(config, missing, quiet.checks)).rejects.toMatchObject({ error: 'consent_required' });
    const bare = await begin(config);
    bare.url.searchParams.delete('code_challenge');
    expect((await throughThePages(bare.url)).searchParams.get('error')).toBe('invalid_request');
  }, 60_000);

  test('gets tokens for itself by each way of proving who it is, for one resource', async () => {
    const made = await register('The Service', '--grant', 'client_credentials', '--scope', 'things:read', '--resource', resource);
    for (const way of [client.ClientSecretBasic(made.client_secret), client.ClientSecretPost(made.client_secret)]) {
      const answer = await client.clientCredentialsGrant(await discover(made, way), { scope: 'things:read', resource });
      const claims = JSON.parse(Buffer.from(answer.access_token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
      expect(claims).toMatchObject({ aud: resource, sub: made.client_id, scope: 'things:read' });
    }
    const second = must(await withPerson(site, ['client', 'secret', made.client_id, '--json'], [answers(site)]));
    const other = { ...made, ...(JSON.parse(second.stdout) as object) };
    expect((await client.clientCredentialsGrant(await discover(other), {})).access_token).toBeDefined();
    must(await site.command(['client', 'remove', made.client_id]));
    await expect(client.clientCredentialsGrant(await discover(other), {})).rejects.toMatchObject({ error: 'invalid_client' });
  }, 60_000);

  test('goes on verifying over a rotation of the keys', async () => {
    must(await withPerson(site, ['issuer-keys', 'rotate'], [answers(site)]));
    const { items } = JSON.parse(must(await site.command(['issuer-keys', 'list', '--json'])).stdout) as {
      items: { id: string; state: string }[];
    };
    expect(items.map(({ state }) => state)).toEqual(['signing', 'next']);
    const keys = (await (await fetch(`${site.url}/jwks.json`)).json()) as { keys: { kid: string }[] };
    expect(keys.keys.map(({ kid }) => kid)).toEqual(items.map(({ id }) => id));
  }, 60_000);
});

describe('Authlib of Python against the server', () => {
  const program = join(import.meta.dirname, '..', 'support', 'authlib-client.py');
  const withAuthlib = hasPython('authlib', 'requests') ? testWith(python) : testWith('python3-authlib');

  withAuthlib(
    'signs a person in, refreshes, introspects, revokes, and gets a token for itself',
    async () => {
      const grants = ['authorization_code', 'refresh_token', 'client_credentials'].flatMap((grant) => ['--grant', grant]);
      const made = await register('The Script', ...standard, ...grants);
      const parameters = [site.url, made.client_id, made.client_secret, callback, scope, resource];
      // It refuses plain http otherwise, also to this machine.
      const env = { PATH: process.env.PATH, AUTHLIB_INSECURE_TRANSPORT: '1' };
      const child = spawn(python, [program, ...parameters], { env, stdio: ['pipe', 'pipe', 'inherit'] });
      const lines = createInterface({ input: child.stdout });
      const said: string[] = [];
      const ended = once(child, 'close');
      lines.on('line', (line) => said.push(line));
      await expect.poll(() => said.length, { timeout: 30_000 }).toBe(1);
      child.stdin.end(`${(await throughThePages(new URL(said[0] ?? ''))).href}\n`);
      expect((await ended)[0]).toBe(0);
      expect(JSON.parse(said[1] ?? '')).toEqual({
        ...{ email: owner.email, rotated: true, active: true, revoked: 200, ended: { active: false }, own: 'things:read' },
      });
    },
    60_000,
  );
});
