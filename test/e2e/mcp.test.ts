import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  Client as NewClient,
  ClientCredentialsProvider as NewCredentials,
  type OAuthClientProvider as NewProvider,
  StreamableHTTPClientTransport as NewTransport,
} from '@modelcontextprotocol/client';
import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js';
import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { OAuthClientInformationMixed, OAuthTokens } from '@modelcontextprotocol/sdk/shared/auth.js';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { type TestAuthority, testAuthority } from '../support/certificates.ts';
import { type CommandOptions, execute, freePort, type Installation, install, owner, setUp, until } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { answers, must, withPerson } from '../support/person.ts';
import { temporaryFolder } from '../support/store.ts';

const test = testWith();
const root = join(import.meta.dirname, '..', '..');

let site: Installation;
let resource: string;
const host = 'host.example';
/** Where a host's document lies: its client id. */
let published: string;
/** Where a host waits for the answer. */
let callback: string;
const children: ChildProcess[] = [];
const fronts: Server[] = [];
const closing: Installation[] = [];

beforeAll(async () => {
  const port = await freePort();
  resource = `http://localhost:${port}/mcp`;
  const app = await listening((_, answer) => answer.end('back at the host'));
  callback = `${app}/callback`;
  const authority = testAuthority(host);
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'ca.pem'), authority.pem);
  published = await publishing(authority);
  site = await install({
    env: {
      GATEHOUSE_RESOLVE: `${host}=127.0.0.1`,
      GATEHOUSE_ALLOW_PRIVATE: `${host}:${new URL(published).port}=127.0.0.0/8`,
      GATEHOUSE_UPSTREAM_CA: `${host}=${join(folder, 'ca.pem')}`,
    },
  });
  await setUp(site);
  const scopes = ['--scope', 'notes:read=read your notes', '--scope', 'notes:write=write notes for you'];
  await asked('resource', 'add', resource, '--name', 'Notes', '--any-client', ...scopes);
  await startNotes({ PORT: String(port), ISSUER: site.url, RESOURCE: resource });
}, 180_000);
afterAll(async () => {
  for (const child of children) child.kill('SIGTERM');
  for (const front of fronts) front.close();
  for (const one of [site, ...closing]) await one?.close();
});

/** A host that says what it is in a document of its own, which lies where its id says. */
async function publishing(authority: TestAuthority): Promise<string> {
  const server = createSecureServer(authority.issue(host), (_, response) => {
    const uris = { client_id: published, redirect_uris: [callback], client_uri: new URL('/', published).href };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ...uris, client_name: 'A known host', token_endpoint_auth_method: 'none' }));
  });
  fronts.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `https://${host}:${(server.address() as AddressInfo).port}/client.json`;
}

/** A command that a person says yes to. */
async function asked(...parameters: readonly string[]): Promise<Record<string, string>> {
  return JSON.parse(must(await withPerson(site, [...parameters, '--json'], [answers(site)])).stdout) as Record<string, string>;
}

/** The example, as `npm run example:mcp` starts it. */
async function startNotes(env: Readonly<Record<string, string>>): Promise<void> {
  const flags = ['--conditions=gatehouse-source', '--disable-warning=ExperimentalWarning'];
  const child = spawn(process.execPath, [...flags, join(root, 'examples', 'mcp-server', 'server.ts')], { env: { ...env } });
  children.push(child);
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (printed += String(part)));
  await until(
    () => printed.includes('notes are at'),
    60_000,
    () => `the example did not start: ${printed}`,
  );
}

async function credentials(scope: string) {
  const flags = ['--grant', 'client_credentials', '--scope', 'notes:read', '--scope', 'notes:write', '--resource', resource];
  const { client_id = '', client_secret = '' } = await asked('client', 'add', `Machine for ${scope}`, ...flags);
  return { clientId: client_id, clientSecret: client_secret, scope, expectedIssuer: site.url };
}

async function connectedBy(authProvider: OAuthClientProvider, url = resource): Promise<Client> {
  const client = new Client({ name: 'a test', version: '1.0.0' });
  // Its type says less than what it takes, where optional members may not be undefined.
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { authProvider }) as Parameters<Client['connect']>[0]);
  return client;
}

