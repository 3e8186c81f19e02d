import type { Agent, ClientRequestArgs } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

/**
 * The file that Node programs under `run` load first. Newer Node reads the proxy variables for its global agents and
 * `fetch`; older ones read none, and agents a program makes itself, `ws` and the `undici` package never do.
 *
 * The functions below are written out as text into the run's folder (they use nothing from around them but each other,
 * `require`, `process`, `env` and `proxy`), so no file has to be shipped beside the compiled code. They must run on Node 18.
 */
export function preloadSource(): string {
  const parts = [readProxy, bypasses, openTunnel, secured, patchAgents, patchOwnConnections, patchFetch, patchUndici, hushProxyAgent].map(
    String,
  );
  return [
    "'use strict';",
    'const { env } = process;',
    ...parts,
    'const proxy = readProxy();',
    'if (proxy !== undefined) { patchAgents(); patchOwnConnections(); patchUndici(); patchFetch(); hushProxyAgent(); }',
    '',
  ].join('\n');
}

interface ProxyTarget {
  readonly host: string;
  readonly port: number;
  readonly authorization: string;
}

type Done = (error: Error | null, socket?: Duplex) => void;
type Target = ClientRequestArgs & { readonly servername?: string; readonly ALPNProtocols?: readonly string[]; readonly hostname?: string };

declare const proxy: ProxyTarget;
/** The program's own environment, where it is written out to. */
declare const env: Readonly<Record<string, string | undefined>>;

function readProxy(): ProxyTarget | undefined {
  const text = env.HTTPS_PROXY;
  if (!env.GATEHOUSE_RUN || !text) return undefined;
  const url = new URL(text);
  const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { host: url.hostname, port: Number(url.port), authorization: `Basic ${Buffer.from(user).toString('base64')}` };
}

/** Loopback is reached directly, and so is whatever has no host name (pipes, sockets). */
function bypasses(target: Target): boolean {
  if (target.socketPath) return true;
  const host = String(target.hostname || target.host || 'localhost').toLowerCase();
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127\./.test(host);
}

/** CONNECT host:port through the proxy (RFC 9110 §9.3.6). */
function openTunnel(host: string, port: number | string, done: Done): void {
  const net: typeof import('node:net') = require('node:net');
  const name = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  const socket: Socket = net.connect({ host: proxy.host, port: proxy.port });
  let seen = '';
  const fail = (error: Error) => done(error);
  const take = (part: Buffer) => {
    seen += part.toString('latin1');
    const end = seen.indexOf('\r\n\r\n');
    if (end < 0) return;
    socket.removeListener('data', take);
    socket.removeListener('error', fail);
    socket.pause();
    if (!/^HTTP\/1\.[01] 200/.test(seen)) {
      socket.destroy();
      done(new Error(`the proxy refused ${name}: ${seen.slice(9, seen.indexOf('\r\n'))} ${seen.slice(end + 4)}`.trim()));
      return;
    }
    if (seen.length > end + 4) socket.unshift(Buffer.from(seen.slice(end + 4), 'latin1'));
    done(null, socket);
  };
  socket.on('error', fail);
  socket.on('data', take);
  socket.write(`CONNECT ${name}:${port} HTTP/1.1\r\nHost: ${name}:${port}\r\nProxy-Authorization: ${proxy.authorization}\r\n\r\n`);
}

/** A tunnel with TLS inside. */
function secured(target: Target, done: Done): void {
  const tls: typeof import('node:tls') = require('node:tls');
  const net: typeof import('node:net') = require('node:net');
  const host = String(target.hostname || target.host);
  openTunnel(host, target.port || 443, (error, socket) => {
    if (error || !socket) return done(error);
    const servername = target.servername || (net.isIP(host) ? undefined : host);
    const options = Object.assign({}, target, { socket, servername, host: undefined, path: undefined, port: undefined });
    const inner: TLSSocket = tls.connect(options as import('node:tls').ConnectionOptions);
    const fail = (cause: Error) => done(cause);
    inner.once('error', fail);
    inner.once('secureConnect', () => {
      inner.removeListener('error', fail);
      done(null, inner);
    });
  });
}

/** Every agent of `http` and `https`, the program's own too, unless Node already gave it a proxy or it brings its own. */
function patchAgents(): void {
  const http: typeof import('node:http') = require('node:http');
  const https: typeof import('node:https') = require('node:https');
  const patch = (base: { prototype: Agent }, connect: (target: Target, done: Done) => void) => {
    const prototype = base.prototype as unknown as { createConnection: (target: Target, done?: Done) => Duplex | null | undefined };
    const original = prototype.createConnection;
    prototype.createConnection = function (this: Agent, target, done) {
      const own = (this as unknown as { options?: { proxyEnv?: unknown } }).options;
      if (!done || own?.proxyEnv || bypasses(target)) return original.call(this, target, done);
      connect(target, done);
      return undefined;
    };
  };
  patch(http.Agent, (target, done) => openTunnel(String(target.hostname || target.host), target.port || 80, done));
  patch(https.Agent, secured);
}

