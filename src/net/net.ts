import { isIP, type Socket } from 'node:net';
import { type Clock, Fault, type Log } from '#kernel';
import { parseAddress } from './addresses.ts';
import type { DialOptions, GuardedRequest, Judged, Net, TlsOptions } from './contract.ts';
import { dialAny } from './dial.ts';
import { guardedFetch, portOf } from './fetch.ts';
import { createGuard, type Guard, type Opening } from './guard.ts';
import { judgeHost, type Resolver, sharing, systemResolver, withGiven } from './resolve.ts';
import { createContexts } from './roots.ts';
import { createShaker, type Shaker } from './secure.ts';

export interface NetDeps {
  /** What the operator opened, `host:port=CIDR`. */
  readonly allowPrivate: readonly Opening[];
  readonly clock: Clock;
  readonly log: Log;
  /** Name → addresses; the system's when absent. */
  readonly resolver?: Resolver;
  /** Names whose addresses the operator gave. */
  readonly addresses?: readonly { readonly host: string; readonly address: string }[];
  /** Host → extra authorities, PEM. */
  readonly extraAuthorities?: Readonly<Record<string, readonly string[]>>;
  /** Hosts whose certificate is not checked. */
  readonly skipVerifyHosts?: readonly string[];
  /** SHA-256 fingerprints, in capitals without colons, of certificates that no upstream may rest on. */
  readonly distrusted?: readonly string[];
}

/** Builds the room. @throws {Fault} `invalid_setting` when `allowPrivate` is malformed */
export function createNet(deps: NetDeps): Net {
  const guard = createGuard(deps.allowPrivate);
  const resolver = sharing(withGiven(deps.addresses ?? [], deps.resolver ?? systemResolver));
  const shaker = createShaker(createContexts(), deps.clock, new Set(deps.distrusted));
  const trust = createTrust(deps);
  const open = new Set<Socket>();
  let closed = false;

  const judge = async (host: string, port: number, options: DialOptions) => {
    try {
      return await judgeHost(guard, resolver, host, port, options);
    } catch (error) {
      if (error instanceof Fault && error.code === 'address_refused') deps.log.info('address refused', { port });
      throw error;
    }
  };
  const connected = async (judged: Judged, options: DialOptions) => {
    if (closed) throw new Fault('shutting_down');
    assertJudged(guard, judged);
    return dialAny(judged, options);
  };
  const keep = <S extends Socket>(socket: S): S => {
    if (!closed) return kept(open, socket);
    socket.destroy();
    throw new Fault('shutting_down');
  };
  const dial = async (judged: Judged, options: DialOptions) => keep(await connected(judged, options));
  const dialTls = async (judged: Judged, tls: TlsOptions, options: DialOptions) => {
    const started = performance.now();
    // From the handshake on, the TLS socket alone owns the connection: destroying the one below it crashes the process.
    const socket = await connected(judged, options);
    return keep(await shakeOver(shaker, trust, socket, tls, { ...options, timeout: left(options.timeout, started) }));
  };

  return Object.freeze({
    judge,
    dial,
    dialTls,
    fetch: (url: string, request: GuardedRequest) =>
      guardedFetch({ opened: guard.opened, connect: connecting(judge, dial, dialTls) }, url, request),
    own: guard.own,
    async ownServer(host: string, port: number) {
      guard.ownName(host, port);
      const addresses = isIP(host) === 0 ? (await resolver(host)).map(({ address }) => address) : [host];
      for (const address of addresses) guard.own(address, port);
    },
    async close() {
      closed = true;
      for (const socket of open) socket.destroy();
    },
  });
}

interface Trust {
  authorities(servername: string, more: readonly string[]): readonly string[];
  skips(servername: string): boolean;
}

/** Who may vouch for a host beyond the roots, and which hosts need nobody: both are the operator's word only. */
function createTrust(deps: NetDeps): Trust {
  const authorities = new Map(Object.entries(deps.extraAuthorities ?? {}).map(([host, pems]) => [host.toLowerCase(), pems]));
  const skipped = new Set((deps.skipVerifyHosts ?? []).map((host) => host.toLowerCase()));
  return {
    authorities: (servername, more) => [...(authorities.get(servername.toLowerCase()) ?? []), ...more],
    skips: (servername) => skipped.has(servername.toLowerCase()),
  };
}

function shakeOver(shaker: Shaker, trust: Trust, socket: Socket, tls: TlsOptions, options: DialOptions) {
  return shaker.shake(socket, {
    servername: tls.servername,
    ca: trust.authorities(tls.servername, tls.ca ?? []),
    skipVerify: trust.skips(tls.servername),
    alpn: tls.alpn ?? ['http/1.1'],
    timeout: options.timeout,
    ...(options.signal ? { signal: options.signal } : {}),
  });
}

/** A `Judged` is plain data, so what is dialled is judged again: it costs microseconds and cannot be forgotten. */
function assertJudged(guard: Guard, judged: Judged): void {
  for (const { address } of judged.addresses) {
    const bytes = parseAddress(address);
    if (!bytes || !guard.passes(judged.host, judged.port, bytes)) throw new Fault('address_refused');
  }
}

function connecting(judge: Net['judge'], dial: (judged: Judged, options: DialOptions) => Promise<Socket>, dialTls: Net['dialTls']) {
  return async (url: URL, request: GuardedRequest, timeout: number, signal: AbortSignal): Promise<Socket> => {
    const started = performance.now();
    const judged = await judge(url.hostname, portOf(url), { timeout, signal });
    const options = { timeout: left(timeout, started), signal };
    if (url.protocol === 'http:') return dial(judged, options);
    const tls = { servername: judged.host, alpn: ['http/1.1'], ...(request.ca ? { ca: request.ca } : {}) };
    return dialTls(judged, tls, options);
  };
}

const left = (timeout: number, started: number) => Math.max(1, timeout - (performance.now() - started));

function kept<S extends Socket>(open: Set<Socket>, socket: S): S {
  open.add(socket);
  socket.once('close', () => open.delete(socket));
  return socket;
}
