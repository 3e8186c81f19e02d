import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import OidcProvider, { type Configuration } from 'oidc-provider';
import { afterAll, describe, expect, it } from 'vitest';
import { type FaultCode, Secret } from '#kernel';
import { type Connecting, giveClient, localDefinition, openConnecting } from '../../test/support/connecting.ts';
import { testIssuer } from '../../test/support/people.ts';

const fault = (code: FaultCode) => expect.objectContaining({ code });
const closing: (() => void)[] = [];
afterAll(() => {
  for (const close of closing) close();
});

const callback = `${testIssuer}/connect/callback`;
const configuration: Configuration = {
  clients: [
    {
      client_id: 'our-client',
      client_secret: 'our-secret-our-secret-our-secret',
      redirect_uris: [callback],
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials', 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
    },
  ],
  features: {
    registration: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
  },
  scopes: ['openid', 'offline_access', 'email', 'profile'],
  claims: { email: ['email'], profile: ['name'] },
  ttl: {
    AccessToken: 3600,
    RefreshToken: 86_400,
    Grant: 86_400,
    IdToken: 3600,
    Session: 3600,
    Interaction: 3600,
    AuthorizationCode: 60,
    DeviceCode: 600,
  },
  cookies: { keys: ['one-key-for-tests-only'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.test`, name: id }) }),
};

/** A real authorization server on loopback. */
async function startIssuer(): Promise<{ issuer: string; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const issuer = `http://localhost:${port}`;
  const provider = new OidcProvider(issuer, configuration);
  server.on('request', provider.callback());
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { issuer, port };
}

/** A browser of few words: follows redirects, keeps cookies, signs in and agrees wherever it is asked. */
async function walk(start: string, answers: Readonly<Record<string, string>> = {}): Promise<URL> {
  const cookies = new Map<string, string>();
  let next: { url: string; form?: URLSearchParams } = { url: start };
  for (let step = 0; step < 20; step++) {
    if (next.url.startsWith(callback)) return new URL(next.url);
    const answer = await fetch(next.url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(next.form === undefined ? {} : { method: 'POST', body: next.form }),
    });
    for (const cookie of answer.headers.getSetCookie()) {
      const [pair = ''] = cookie.split(';');
      cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
    }
    const location = answer.headers.get('location');
    if (location !== null) {
      next = { url: new URL(location, next.url).href };
      continue;
    }
    const page = await answer.text();
    const form = formOf(page, next.url, answers);
    if (form === undefined) return new URL(next.url);
    next = form;
  }
  throw new Error('it never comes to an end');
}

function formOf(page: string, at: string, answers: Readonly<Record<string, string>>): { url: string; form: URLSearchParams } | undefined {
  const action = /<form[^>]*action="([^"]+)"/.exec(page)?.[1];
  if (action === undefined) return undefined;
  const form = new URLSearchParams(answers);
  for (const [input] of page.matchAll(/<input[^>]*>/g)) {
    const name = /name="([^"]+)"/.exec(input)?.[1];
    const value = /value="([^"]*)"/.exec(input)?.[1];
    if (name !== undefined && !form.has(name)) form.set(name, value ?? 'ada');
  }
  return { url: new URL(action.replaceAll('&amp;', '&'), at).href, form };
}

const scopes = ['openid', 'offline_access', 'email', 'profile'];

function definition(issuer: string, oauth: Readonly<Record<string, unknown>> = {}) {
  return localDefinition(
    issuer,
    {},
    {
      flows: ['pkce', 'device_code', 'client_credentials', 'dcr_pkce'],
      issuer,
      authorization_endpoint: undefined,
      token_endpoint: undefined,
      device_authorization_endpoint: undefined,
      revocation_endpoint: undefined,
      scopes,
      client_authentication: 'client_secret_basic',
      authorization_parameters: { prompt: 'consent' },
      ...oauth,
    },
  );
}

async function standing(oauth: Readonly<Record<string, unknown>> = {}): Promise<Connecting & { issuer: string }> {
  const { issuer, port } = await startIssuer();
  const connecting = await openConnecting([port]);
  await connecting.register(definition(issuer, oauth));
  return { ...connecting, issuer };
}

const plain = { provider: 'local', name: 'default', force: false, allow: [] };

