import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { type Broker, createBroker } from '#broker';
import type { Connect } from '#connect';
import { createHttp, type Http, type HttpDeps } from '#http';
import type { Agent, User } from '#identity';
import { createIssuer, type Issuer, type IssuerGround } from '#issuer';
import { createJobs, type Jobs } from '#jobs';
import { type JobId, newId, silentLog } from '#kernel';
import { createAgentProof } from '#oauth';
import { createPolicy, type Policy } from '#policy';
import type { Session } from '#signin';
import { connectOver } from './connecting.ts';
import { testNet } from './net.ts';
import { activeTestAgent, completeTestSetup, openPeople, type People, type TestKeys, testIssuer, testKeys } from './people.ts';
import { temporaryFolder } from './store.ts';

const closing: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** Of a server that lacks nothing. */
export const testReadiness = Object.freeze({
  ready: true,
  database: 'connected',
  ephemera: 'connected',
  sealedStore: 'connected',
  migrations: 'current',
} as const);

export interface Sent {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string | Uint8Array;
  /** Over the owner's socket instead of TCP. */
  readonly local?: boolean;
}

export interface Received {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  json(): Record<string, unknown>;
}

/** The whole application over real rooms, on a port of the system's choice and on a socket. */
export interface Serving {
  readonly people: People;
  readonly connect: Connect;
  readonly policy: Policy;
  readonly broker: Broker;
  readonly issuer: Issuer;
  /** Started by whoever needs them. */
  readonly jobs: Jobs;
  readonly http: Http;
  readonly port: number;
  readonly socketPath: string;
  send(sent: Sent): Promise<Received>;
}

export interface ServingOptions {
  readonly http?: Partial<HttpDeps>;
  /** Ports of servers on loopback that connect and sign-in may reach. */
  readonly ports?: readonly number[];
  /** Another server of the same installation, on the same store. */
  readonly people?: People;
  readonly issuer?: Partial<IssuerGround>;
}

export async function openServing(options: ServingOptions = {}): Promise<Serving> {
  const people = options.people ?? (await openPeople({ ports: options.ports ?? [] }));
  const { store, clock, identity, signin, vault, audit, organization } = people;
  const { records, ephemera, changes } = store;
  const connect = connectOver(people, options.ports ?? []);
  const deps = { records, ephemera, changes, identity, vault, audit, clock, log: silentLog };
  const policy = createPolicy(deps);
  const broker = createBroker({ ...deps, policy, connect, publicUrl: testIssuer, ownHosts: [], otherHosts: 'blind' });
  const jobs = createJobs({ records, clock, log: silentLog, kinds: () => issuer.jobKinds, pollEvery: 50 });
  const net = testNet(options.ports ?? [], clock);
  const issuer = createIssuer({ ...deps, signin, jobs, net, registration: 'open', ...options.issuer });
  const http = createHttp({
    broker,
    issuer,
    signin,
    connect,
    policy,
    identity,
    audit,
    vault,
    jobs: { view: async () => undefined },
    applyKeys: { add: async () => ({ job: newId('job') }), rotate: async () => ({ job: newId('job') satisfies JobId }) },
    transactIn: (organization, fn) => records.in(organization).write(fn),
    authenticateIn: (organization) => ({
      agent: (proof, allow) => identity.prove({ organization, ...proof }, { allow }),
      browser: (bearer) => signin.session(organization, bearer, 'browser'),
      command_line: (bearer) => signin.session(organization, bearer, 'command_line'),
      local: () => signin.localSession(organization),
    }),
    organization,
    place: { machine: 'elsewhere' },
    publicUrl: testIssuer,
    hosts: [],
    readiness: async () => testReadiness,
    proxySocketPath: '/run/gatehouse/proxy.sock',
    clock,
    log: silentLog,
    version: '1.2.3',
    ...options.http,
  });
  const { port } = await http.listen({ host: '127.0.0.1', port: 0 });
  const socketPath = join(temporaryFolder(), 'server.sock');
  await http.listen({ path: socketPath });
  closing.push(async () => {
    await http.close(200);
    await jobs.close();
    for (const room of [broker, issuer, policy, signin, identity]) await room.close();
  });
  return { people, connect, policy, broker, issuer, jobs, http, port, socketPath, send: (sent) => exchange(sent, port, socketPath) };
}

function exchange({ method = 'GET', path, headers = {}, body, local }: Sent, port: number, socketPath: string): Promise<Received> {
  const given = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
  const where = local === true ? { socketPath } : { host: '127.0.0.1', port };
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { ...where, method, path, headers: { host: 'gatehouse.example', ...length, ...given }, agent: false },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(parts).toString();
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text,
            json: () => JSON.parse(text) as Record<string, unknown>,
          });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** The first administrator, with a fresh session in the browser. */
export interface SignedIn {
  readonly user: User;
  readonly session: Session;
  readonly cookie: string;
  /** What the forms of this session carry. */
  readonly token: string;
}

export async function signedIn(serving: Serving): Promise<SignedIn> {
  const { session, bearer } = await completeTestSetup(serving.people);
  const cookie = `__Host-gatehouse_session=${bearer.reveal()}`;
  const token = serving.people.vault.mac('http form', `session ${session.id}`);
  return { user: session.user, session, cookie, token };
}

/** Posts a form as the browser would from our own page. */
export function post(
  serving: Serving,
  who: Pick<SignedIn, 'cookie' | 'token'>,
  path: string,
  fields: Readonly<Record<string, string>> = {},
) {
  return serving.send({
    method: 'POST',
    path,
    headers: {
      cookie: who.cookie,
      'content-type': 'application/x-www-form-urlencoded',
      origin: testIssuer,
      'sec-fetch-site': 'same-origin',
    },
    body: new URLSearchParams({ form_token: who.token, ...fields }).toString(),
  });
}

export interface ActiveAgent {
  readonly agent: Agent;
  readonly keys: TestKeys;
}

export async function agentOf(serving: Serving, user: User, handle = 'researcher'): Promise<ActiveAgent> {
  const keys = testKeys();
  return { keys, agent: await activeTestAgent(serving.people, keys, user, handle) };
}

/** The header by which these keys prove one request. */
export function proving(serving: Serving, keys: TestKeys, method: string, path: string, body = '', origin = testIssuer): string {
  const { clock } = serving.people;
  return createAgentProof({ ...keys, audience: testIssuer, method, url: `${origin}${path}`, body: Buffer.from(body), now: clock.now() });
}