/** What a tool said. */
const textOf = (result: unknown) => (result as { readonly content?: { readonly text: string }[] }).content?.[0]?.text;

interface Kept {
  client?: OAuthClientInformationMixed;
  tokens?: OAuthTokens;
  verifier?: string;
  to?: URL;
}

/** What an MCP client keeps of a person's sign-in, whose browser ends at a page of it with the code. */
function personsProvider(metadata: Readonly<Record<string, unknown>>, more: Partial<OAuthClientProvider> = {}) {
  const kept: Kept = {};
  const provider: OAuthClientProvider = {
    redirectUrl: callback,
    clientMetadata: { client_name: 'A Host', redirect_uris: [callback], token_endpoint_auth_method: 'none', ...metadata },
    clientInformation: () => kept.client,
    saveClientInformation: (client) => void Object.assign(kept, { client }),
    tokens: () => kept.tokens,
    saveTokens: (tokens) => void Object.assign(kept, { tokens }),
    redirectToAuthorization: (to) => void Object.assign(kept, { to }),
    saveCodeVerifier: (verifier) => void Object.assign(kept, { verifier }),
    codeVerifier: () => kept.verifier ?? '',
    ...more,
  };
  return { kept, provider };
}

/** Goes through the pages, and gives the parameters of the answer. */
async function throughThePages(url: URL | undefined, { browser } = site): Promise<URLSearchParams> {
  let page = await browser.open(url?.href ?? '');
  if (page.url.includes('/signin')) page = await browser.submit(page, '/signin', { email: owner.email, password: owner.password });
  if (page.url.includes('/authorize/')) page = await browser.submit(page, '/authorize/answer', { answer: 'yes', password: owner.password });
  return new URL(page.url).searchParams;
}