describe('a real authorization server', () => {
  it('is discovered, walked with PKCE, refreshed with rotation, and told of the end', async () => {
    const { connect, by, session, people } = await standing();
    await giveClient({ connect, people, by }, 'local', { id: 'our-client', secret: new Secret('our-secret-our-secret-our-secret') });
    const flow = await connect.begin(by, { ...plain, flow: 'pkce' });
    const back = await walk(await connect.authorizationUrl(by, session, flow.id));
    expect(back.searchParams.get('iss')).toMatch(/^http:\/\/localhost/);
    const { connection } = await connect.complete(by, session, back);
    expect(connection).toMatchObject({ account: { id: 'ada' }, status: { kind: 'connected' } });
    expect(connection.scopes).toContain('offline_access');
    const first = (await connect.fresh(by, connection)).parts.access_token?.reveal();
    await people.pass(3_600_001);
    const second = await connect.fresh(by, connection);
    expect(second.refreshed).toBe(true);
    expect(second.parts.access_token?.reveal()).not.toBe(first);
    expect(await connect.disconnect(by, connection.id)).toEqual({ revokedUpstream: 'yes' });
  });

  it('registers a client by itself', async () => {
    const { connect, by, session } = await standing({ client_authentication: 'none' });
    const flow = await connect.begin(by, { ...plain, flow: 'dcr_pkce' });
    const { connection } = await connect.complete(by, session, await walk(await connect.authorizationUrl(by, session, flow.id)));
    expect((await connect.fresh(by, connection)).parts.access_token?.reveal()).toBeTruthy();
    expect(await connect.hasClient(by.organization, 'local')).toBe(true);
  });

  it('gives tokens to a device once the person typed the code', async () => {
    const { connect, by, people } = await standing();
    await giveClient({ connect, people, by }, 'local', { id: 'our-client', secret: new Secret('our-secret-our-secret-our-secret') });
    const flow = await connect.begin(by, { ...plain, flow: 'device_code' });
    if (flow.state.kind !== 'device') throw new Error(flow.state.kind);
    expect((await connect.flow(by.organization, flow.id))?.state.kind).toBe('device');
    await walk(flow.state.url);
    await people.pass(6_000);
    expect((await connect.flow(by.organization, flow.id))?.state.kind).toBe('connected');
  });

  it('gives a token to the client itself', async () => {
    const { connect, people, by } = await standing({ scopes: [] });
    await giveClient({ connect, people, by }, 'local', { id: 'our-client', secret: new Secret('our-secret-our-secret-our-secret') });
    const flow = await connect.begin(by, { ...plain, flow: 'client_credentials' });
    expect(flow.state.kind).toBe('connected');
  });

  it('is not believed when its answer lacks the issuer it promised, or names another', async () => {
    const { connect, people, by, session } = await standing();
    await giveClient({ connect, people, by }, 'local', { id: 'our-client', secret: new Secret('our-secret-our-secret-our-secret') });
    for (const change of [
      (url: URL) => url.searchParams.delete('iss'),
      (url: URL) => url.searchParams.set('iss', 'https://evil.example'),
    ]) {
      const flow = await connect.begin(by, { ...plain, flow: 'pkce' });
      const back = await walk(await connect.authorizationUrl(by, session, flow.id));
      change(back);
      await expect(connect.complete(by, session, back)).rejects.toEqual(fault('upstream_sign_in_failed'));
    }
  });
});

describe('mixed-up providers', () => {
  it('never get the code of another', async () => {
    const honest = await startIssuer();
    const attacker = await startIssuer();
    const { connect, people, by, session, register } = await openConnecting([honest.port, attacker.port]);
    await register(definition(honest.issuer));
    await register({ ...definition(attacker.issuer), id: 'attacker', hosts: [{ host: 'api.attacker.test' }], variables: [] });
    const client = { id: 'our-client', secret: new Secret('our-secret-our-secret-our-secret') };
    await giveClient({ connect, people, by }, 'local', client);
    await giveClient({ connect, people, by }, 'attacker', client);
    const flow = await connect.begin(by, { ...plain, provider: 'attacker', flow: 'pkce' });
    const asked = new URL(await connect.authorizationUrl(by, session, flow.id));
    const diverted = new URL(`${honest.issuer}/auth${asked.search}`);
    const back = await walk(diverted.href);
    expect(back.searchParams.get('code')).not.toBeNull();
    await expect(connect.complete(by, session, back)).rejects.toEqual(fault('upstream_sign_in_failed'));
  });
});
