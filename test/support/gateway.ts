import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll } from 'vitest';
import type { LiveRun, StartedRun } from '#broker';
import type { Connection } from '#connect';
import { silentLog } from '#kernel';
import { createNet, type Net } from '#net';
import type { PermissionDraft } from '#policy';
import { createProxy, type Proxy as DataPlane, type ProxyDeps } from '#proxy';
import { type Talk, talk } from '../../src/proxy/testing/harness.ts';
import { type Brokering, openBrokering } from './brokering.ts';
import { type TestAuthority, testAuthority } from './certificates.ts';
import { startUpstream, type Upstream } from './upstream.ts';

const closing: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

export const canary = 'sk-canary-0123456789abcdef';
/** What signs for every upstream under `.test`. */
export const upstreamAuthority: TestAuthority = testAuthority('test');

type Route = NonNullable<Parameters<typeof startUpstream>[1]>[string];

/** An HTTPS API under `.test` on loopback; it closes itself. */
export async function startApi(routes: Readonly<Record<string, Route>> = {}, host = 'api.test'): Promise<Upstream> {
  const api = await startUpstream(upstreamAuthority.issue(host), routes);
  closing.push(() => api.close());
  return api;
}

/** The definition of a service that takes one key as a bearer, unless `more` says otherwise. */
export function service(id: string, hosts: readonly object[], more: Readonly<Record<string, unknown>> = {}) {
  const {
    inject = [{ kind: 'bearer', part: 'api_key' }],
    fields = ['api_key'],
    ...rest
  } = more as {
    inject?: readonly object[];
    fields?: readonly string[];
  };
  return {
    id,
    name: id,
    documentation: 'https://example.com/docs',
    hosts,
    auth: [{ kind: 'api_key', fields: fields.map((name) => ({ name, label: name, secret: name !== 'username' })), inject }],
    variables: [{ name: `${id.toUpperCase().replaceAll('-', '_')}_KEY`, part: fields.at(-1) }],
    ...rest,
  };
}

/** One answer, read whole. */
export interface Answered {
  readonly status: number;
  /** Start line and fields as they came. */
  readonly head: string;
  /** Without chunk framing. */
  readonly body: string;
  /** Every byte. */
  readonly text: string;
  json(): Record<string, unknown>;
}

/** Proxy, broker and all rooms below over a real store, on one clock that a test moves; the upstreams are real as well. */
export interface Gateway extends Brokering {
  readonly proxy: DataPlane;
  readonly net: Net;
  readonly port: number;
  /** Names that were looked up. */
  readonly lookups: string[];
  /** The latest run, by which everything below is done. */
  readonly current: { started: StartedRun; run: LiveRun };
  /** Registers a service, connects it with these values and permits it; a new run follows. */
  add(
    definition: ReturnType<typeof service>,
    fields?: Readonly<Record<string, string>>,
    more?: Partial<PermissionDraft>,
  ): Promise<Connection>;
  /** Starts another run, which trusts what is connected now. */
  again(more?: Parameters<Brokering['startRun']>[0]): Promise<void>;
  /** A connection to the proxy. */
  plain(): Promise<Talk>;
  /** The answer to a CONNECT. */
  knock(target: string, credential?: string): Promise<Talk & { readonly answer: string }>;
  /** A tunnel to `host:port`, shaken hands in by a client that trusts the run's authority alone. */
  open(target: string, tls?: { readonly ALPNProtocols?: string[]; readonly servername?: string }): Promise<Talk<TLSSocket>>;
  /** The same without a reader of its bytes. */
  openSocket(target: string, tls?: Parameters<Gateway['open']>[1]): Promise<TLSSocket>;
  /** The same programs, through a proxy on another port. */
  through(port: number): Gateway;
  /** One request in a tunnel of its own; `Host` and `Connection: close` are added. */
  ask(target: string, request: string, body?: string): Promise<Answered>;
}

export interface GatewayOptions {
  readonly limits?: ProxyDeps['limits'];
  /** Upstream ports that names under `.test` may lead to. */
  readonly ports: readonly number[];
  readonly names?: readonly string[];
  readonly address?: { readonly address: string; readonly family: 4 | 6 };
  readonly net?: Partial<Parameters<typeof createNet>[0]>;
  readonly brokering?: Parameters<typeof openBrokering>[0];
}