/** `ws` connects by functions of its own instead of an agent; they are known by their names. */
function patchOwnConnections(): void {
  const http: typeof import('node:http') = require('node:http');
  const https: typeof import('node:https') = require('node:https');
  const known = /^(tlsConnect|netConnect)$/;
  for (const [module, agent] of [
    [http, http.globalAgent],
    [https, https.globalAgent],
  ] as const) {
    const original = module.request as (...given: unknown[]) => unknown;
    (module as unknown as { request: unknown }).request = function request(this: unknown, ...given: unknown[]) {
      for (const options of given) {
        if (typeof options !== 'object' || options === null) continue;
        const own = options as { createConnection?: unknown; agent?: unknown };
        if (
          typeof own.createConnection === 'function' &&
          known.test(own.createConnection.name) &&
          !own.agent &&
          !bypasses(options as Target)
        ) {
          own.createConnection = undefined;
          own.agent = agent;
        }
      }
      return original.apply(this, given);
    };
  }
  require('node:module').syncBuiltinESMExports();
}

/** Node's own `fetch` where it does not read the variables: its dispatcher gets a connector through the tunnel. */
function patchFetch(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 24 || (major === 24 && minor >= 5) || (major === 22 && minor >= 21) || typeof globalThis.fetch !== 'function') return;
  const original = globalThis.fetch;
  const symbol = Symbol.for('undici.globalDispatcher.1');
  const slots = globalThis as unknown as Record<symbol, { constructor: new (options: unknown) => unknown } | undefined>;
  let ready: Promise<unknown> | undefined;
  const install = () =>
    original('data:,').then(() => {
      const current = slots[symbol];
      if (current) slots[symbol] = new current.constructor({ connect: dial }) as NonNullable<typeof current>;
    });
  const dial = (target: Target & { protocol?: string }, done: Done) => {
    if (bypasses(target)) {
      const secure = target.protocol === 'https:';
      const options = Object.assign({}, target, { host: target.hostname, path: undefined });
      const socket = secure ? require('node:tls').connect(options) : require('node:net').connect(options);
      socket.once(secure ? 'secureConnect' : 'connect', () => done(null, socket));
      socket.once('error', done);
    } else if (target.protocol === 'https:') secured(target, done);
    else openTunnel(String(target.hostname), target.port || 80, done);
  };
  globalThis.fetch = function fetch(input, init) {
    if (ready === undefined) ready = install();
    return ready.then(() => original(input, init));
  };
}

/** The `undici` package keeps a dispatcher of its own: it gets its own proxy agent as soon as it is loaded. */
function patchUndici(): void {
  const module = require('node:module') as { _load: (request: string, parent: unknown, isMain: boolean) => unknown };
  const original = module._load;
  const seen = new WeakSet<object>();
  module._load = function (request, parent, isMain) {
    const loaded = original.call(this, request, parent, isMain);
    if (!/(^|[\\/])undici([\\/]index(\.js)?)?$/.test(request) || typeof loaded !== 'object' || loaded === null || seen.has(loaded))
      return loaded;
    seen.add(loaded);
    const undici = loaded as {
      setGlobalDispatcher?: (agent: unknown) => void;
      EnvHttpProxyAgent?: new () => unknown;
      ProxyAgent?: new (options: unknown) => unknown;
    };
    if (typeof undici.setGlobalDispatcher !== 'function') return loaded;
    if (undici.EnvHttpProxyAgent) undici.setGlobalDispatcher(new undici.EnvHttpProxyAgent());
    else if (undici.ProxyAgent)
      undici.setGlobalDispatcher(new undici.ProxyAgent({ uri: `http://${proxy.host}:${proxy.port}`, token: proxy.authorization }));
    return loaded;
  };
}

/** The proxy agent of Node 22, and of `undici` as old, warns in every process that it is experimental: no word of the program's own. */
function hushProxyAgent(): void {
  const original = process.emit as (...given: unknown[]) => boolean;
  (process as { emit: unknown }).emit = function emit(this: unknown, ...given: unknown[]) {
    const [name, warning] = given as [unknown, { code?: unknown }?];
    return name === 'warning' && warning?.code === 'UNDICI-EHPA' ? false : original.apply(this, given);
  };
}
