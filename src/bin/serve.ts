import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { url as inspectorUrl } from 'node:inspector';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { ServeOptions } from '#cli';
import { type Environment, type Folders, isLoopback, placeOfThisServer, type Settings } from '#config';
import { createHttp, type Http } from '#http';
import { createJobs, type JobKind, type Jobs } from '#jobs';
import { type Clock, Fault, isFault, type Log } from '#kernel';
import { muxServer } from '#net';
import { createProxy, type Proxy as DataPlane } from '#proxy';
import { stalest } from '#store';
import { keyChanges, keyJobs } from './key-jobs.ts';
import { buildParts, type Parts } from './parts.ts';
import { onceResumed } from './paused.ts';

export interface ServeContext {
  readonly settings: Settings;
  readonly env: Environment;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  readonly out: NodeJS.WriteStream;
}

/** Builds the server, opens its listeners, serves until it is told to stop. @returns the exit code */
export async function serve(options: ServeOptions, { settings, env, clock, log, version, out }: ServeContext): Promise<number> {
  const tls = tlsOf(settings);
  const build = () => buildParts({ settings, env, dev: options.dev, clock, log });
  const parts = await onceResumed(build, tls, { settings, env, clock, log, version, out });
  if (parts === undefined) return 0;
  if (parts.production && inspectorUrl() !== undefined)
    throw new Fault('invalid_setting', { detail: 'the inspector is open', hint: 'start without --inspect' });
  if (process.report !== undefined) process.report.excludeEnv = true;
  const proxy = createProxy({ broker: parts.broker, net: parts.net, clock, log, limits: { streamIdle: settings.idleSeconds * 1000 } });
  const jobs = createJobs({ records: parts.store.records, clock, log, kinds: [...upkeep(parts), ...keyJobs(parts)] });
  const relays = createRelays(proxy);
  const http = createServer(parts, jobs, relays, version);
  const stopping = untilStopped(log);
  try {
    await open(parts, { http, proxy, tls, inherited: inheritedSockets(env) });
    jobs.start();
    await sayReady(parts, out);
    options.ready?.({ url: parts.publicUrl });
    await stopping;
    return 0;
  } finally {
    const deadline = settings.shutdownSeconds * 1000;
    // A relay stays open as long as its run: it is cut once what it carries has ended.
    await Promise.all([http.close(deadline), proxy.close(deadline).then(relays.close), jobs.close()]);
    await parts.close();
    log.info('stopped');
  }
}

interface Relays {
  accept(connection: Duplex, remoteAddress: string): void;
  close(): void;
}

/** Lines of remote runs, each with many tunnels to the proxy. */
function createRelays(proxy: DataPlane): Relays {
  const lines = new Set<{ close(): void }>();
  return {
    accept(connection, remoteAddress) {
      const line = muxServer(connection, (stream) => proxy.accept(stream, remoteAddress));
      lines.add(line);
      connection.once('close', () => lines.delete(line));
    },
    close() {
      for (const line of lines) line.close();
    },
  };
}

function createServer(parts: Parts, jobs: Jobs, relays: Relays, version: string): Http {
  const { broker, signin, connect, policy, identity, audit, vault, store, organization, publicUrl, settings, folders, clock, log } = parts;
  return createHttp({
    broker,
    signin,
    connect,
    policy,
    identity,
    audit,
    vault,
    jobs: { view: (id) => jobs.job(id) },
    applyKeys: keyChanges(jobs, organization.id),
    transact: (fn) => store.records.in(organization.id).write(fn),
    authenticate: {
      agent: (proof, allow) => identity.prove({ organization: organization.id, ...proof }, { allow }),
      browser: (bearer) => signin.session(bearer, 'browser'),
      command_line: (bearer) => signin.session(bearer, 'command_line'),
      local: () => signin.localSession(organization.id),
    },
    organization,
    place: placeOfThisServer(),
    publicUrl,
    hosts: settings.hosts,
    trustedProxies: settings.trustedProxies,
    readiness: () => readiness(parts),
    relay: relays.accept,
    proxySocketPath: folders.proxySocket,
    clock,
    log,
    version,
  });
}

/** Not ready before the first load of what has ended, nor while it cannot be learnt (SECURITY 16). */
async function readiness({ store }: Parts) {
  const fresh = store.changes.age() <= stalest;
  const [database, ephemera] = await Promise.all([reached(store.ping()), reached(store.ephemera.ping())]);
  const reasons = [
    ...(database === 'unreachable' ? ['database'] : []),
    ...(ephemera === 'unreachable' ? ['ephemera'] : []),
    ...(fresh ? [] : ['stale_revocations']),
  ];
  const [reason] = reasons;
  return reason === undefined ? { ready: true, database, ephemera } : { ready: false, database, ephemera, reason };
}

function reached(answer: Promise<unknown>): Promise<'connected' | 'unreachable'> {
  return answer.then(
    () => 'connected',
    () => 'unreachable',
  );
}

