import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Admission, Allowed, Broker, Call, Exchange, LiveRun, Verdict } from '#broker';
import { Fault, type FaultCode, newId, Secret, silentLog, systemClock } from '#kernel';
import { createNet, type Net } from '#net';
import { type TestAuthority, testAuthority } from '../../../test/support/certificates.ts';
import type { Proxy as DataPlane } from '../contract.ts';
import { createProxy, type ProxyDeps } from '../proxy.ts';

export const credential = 'run-credential-0123456789abcdef0123456789abcdef';
export const organization = newId('org');

/** A broker that decides what a test tells it to, and remembers what it was asked and told. */
export interface ToldBroker extends Broker {
  decideWith: (call: Call) => Verdict | Promise<Verdict>;
  admitWith: (host: string) => Admission;
  rejudgeWith: (verdict: Allowed) => Promise<Allowed>;
  renewWith: (verdict: Allowed) => Promise<Allowed | undefined>;
  authenticateWith: (credential: string) => LiveRun;
  readonly run: LiveRun;
  readonly calls: Call[];
  readonly reports: Exchange[];
  readonly tunnels: { readonly host: string; readonly port: number; readonly sent?: number; readonly received?: number }[];
  cut(code: FaultCode): void;
}

export function liveRun(): LiveRun {
  const agent = newId('agt');
  return {
    id: newId('run'),
    organization,
    agent,
    level: 'cooperative',
    principal: { organization, subject: { kind: 'agent', id: agent }, actors: [] },
  };
}

/** An allowed call that injects nothing. */
export function allowed(call: Call, more: Partial<Allowed> = {}): Allowed {
  return {
    kind: 'allow',
    exchange: call.request,
    run: call.run,
    connection: undefined,
    permission: undefined,
    alteration: { clear: { headers: [], query: [], cookies: [] }, set: [], replace: [] },
    scrub: [],
    until: systemClock.monotonic() + 3_000,
    refreshable: false,
    form: undefined,
    tokens: false,
    recorded: Promise.resolve(),
    ca: [],
    ...more,
  };
}

/** An allowed call that puts `secret` in `Authorization` and scrubs it. */
export function bearer(call: Call, secret: Secret, more: Partial<Allowed> = {}): Allowed {
  return allowed(call, {
    connection: { id: connectionId, provider: 'acme', name: 'default' },
    alteration: {
      clear: { headers: ['authorization', 'cookie', 'x-api-key'], query: [], cookies: [] },
      set: [{ slot: 'header', name: 'authorization', value: new Secret(`Bearer ${secret.reveal()}`) }],
      replace: [],
    },
    scrub: [secret],
    ...more,
  });
}
const connectionId = newId('con');

const notHere = () => Promise.reject(new Fault('internal'));

export function toldBroker(authority: TestAuthority): ToldBroker {
  const run = liveRun();
  const listeners = new Set<Parameters<Broker['ended']>[0]>();
  const broker: ToldBroker = {
    run,
    calls: [],
    reports: [],
    tunnels: [],
    decideWith: (call) => allowed(call),
    admitWith: () => ({ kind: 'intercept' }),
    rejudgeWith: () => Promise.reject(new Fault('stale_revocations', { retryAfter: 1 })),
    renewWith: () => Promise.resolve(undefined),
    authenticateWith: (given) => {
      if (given !== credential) throw new Fault('proxy_unauthenticated');
      return run;
    },
    startRun: notHere,
    renewRun: notHere,
    endRun: notHere,
    runs: notHere,
    authenticateRun: async (given) => broker.authenticateWith(given),
    carriedRun: async () => broker.authenticateWith(credential),
    admit: async (_, target) => broker.admitWith(target.host),
    decide: async (call) => {
      broker.calls.push(call);
      return broker.decideWith(call);
    },
    foresee: notHere,
    rejudge: (verdict) => broker.rejudgeWith(verdict),
    renew: (verdict) => broker.renewWith(verdict),
    report: (exchange) => void broker.reports.push(exchange),
    tunnel: async (_, target, end) => void broker.tunnels.push({ ...target, ...end }),
    ended: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    authority: async () => ({
      leaf: (host) => {
        const { cert, key } = authority.issue(host);
        return { certificatePem: cert, key: createPrivateKey(key) };
      },
    }),
    cut: (code) => {
      for (const listener of listeners) listener({ run: run.id }, code);
    },
    close: async () => {},
  };
  return broker;
}