async function listening(handler: RequestListener, port = 0): Promise<string> {
  const server = createServer(handler);
  fronts.push(server);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Hands a request on, to another origin. */
function relay(to: string, request: IncomingMessage, response: ServerResponse): void {
  const { origin, host } = new URL(to);
  const { method, headers, url = '/' } = request;
  const onwards = httpRequest(origin + url, { method, headers: { ...headers, host } }, (answer) => {
    response.writeHead(answer.statusCode ?? 500, answer.headers);
    answer.pipe(response);
  });
  onwards.on('error', () => response.destroy());
  request.pipe(onwards);
}

/** A person's host tries; it is refused, sends them to the pages, and has a token when this ends. */
async function letIn(
  provider: OAuthClientProvider,
  kept: Kept,
  trying: () => Promise<unknown>,
  { url, at } = { url: resource, at: site },
): Promise<void> {
  await expect(trying()).rejects.toThrow(/unauthorized/i);
  const answer = await throughThePages(kept.to, at);
  await new StreamableHTTPClientTransport(new URL(url), { authProvider: provider }).finishAuth(answer.get('code') ?? '');
}

describe('an MCP server that Gatehouse protects', () => {
  test('says in its refusal where its metadata is, which names the issuer', async () => {
    const refused = await fetch(resource, { method: 'POST', body: '{}' });
    const place = /resource_metadata="([^"]+)"/.exec(refused.headers.get('www-authenticate') ?? '')?.[1] ?? '';
    expect(refused.status).toBe(401);
    expect(await (await fetch(place)).json()).toMatchObject({
      resource,
      authorization_servers: [site.url],
      scopes_supported: ['notes:read', 'notes:write'],
    });
  });

  test('serves the client of the SDK, before and since its second version, by client credentials', async () => {
    const old = await connectedBy(new ClientCredentialsProvider(await credentials('notes:read notes:write')));
    expect(textOf(await old.callTool({ name: 'add_note', arguments: { text: 'milk' } }))).toBe('added');
    expect(textOf(await old.callTool({ name: 'list_notes' }))).toBe('milk');
    const fresh = new NewClient({ name: 'a test', version: '1.0.0' });
    const authProvider = new NewCredentials(await credentials('notes:read'));
    await fresh.connect(new NewTransport(new URL(resource), { authProvider }));
    expect(textOf(await fresh.callTool({ name: 'list_notes' }))).toBe('');
    for (const client of [old, fresh]) await client.close();
  }, 60_000);

  test('tells a client with 403 which scope a tool needs, and the client gets it', async () => {
    const made = await credentials('notes:read');
    const token = async (scope: string) => {
      const authorization = `Basic ${Buffer.from(`${made.clientId}:${made.clientSecret}`).toString('base64')}`;
      const body = new URLSearchParams({ grant_type: 'client_credentials', scope, resource });
      const answer = await fetch(`${site.url}/token`, { method: 'POST', headers: { authorization }, body });
      return ((await answer.json()) as { readonly access_token: string }).access_token;
    };
    const call = async (bearer: string) =>
      fetch(resource, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${bearer}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'add_note', arguments: { text: 'x' } } }),
      });
    const refused = await call(await token('notes:read'));
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
      403,
      expect.stringContaining('scope="notes:read notes:write"'),
    ]);
    expect((await call(await token('notes:read notes:write'))).status).toBe(200);
    const ended = must(await site.command(['client', 'remove', made.clientId]));
    expect(ended.code).toBe(0);
  }, 60_000);

  test('serves a host that registers itself, for its person; and refuses it within a second of the end of the grant', async () => {
    const { kept, provider } = personsProvider({ client_name: 'A Host' });
    await letIn(provider, kept, () => connectedBy(provider));
    const reading = await connectedBy(provider);
    expect(textOf(await reading.callTool({ name: 'list_notes' }))).toBe('');
    const add = (client: Client) => client.callTool({ name: 'add_note', arguments: { text: 'bread' } });
    // What writes needs more than its person was asked for: they are asked again, for that.
    await letIn(provider, kept, () => add(reading));
    expect(kept.to?.searchParams.get('scope')).toBe('notes:read notes:write');
    const writing = await connectedBy(provider);
    expect(textOf(await add(writing))).toBe('added');
    expect(textOf(await writing.callTool({ name: 'list_notes' }))).toBe('bread');
    const { items } = JSON.parse(must(await site.command(['grant', 'list', '--json'])).stdout) as { items: { readonly id: string }[] };
    const { access_token: bearer = '' } = (await provider.tokens()) ?? {};
    const listing = () => fetch(resource, { method: 'GET', headers: { authorization: `Bearer ${bearer}` } });
    expect((await listing()).status).toBe(405);
    for (const { id } of items) must(await site.command(['grant', 'end', id]));
    const began = performance.now();
    while ((await listing()).status !== 401) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(performance.now() - began).toBeLessThan(1_000);
  }, 60_000);
});

describe('a host that publishes what it is', () => {
  const discovered = async () =>
    (await (await fetch(`${site.url}/.well-known/oauth-authorization-server`)).json()) as Readonly<Record<string, unknown>>;

  test('is let in by the URL of its document, and registers nothing, where the metadata says that documents are taken', async () => {
    const { kept, provider } = personsProvider({}, { clientMetadataUrl: published });
    await letIn(provider, kept, () => connectedBy(provider));
    const client = await connectedBy(provider);
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['list_notes', 'add_note']);
    const { client_id_metadata_document_supported: taken } = await discovered();
    // Where documents are not taken, it registers itself.
    expect(kept.client?.client_id).toEqual(taken === true ? published : expect.stringMatching(/^clt_/));
    expect(kept.to?.searchParams.get('client_id')).toBe(kept.client?.client_id);
  }, 60_000);

  test('is served by the second version of the SDK as well', async () => {
    const { kept, provider } = personsProvider({}, { clientMetadataUrl: published });
    const connected = async () => {
      const client = new NewClient({ name: 'a test', version: '1.0.0' });
      await client.connect(new NewTransport(new URL(resource), { authProvider: provider as NewProvider }));
      return client;
    };
    await expect(connected()).rejects.toThrow(/unauthorized/i);
    const answer = await throughThePages(kept.to);
    const transport = new NewTransport(new URL(resource), { authProvider: provider as NewProvider });
    await transport.finishAuth(answer);
    expect((await (await connected()).listTools()).tools).toHaveLength(2);
    expect(kept.client?.client_id).toBeDefined();
  }, 60_000);
});