/** What every installation does by itself. */
function upkeep({ audit, identity, signin }: Parts): readonly JobKind[] {
  return [
    { kind: 'audit.checkpoint', every: 60_000, attempts: 3, run: async () => void (await audit.checkpoint()) },
    { kind: 'identity.sweep', every: 300_000, attempts: 3, run: async () => void (await identity.sweep()) },
    { kind: 'signin.sweep', every: 300_000, attempts: 3, run: async () => void (await signin.sweep()) },
  ];
}

export interface Tls {
  readonly cert: string;
  readonly key: string;
}

function tlsOf({ tlsCert, tlsKey }: Settings): Tls | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert !== undefined && tlsKey !== undefined) return { cert: readFileSync(tlsCert, 'utf8'), key: readFileSync(tlsKey, 'utf8') };
  const missing = tlsCert === undefined ? 'GATEHOUSE_TLS_CERT' : 'GATEHOUSE_TLS_KEY';
  throw new Fault('invalid_setting', {
    detail: `${missing}: give it too, certificate and key go together`,
    fields: { [missing]: 'give it too' },
  });
}

interface Listeners {
  readonly http: Http;
  readonly proxy: DataPlane;
  readonly tls: Tls | undefined;
  readonly inherited: readonly number[];
}

/** The addresses, then the local sockets. On a non-loopback address the proxy opens only with TLS (SECURITY 3). */
async function open(parts: Parts, { http, proxy, tls, inherited }: Listeners): Promise<void> {
  const { settings, folders, production, net, log } = parts;
  const { host } = settings;
  const encrypted = tls === undefined ? {} : { tls };
  const given = inherited.map((fd) => ({ fd, ...encrypted }));
  for (const where of given.length > 0 ? given : [{ host, port: settings.port, ...encrypted }]) {
    const server = await listening('GATEHOUSE_PORT', () => http.listen(where));
    refuseOutward(server.address, production);
    net.own(server.address, server.port);
    log.info('listening', { host: server.address, port: server.port });
  }
  if (production && tls === undefined) {
    log.warn('the proxy has no address of its own without TLS; remote runs come through /v1/relay');
  } else {
    const relayed = await listening('GATEHOUSE_PROXY_PORT', () => proxy.listen({ host, port: settings.proxyPort, ...encrypted }));
    net.own(relayed.address, relayed.port);
  }
  await openLocal(folders, http, proxy, log);
}

/**
 * Listening sockets that the system holds for us, also while no server runs, so that nobody else takes the address
 * meanwhile (sd_listen_fds(3)).
 */
export function inheritedSockets(env: Environment): readonly number[] {
  if (env.LISTEN_PID !== String(process.pid)) return [];
  return Array.from({ length: Number(env.LISTEN_FDS) || 0 }, (_, index) => 3 + index);
}

/** A socket we were handed may face outward though no setting says so (SECURITY 24). */
function refuseOutward(address: string, production: boolean): void {
  if (production || isLoopback(address)) return;
  throw new Fault('invalid_setting', {
    detail: 'The socket handed to the server faces outward, without the production rules',
    hint: 'set GATEHOUSE_PUBLIC_URL, or let the socket listen on loopback',
  });
}

/** A second server on the same data folder leaves the local sockets to the first. */
async function openLocal(folders: Folders, http: Http, proxy: DataPlane, log: Log): Promise<void> {
  try {
    await http.listen({ path: folders.serverSocket });
  } catch (error) {
    if (!isFault(error, 'conflict')) throw error;
    log.warn('another server has the local socket; this one is reached by its addresses only');
    return;
  }
  rmSync(folders.proxySocket, { force: true });
  await proxy.listen({ path: folders.proxySocket });
  chmodSync(folders.proxySocket, 0o600);
}

async function listening<T>(setting: string, listen: () => Promise<T>): Promise<T> {
  try {
    return await listen();
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE') {
      throw new Fault('address_in_use', { hint: `stop the other program, or choose another port with ${setting}`, cause });
    }
    throw cause;
  }
}

/**
 * Prints the set-up link to a terminal, and to standard output when the server is bound to loopback without production
 * rules; otherwise writes it to a file for its owner only and logs the path (SECURITY 23).
 */
async function sayReady({ signin, publicUrl, production, folders, log }: Parts, out: NodeJS.WriteStream): Promise<void> {
  if ((await signin.setupState()) === 'closed') {
    out.write(`gatehouse is ready: ${publicUrl}\n`);
    return;
  }
  const { token } = await signin.setupLink();
  const link = `${publicUrl}/setup?token=${token.reveal()}`;
  if (out.isTTY || !production) {
    out.write(`gatehouse is ready; set it up here, once, within an hour:\n\n  ${link}\n\n`);
    return;
  }
  const file = join(folders.config, 'setup-link');
  writeFileSync(file, `${link}\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
  log.info('the set-up link is in a file', { file });
}

function untilStopped(log: Log): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.once(signal, () => {
        log.info('stopping', { signal });
        resolve();
      });
    }
  });
}