export interface Harness {
  readonly broker: ToldBroker;
  readonly net: Net;
  readonly proxy: DataPlane;
  readonly port: number;
  /** What the program trusts for intercepted hosts. */
  readonly interception: TestAuthority;
  close(): Promise<void>;
}

/** Names under `.test` are this machine; each port of `upstreams` is open to all of them. */
export async function dataPlane(
  upstreams: readonly number[],
  upstreamAuthority: TestAuthority,
  more: { readonly limits?: NonNullable<ProxyDeps['limits']>; readonly hosts?: readonly string[] } = {},
): Promise<Harness> {
  const hosts = more.hosts ?? ['api.test', 'other.test'];
  const net = createNet({
    allowPrivate: hosts.flatMap((host) => upstreams.map((port) => ({ host, port, cidr: '127.0.0.1/32' }))),
    clock: systemClock,
    log: silentLog,
    resolver: async () => [{ address: '127.0.0.1', family: 4 }],
    extraAuthorities: Object.fromEntries(hosts.map((host) => [host, [upstreamAuthority.pem]])),
  });
  const interception = testAuthority('test');
  const broker = toldBroker(interception);
  const proxy = createProxy({ broker, net, clock: systemClock, log: silentLog, limits: { tick: 20, ...more.limits } });
  const { port } = await proxy.listen({ host: '127.0.0.1', port: 0 });
  return {
    broker,
    net,
    proxy,
    port,
    interception,
    async close() {
      await proxy.close(0);
      await net.close();
    },
  };
}

/** Bytes read from a socket until a test is content. */
export interface Talk<S extends Socket = Socket> {
  readonly socket: S;
  send(text: string): void;
  /** Everything received so far, once it holds `text` (or the connection ended). */
  until(text: string): Promise<string>;
  /** Everything received, once the peer ended or cut the connection. */
  ended(): Promise<string>;
  take(): string;
}

export function talk<S extends Socket>(socket: S): Talk<S> {
  let received = '';
  let over = false;
  const waiting = new Set<() => void>();
  const changed = () => {
    for (const check of [...waiting]) check();
  };
  socket.setEncoding('latin1');
  socket.on('data', (part: string) => {
    received += part;
    changed();
  });
  for (const event of ['end', 'close', 'error']) {
    socket.on(event, () => {
      over = true;
      changed();
    });
  }
  const when = (ready: () => boolean) =>
    new Promise<string>((resolve) => {
      const check = () => {
        if (!ready() && !over) return;
        waiting.delete(check);
        resolve(received);
      };
      waiting.add(check);
      check();
    });
  return {
    socket,
    send: (text) => void socket.write(text, 'latin1'),
    until: (text) => when(() => received.includes(text)),
    ended: () => when(() => false),
    take: () => {
      const all = received;
      received = '';
      return all;
    },
  };
}

export async function plain(port: number): Promise<Talk> {
  const socket = connectTcp(port, '127.0.0.1');
  await once(socket, 'connect');
  return talk(socket);
}

/** Opens a tunnel and shakes hands in it. */
export async function tunnel(harness: Harness, target: string, servername?: string): Promise<Talk<TLSSocket>> {
  return talk(await tunnelSocket(harness, target, servername));
}

export async function tunnelSocket(harness: Harness, target: string, servername = target.split(':')[0] as string): Promise<TLSSocket> {
  const outer = await plain(harness.port);
  outer.send(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: Bearer ${credential}\r\n\r\n`);
  const answer = await outer.until('\r\n\r\n');
  if (!answer.startsWith('HTTP/1.1 200')) throw new Error(answer);
  outer.socket.removeAllListeners();
  const secured = connectTls({ socket: outer.socket, servername, ca: harness.interception.pem, checkServerIdentity: () => undefined });
  secured.on('error', () => {});
  await once(secured, 'secureConnect');
  return secured;
}

/** Waits for what happens soon. */
export async function eventually(holds: () => boolean, within = 3_000): Promise<void> {
  const end = performance.now() + within;
  while (!holds()) {
    if (performance.now() > end) throw new Error('it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
