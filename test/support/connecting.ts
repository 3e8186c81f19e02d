import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';
import { type Catalogue, type Connect, createConnect, loadCatalogue } from '#connect';
import type { User } from '#identity';
import { newId, type Principal, Secret, silentLog } from '#kernel';
import type { Writing } from '#store';
import { testNet } from './net.ts';
import { createTestUser, openPeople, type People, type PeopleOptions, testIssuer } from './people.ts';

/** Also from here, beside what it is used with. */
export { testNet };

const closing: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** What a scripted authorization server answers. */
export interface ScriptedAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object goes as JSON, text as it is; undefined: the connection is cut without an answer. */
  readonly body?: unknown;
  /** Milliseconds before it answers. */
  readonly after?: number;
}

export interface ScriptedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly parameters: Readonly<Record<string, string>>;
  readonly text: string;
}

export type Script = (request: ScriptedRequest, count: number) => ScriptedAnswer | Promise<ScriptedAnswer>;

/** An authorization server on loopback that says what its script says, and remembers what it was asked. */
export interface ScriptedProvider {
  readonly port: number;
  readonly origin: string;
  readonly seen: ScriptedRequest[];
  /** Requests to `/token` only. */
  readonly tokenRequests: () => readonly ScriptedRequest[];
  script: Script;
}

export async function startScriptedProvider(
  script: Script = () => ({ body: { access_token: 'at-1', token_type: 'Bearer' } }),
): Promise<ScriptedProvider> {
  const seen: ScriptedRequest[] = [];
  const server = createServer((request, response) => void read(request).then((text) => handle(request, response, text)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const provider: ScriptedProvider = {
    port,
    origin: `http://localhost:${port}`,
    seen,
    tokenRequests: () => seen.filter((one) => one.path === '/token'),
    script,
  };
  async function handle(request: IncomingMessage, response: ServerResponse, text: string): Promise<void> {
    const { method = '', url = '', headers } = request;
    const json = headers['content-type']?.includes('json') === true;
    const parameters = json ? (JSON.parse(text) as Record<string, string>) : Object.fromEntries(new URLSearchParams(text));
    const one = { method, path: url.split('?')[0] ?? '', headers, parameters, text };
    seen.push(one);
    const answer = await provider.script(one, provider.tokenRequests().length);
    if (answer.after !== undefined) await new Promise((resolve) => setTimeout(resolve, answer.after));
    if (answer.body === undefined) return void response.destroy();
    const body = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
    const type = typeof answer.body === 'string' ? 'application/x-www-form-urlencoded' : 'application/json';
    response.writeHead(answer.status ?? 200, { 'content-type': type, ...answer.headers }).end(body);
  }
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return provider;
}

async function read(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

/** A definition whose endpoints are those of a local server. */
export function localDefinition(
  origin: string,
  changes: Readonly<Record<string, unknown>> = {},
  oauth: Readonly<Record<string, unknown>> = {},
) {
  return {
    id: 'local',
    name: 'Local',
    documentation: 'https://example.com/docs',
    hosts: [{ host: 'api.local.test' }],
    auth: [
      {
        kind: 'oauth2',
        flows: ['pkce', 'device_code', 'client_credentials'],
        authorization_endpoint: `${origin}/authorize`,
        token_endpoint: `${origin}/token`,
        device_authorization_endpoint: `${origin}/device`,
        revocation_endpoint: `${origin}/revoke`,
        scopes: ['read', 'write'],
        inject: [{ kind: 'bearer' }],
        ...oauth,
      },
      {
        kind: 'api_key',
        fields: [{ name: 'api_key', label: 'API key', pattern: '^key-[a-z0-9]{4,}$' }],
        inject: [{ kind: 'bearer', part: 'api_key' }],
      },
    ],
    variables: [{ name: 'LOCAL_TOKEN', part: 'access_token' }],
    ...changes,
  };
}

export interface Connecting {
  readonly people: People;
  readonly connect: Connect;
  readonly user: User;
  readonly by: Principal;
  readonly session: ReturnType<typeof newId<'ses'>>;
  write<T>(fn: (tx: Writing) => Promise<T>): Promise<T>;
  register(definition: unknown): Promise<void>;
}

const catalogue: Catalogue = loadCatalogue();

/** The real room over a real store, with one owner; the ports are those of servers on loopback that it may reach. */
export async function openConnecting(ports: readonly number[] = [], options: PeopleOptions = {}): Promise<Connecting> {
  const people = await openPeople(options);
  const connect = connectOver(people, ports);
  const user = await createTestUser(people, 'ada@example.com', 'owner');
  const by = principalOf(user);
  const write: Connecting['write'] = (fn) => people.store.records.in(user.organization).write(fn);
  return {
    people,
    connect,
    user,
    by,
    session: newId('ses'),
    write,
    register: async (definition) => void (await write((tx) => connect.registerProvider(tx, by, definition))),
  };
}

export function principalOf(user: User): Principal {
  return { organization: user.organization, subject: { kind: 'user', id: user.id }, actors: [] };
}

export function connectOver(people: People, ports: readonly number[]): Connect {
  const { store, identity, vault, audit, clock } = people;
  const { records, ephemera, changes } = store;
  const net = testNet(ports, clock);
  const connect = createConnect({
    records,
    ephemera,
    changes,
    identity,
    vault,
    audit,
    net,
    clock,
    log: silentLog,
    publicUrl: testIssuer,
    catalogue,
  });
  closing.push(() => connect.close());
  return connect;
}

/** A person, and the rooms they connect accounts in. */
interface Owning extends Pick<Connecting, 'connect' | 'by'> {
  readonly people: { readonly store: Pick<People['store'], 'records'> };
}

/** The organization's own client at a provider, as a person's yes stores it. */
export async function giveClient(
  { connect, people, by }: Owning,
  provider: string,
  client: Parameters<Connect['holdClient']>[2],
): Promise<void> {
  const store = await connect.registerClient(by, provider, await connect.holdClient(by, provider, client));
  await people.store.records.in(by.organization).write(store);
}

/** Walks a code flow against a scripted provider: what the browser would bring back, without a browser. */
export async function connectByCode(
  { connect, people, by, session }: Owning & Pick<Connecting, 'session'>,
  more: { readonly name?: string; readonly force?: boolean } = {},
) {
  await giveClient({ connect, people, by }, 'local', { id: 'our-client', secret: new Secret('our-secret') });
  const { id } = await connect.begin(by, {
    provider: 'local',
    name: more.name ?? 'default',
    flow: 'pkce',
    force: more.force ?? false,
    allow: [],
  });
  const address = new URL(await connect.authorizationUrl(by, session, id));
  const callback = new URL(`${testIssuer}/connect/callback`);
  callback.searchParams.set('state', address.searchParams.get('state') ?? '');
  callback.searchParams.set('code', 'the-code');
  return connect.complete(by, session, callback);
}