describe('a client of MCP 2025-03-26', () => {
  test('that knows /authorize, /token and /register alone comes to a server at the origin of the issuer', async () => {
    const [port, front] = [await freePort(), await freePort()];
    const origin = `http://localhost:${front}`;
    const seen = new Set<string>();
    let there: Installation | undefined;
    // As a balancer that puts both behind one name, in a time without metadata.
    const balance: RequestListener = (request, response) => {
      const [path = ''] = (request.url ?? '').split('?');
      if (path.startsWith('/.well-known/') && request.headers['user-agent'] !== 'gatehouse') return void response.writeHead(404).end();
      seen.add(path);
      relay(path === '/mcp' ? `http://localhost:${port}` : (there?.url ?? ''), request, response);
    };
    await listening(balance, front);
    there = await install({ env: { GATEHOUSE_PUBLIC_URL: origin } });
    closing.push(there);
    await setUp(there);
    await startNotes({ PORT: String(port), ISSUER: origin, RESOURCE: origin });
    seen.clear();
    const url = `${origin}/mcp`;
    const { kept, provider } = personsProvider({ client_name: 'An old host' });
    await letIn(provider, kept, () => connectedBy(provider, url), { url, at: there });
    const client = await connectedBy(provider, url);
    expect(textOf(await client.callTool({ name: 'list_notes' }))).toBe('');
    expect(kept.to?.href).toContain(`${origin}/authorize?`);
    const asked = ['/authorize', '/mcp', '/register', '/token'];
    expect(kept.tokens?.access_token).toBeDefined();
    expect([...seen].filter((path) => asked.includes(path)).sort()).toEqual(asked);
  }, 120_000);
});

describe('the conformance tests of MCP', () => {
  const program = join(root, 'node_modules', '@modelcontextprotocol', 'conformance', 'dist', 'index.js');
  const conformance = (parameters: readonly string[], watch?: CommandOptions['watch']) =>
    execute([process.execPath, program, ...parameters], {
      env: { PATH: process.env.PATH ?? '', HOME: site.folder },
      cwd: site.folder,
      ...(watch === undefined ? {} : { watch }),
    });

  test('pass for the authorization server: its metadata, and a code for a person', async () => {
    const port = await freePort();
    const flags = ['--auth', 'none', '--redirect', `http://127.0.0.1:${port}/callback`, '--scope', 'notes:read'];
    const made = await asked('client', 'add', 'Conformance', ...flags, '--resource', resource);
    let opened: Promise<unknown> | undefined;
    const about = ['--url', site.url, '--client-id', made.client_id ?? ''];
    const { code, stdout, stderr } = await conformance(
      ['authorization', ...about, '--resource', resource, '--port', String(port), '--verbose'],
      (output) => {
        const url = /http:\S+\/authorize\?\S+/.exec(output)?.[0];
        if (url !== undefined) opened ??= throughThePages(new URL(url));
      },
    );
    await opened;
    expect([code, code === 0 ? '' : stdout + stderr]).toEqual([0, '']);
    expect(opened).toBeDefined();
  }, 90_000);

  test('pass for the MCP server behind its gate', async () => {
    const provider = new ClientCredentialsProvider(await credentials('notes:read notes:write'));
    await (await connectedBy(provider)).close();
    const { access_token: bearer = '' } = provider.tokens() ?? {};
    // The program has no token to send, so this sends one for it.
    const open = await listening((request, response) => {
      request.headers.authorization = `Bearer ${bearer}`;
      relay(resource, request, response);
    });
    for (const scenario of ['server-initialize', 'ping', 'tools-list']) {
      const { code, stdout, stderr } = await conformance(['server', '--url', `${open}/mcp`, '--scenario', scenario]);
      expect([scenario, code, code === 0 ? '' : stdout + stderr]).toEqual([scenario, 0, '']);
    }
  }, 90_000);
});
