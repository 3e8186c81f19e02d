import { execFileSync } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as client from 'openid-client';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { type Installation, install, owner, setUp } from '../support/installation.ts';
import { openReceiver, type Receiver } from '../support/logging-out.ts';
import { testWith } from '../support/need.ts';
import { answers, must, withPerson } from '../support/person.ts';

const browserTest = testWith('chromium');
const eve = { email: 'eve@acme.example', name: 'Eve', password: owner.password };
const scope = 'openid email things:read';

let site: Installation;
let app: Server;
let receiver: Receiver;
let browser: Browser;
let issuer: string;
let callback: string;
let signedOut: string;

beforeAll(async () => {
  receiver = await openReceiver();
  site = await install({ env: { GATEHOUSE_ALLOW_PRIVATE: `localhost:${receiver.port}=127.0.0.0/8,localhost:${receiver.port}=::1/128` } });
  await setUp(site);
  issuer = `${site.url}/o/acme`;
  app = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end('<h1>back at the application</h1>'));
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(app.address() as AddressInfo).port}`;
  [callback, signedOut] = [`${origin}/callback`, `${origin}/signed-out`];
}, 180_000);
afterAll(async () => {
  app?.close();
  receiver?.close();
  await browser?.close();
  await site?.close();
});

const acme = { env: { GATEHOUSE_ORGANIZATION: 'acme' } };

async function openBrowser(): Promise<Page> {
  const executablePath = execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim();
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  return browser.newPage({ viewport: { width: 360, height: 740 } });
}

/** A client of the organization, confirmed in the browser by its owner. */
async function register(): Promise<client.Configuration> {
  const page = await site.browser.open(`${issuer}/signin`);
  await site.browser.submit(page, '/signin', { email: eve.email, password: eve.password });
  const flags = ['--redirect', callback, ...scope.split(' ').flatMap((one) => ['--scope', one])];
  const logout = ['--post-logout', signedOut, '--backchannel-logout', receiver.uri];
  const added = await withPerson(site, ['client', 'add', 'Acme mail', ...flags, ...logout, '--json'], [answers(site)], acme);
  const made = JSON.parse(must(added).stdout) as { client_id: string; client_secret: string };
  const execute = [client.allowInsecureRequests];
  return client.discovery(new URL(issuer), made.client_id, made.client_secret, undefined, { execute });
}

async function begin(config: client.Configuration) {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const nonce = client.randomNonce();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: callback,
    scope,
    state,
    nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  return { url, checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true } };
}

/** Clicks, and waits for the page that it leads to. */
async function press(page: Page, selector: string, until: RegExp): Promise<void> {
  await Promise.all([page.waitForURL(until), page.click(selector)]);
}

describe('an organization beside the default one', () => {
  browserTest(
    'is made, joined, and signs its person in to openid-client in a real browser, until they log out',
    async () => {
      const added = must(await site.command(['organization', 'add', 'acme', '--name', 'Acme Ltd', '--owner', eve.email, '--json']));
      const made = JSON.parse(added.stdout) as { issuer: string; invitation_url: string };
      expect(made.issuer).toBe(issuer);
      const page = await openBrowser();
      await page.goto(made.invitation_url);
      await page.fill('#name', eve.name);
      await page.fill('#password', eve.password);
      await press(page, 'button:has-text("Create my account")', /\/o\/acme\/account$/);
      expect(await page.textContent('main')).toContain('at Acme Ltd');
      await page.context().clearCookies();

      const config = await register();
      expect(config.serverMetadata()).toMatchObject({ issuer, end_session_endpoint: `${issuer}/logout` });
      const { url, checks } = await begin(config);
      await page.goto(url.href);
      expect(page.url()).toContain('/o/acme/signin');
      await page.fill('#email', eve.email);
      await page.fill('#password', eve.password);
      await press(page, 'button:has-text("Sign in")', /\/o\/acme\/authorize\/continue/);
      await page.uncheck('input[value="email"]');
      await page.fill('#password', eve.password);
      await press(page, 'button[value=yes]', /\/callback\?/);
      const tokens = await client.authorizationCodeGrant(config, new URL(page.url()), checks);
      expect(tokens.claims()).toMatchObject({ iss: issuer });
      expect(tokens.scope).toBe('openid things:read');
      const person = await client.fetchUserInfo(config, tokens.access_token, tokens.claims()?.sub ?? '');
      expect(person.email).toBeUndefined();

      const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token ?? '');
      expect(await client.tokenIntrospection(config, refreshed.access_token)).toMatchObject({ active: true });
      await client.tokenRevocation(config, refreshed.access_token);
      expect(await client.tokenIntrospection(config, refreshed.access_token)).toEqual({ active: false });
      const again = await client.refreshTokenGrant(config, refreshed.refresh_token ?? '');
      expect(await client.tokenIntrospection(config, again.access_token)).toMatchObject({ active: true });

      const end = client.buildEndSessionUrl(config, {
        id_token_hint: tokens.id_token ?? '',
        post_logout_redirect_uri: signedOut,
        state: 'bye',
      });
      await page.goto(end.href);
      expect(page.url()).toBe(`${signedOut}?state=bye`);
      expect(await client.tokenIntrospection(config, again.access_token)).toEqual({ active: false });
      await expect(client.refreshTokenGrant(config, again.refresh_token ?? '')).rejects.toMatchObject({ error: 'invalid_grant' });
      await expect.poll(() => receiver.heard.length, { timeout: 15_000 }).toBe(1);
      const token = new URLSearchParams(receiver.heard[0]).get('logout_token') ?? '';
      const keys = createRemoteJWKSet(new URL(`${issuer}/jwks.json`));
      const { payload } = await jwtVerify(token, keys, { issuer, audience: config.clientMetadata().client_id, typ: 'logout+jwt' });
      expect(payload).toMatchObject({ sub: person.sub, sid: tokens.claims()?.sid });
      await page.goto(`${issuer}/account`);
      expect(page.url()).toContain('/o/acme/signin');
    },
    180_000,
  );
});