const usualNames = ['api.test', 'other.test', 'a.wild.test', 'b.wild.test'];

export async function openGateway(options: GatewayOptions): Promise<Gateway> {
  const brokering = await openBrokering(options.brokering);
  const { clock } = brokering.people;
  // Certificates are judged by real clients, by the real time.
  clock.set(Date.now());
  const { address = '127.0.0.1', family = 4 } = options.address ?? {};
  const names = options.names ?? usualNames;
  const lookups: string[] = [];
  const net = createNet({
    allowPrivate: names.flatMap((host) => options.ports.map((port) => ({ host, port, cidr: family === 4 ? '127.0.0.0/8' : '::1/128' }))),
    clock,
    log: silentLog,
    resolver: async (host) => {
      lookups.push(host);
      return [{ address, family }];
    },
    extraAuthorities: Object.fromEntries(names.map((host) => [host, [upstreamAuthority.pem]])),
    ...options.net,
  });
  const proxy = createProxy({ broker: brokering.broker, net, clock, log: silentLog, limits: { tick: 20, ...options.limits } });
  const { port } = await proxy.listen({ host: '127.0.0.1', port: 0 });
  closing.push(async () => {
    await proxy.close(0);
    await net.close();
  });
  const current = await brokering.startRun();
  return over({ ...brokering, proxy, net, port, lookups, current });
}

type Base = Brokering & Pick<Gateway, 'proxy' | 'net' | 'port' | 'lookups' | 'current'>;

function over(base: Base): Gateway {
  const { current } = base;
  const again: Gateway['again'] = async (more) => void Object.assign(current, await base.startRun(more));
  const plain = async () => {
    const socket = connectTcp(base.port, '127.0.0.1');
    await once(socket, 'connect');
    return talk(socket);
  };
  const knock: Gateway['knock'] = async (target, credential = current.started.credential.reveal()) => {
    const outer = await plain();
    outer.send(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: Bearer ${credential}\r\n\r\n`);
    return { ...outer, answer: await outer.until('\r\n\r\n') };
  };
  const openSocket: Gateway['openSocket'] = async (target, tls = {}) => {
    const { socket, answer } = await knock(target);
    if (!answer.startsWith('HTTP/1.1 200')) throw new Error(answer);
    for (const event of ['data', 'end', 'close', 'error']) socket.removeAllListeners(event);
    const secured = connectTls({ socket, servername: target.split(':')[0] as string, ca: current.started.authorityPem, ...tls });
    await once(secured, 'secureConnect');
    secured.on('error', () => {});
    return secured;
  };
  const open: Gateway['open'] = async (target, tls) => talk(await openSocket(target, tls));
  return {
    ...base,
    again,
    plain,
    knock,
    open,
    openSocket,
    through: (port) => over({ ...base, port }),
    async add(definition, fields = { api_key: canary }, more = {}) {
      await base.register(definition);
      const connection = await base.connectKey(definition.id, fields);
      await base.permit(connection, more);
      await again();
      return connection;
    },
    async ask(target, request, body = '') {
      const { send, ended } = await open(target);
      const [line, ...fields] = request.split('\r\n');
      send([line, `Host: ${target}`, ...fields, 'Connection: close', '', body].join('\r\n'));
      return readAnswer(await ended());
    },
  };
}

/** An answer apart: final head, body without its chunks. */
export function readAnswer(text: string): Answered {
  const end = text.indexOf('\r\n\r\n');
  const head = end < 0 ? text : text.slice(0, end);
  const raw = end < 0 ? '' : text.slice(end + 4);
  const body = /^transfer-encoding: chunked$/im.test(head) ? withoutChunks(raw) : raw;
  return { status: Number(head.split(' ')[1]), head, body, text, json: () => JSON.parse(body) as Record<string, unknown> };
}

function withoutChunks(raw: string): string {
  let body = '';
  for (let rest = raw; ; ) {
    const line = rest.indexOf('\r\n');
    const size = Number.parseInt(rest.slice(0, line), 16);
    if (line < 0 || !(size > 0)) return body;
    body += rest.slice(line + 2, line + 2 + size);
    rest = rest.slice(line + 2 + size + 2);
  }
}

/** Values of every field of that name, as they arrived. */
export function fieldsOf({ rawHeaders }: { readonly rawHeaders: readonly string[] }, name: string): readonly string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);
}
