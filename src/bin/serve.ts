import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { ServeOptions } from '#cli';
import { type Environment, isLoopback, placeOfThisServer, type Settings } from '#config';
import { createHttp, type Http } from '#http';
import { createJobs, type JobKind, type Jobs, mostJobs } from '#jobs';
import { type Clock, Fault, isFault, type Log, type Secret } from '#kernel';
import { muxServer } from '#net';
import { createProxy, type Proxy as DataPlane, defaultLimits, type ProxyLimits } from '#proxy';
import { type Pair, readPair, watchPair } from './certificate.ts';
import { keyChanges, keyJobs } from './key-jobs.ts';
import { buildParts, type Parts } from './parts.ts';
import { onceResumed } from './paused.ts';
import { shareOf } from './places.ts';
import { createReadiness } from './readiness.ts';
import { type Stopping, untilStopped } from './stopping.ts';
import type { Worker } from './workers.ts';

export interface ServeContext {
  readonly settings: Settings;
  readonly env: Environment;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  readonly out: NodeJS.WriteStream;
  /** This process as one of several that serve together. */
  readonly worker: Worker | undefined;
}

/** Builds the server, opens its listeners, serves until it is told to stop. @returns the exit code */
export async function serve(options: ServeOptions, context: ServeContext): Promise<number> {
  const { settings, env, clock, log, worker } = context;
  const make = () => buildParts({ settings, env, dev: options.dev, processes: worker?.of ?? 1, clock, log });
  const parts = await onceResumed(make, pairOf(settings), context);
  if (parts === undefined) return 0;
  if (process.report !== undefined) process.report.excludeEnv = true;
  const running = build(parts, context);
  const stopping = untilStopped(log);
  let link: GivenLink | undefined;
  let leaving = false;
  try {
    await open(running, inheritedSockets(context));
    running.jobs.start();
    link = await sayReady(parts, context);
    options.ready?.({ url: parts.publicUrl });
    worker?.ready();
    leaving = await toldToEnd(stopping, worker);
    return 0;
  } finally {
    await close(running, stopping.hurry);
    // Who takes the place of a worker does not know the link, so it goes on.
    if (link !== undefined && !leaving) await withdraw(parts, link);
    await parts.close();
    log.info('stopped');
  }
}

/** True when another process takes the place of this one, and the service goes on. */
async function toldToEnd(stopping: Stopping, worker: Worker | undefined): Promise<boolean> {
  const told = stopping.told.then(() => false);
  return await (worker === undefined ? told : Promise.race([told, worker.replaced.then(() => true)]));
}

/** What serves, over the parts. */
interface Running {
  readonly parts: Parts;
  readonly http: Http;
  readonly proxy: DataPlane;
  readonly jobs: Jobs;
  readonly relays: Relays;
  readonly certificate: Certificate | undefined;
  /** Others listen at the same places. */
  readonly shared: boolean;
}

function build(parts: Parts, { settings, clock, log, version, worker }: ServeContext): Running {
  const { broker, net, processes, store } = parts;
  const proxy = createProxy({ broker, net, clock, log, limits: { ...proxyShare(processes), streamIdle: settings.idleSeconds * 1000 } });
  const kinds = [...upkeep(parts), ...keyJobs(parts)];
  const jobs = createJobs({ records: store.records, clock, log, kinds, atOnce: shareOf(mostJobs, processes) });
  const relays = createRelays(proxy);
  const http = createServer(parts, jobs, relays, version);
  return { parts, http, proxy, jobs, relays, certificate: certificateOf(settings, http, proxy, log), shared: worker !== undefined };
}

/** The bounds of the data plane that count connections of the service as a whole. */
function proxyShare(processes: number): Partial<ProxyLimits> {
  const { connections, poolTotal, poolPerOrigin } = defaultLimits;
  return {
    connections: shareOf(connections, processes),
    poolTotal: shareOf(poolTotal, processes),
    poolPerOrigin: shareOf(poolPerOrigin, processes),
  };
}

/** Stops accepting at once, lets what is under way end, and cuts it at the deadline or when there is a hurry. */
async function close({ parts, http, proxy, jobs, relays, certificate }: Running, hurry: AbortSignal): Promise<void> {
  const deadline = parts.settings.shutdownSeconds * 1000;
  certificate?.close();
  // A relay stays open as long as its run: it is cut once what it carries has ended.
  await Promise.all([http.close(deadline, hurry), proxy.close(deadline, hurry).then(relays.close), jobs.close()]);
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
    readiness: createReadiness(store, clock),
    relay: relays.accept,
    proxySocketPath: folders.proxySocket,
    clock,
    log,
    version,
  });
}

/** What every installation does by itself. */
function upkeep({ store, audit, identity, signin }: Parts): readonly JobKind[] {
  return [
    { kind: 'store.checkpoint', every: 15_000, attempts: 3, run: async () => void (await store.checkpoint()) },
    { kind: 'audit.checkpoint', every: 60_000, attempts: 3, run: async () => void (await audit.checkpoint()) },
    { kind: 'identity.sweep', every: 300_000, attempts: 3, run: async () => void (await identity.sweep()) },
    { kind: 'signin.sweep', every: 300_000, attempts: 3, run: async () => void (await signin.sweep()) },
  ];
}

function pairOf({ tlsCert: cert, tlsKey: key }: Settings): Pair | undefined {
  return cert === undefined || key === undefined ? undefined : readPair({ cert, key }).pair;
}

interface Certificate {
  readonly pair: Pair;
  close(): void;
}

/** The pair that both ports show, where they encrypt; replaced in both when its files are. */
function certificateOf(settings: Settings, http: Http, proxy: DataPlane, log: Log): Certificate | undefined {
  const { tlsCert: cert, tlsKey: key } = settings;
  const pair = pairOf(settings);
  if (cert === undefined || key === undefined || pair === undefined) return undefined;
  const watching = watchPair({ cert, key }, pair, log, (fresh) => {
    http.secure(fresh);
    proxy.secure(fresh);
  });
  return { pair, close: watching.close };
}

/** The addresses, then the local sockets. On a non-loopback address the proxy opens only with TLS (SECURITY 3). */
async function open(running: Running, inherited: readonly number[]): Promise<void> {
  const { http, proxy, certificate } = running;
  const { settings, production, net, log } = running.parts;
  const { host } = settings;
  const encrypted = certificate === undefined ? {} : { tls: certificate.pair };
  const given = inherited.map((fd) => ({ fd, ...encrypted }));
  for (const where of given.length > 0 ? given : [{ host, port: settings.port, ...encrypted }]) {
    const server = await listening('GATEHOUSE_PORT', () => http.listen(where));
    refuseOutward(server.address, production);
    net.own(server.address, server.port);
    log.info('listening', { host: server.address, port: server.port });
  }
  if (production && certificate === undefined) {
    log.warn('the proxy has no address of its own without TLS; remote runs come through /v1/relay');
  } else {
    const relayed = await listening('GATEHOUSE_PROXY_PORT', () => proxy.listen({ host, port: settings.proxyPort, ...encrypted }));
    net.own(relayed.address, relayed.port);
  }
  await openLocal(running);
}

/**
 * Listening sockets that the system holds for us, also while no server runs, so that nobody else takes the address
 * meanwhile (sd_listen_fds(3)).
 */
export function inheritedSockets({ env, worker }: Pick<ServeContext, 'env' | 'worker'>): readonly number[] {
  // They are handed to who keeps the workers.
  if (env.LISTEN_PID !== String(worker === undefined ? process.pid : process.ppid)) return [];
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
async function openLocal({ parts: { folders, log }, http, proxy, shared }: Running): Promise<void> {
  try {
    await http.listen({ path: folders.serverSocket, shared });
  } catch (error) {
    if (!isFault(error, 'conflict')) throw error;
    log.warn('another server has the local socket; this one is reached by its addresses only');
    return;
  }
  if (!shared) rmSync(folders.proxySocket, { force: true });
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

/** The set-up link that this server gave, and the file it is in. */
interface GivenLink {
  readonly token: Secret<string>;
  readonly file?: string;
}

/**
 * Prints the set-up link to a terminal, and to standard output when the server is bound to loopback without production
 * rules; otherwise writes it to a file for its owner only and logs the path (SECURITY 23).
 */
async function sayReady(parts: Parts, { out, worker }: ServeContext): Promise<GivenLink | undefined> {
  if (worker !== undefined && worker.id > 1) return undefined;
  const { signin, publicUrl, production, folders, log } = parts;
  const token = await signin.firstSetupLink();
  if (token === undefined) {
    out.write(`gatehouse is ready: ${publicUrl}\n`);
    if ((await signin.setupState()) === 'open')
      log.info('the set-up link was given before, by this server or another; replace it with: gatehouse setup-link');
    return undefined;
  }
  const link = `${publicUrl}/setup?token=${token.reveal()}`;
  if (out.isTTY || !production) {
    out.write(`gatehouse is ready; set it up here, once, within an hour:\n\n  ${link}\n\n`);
    return { token };
  }
  const file = join(folders.config, 'setup-link');
  writeFileSync(file, `${link}\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
  log.info('the set-up link is in a file', { file });
  return { token, file };
}

/** A link whose server stops ends with it, so that the next server to start gives one. */
async function withdraw({ signin, log }: Parts, { token, file }: GivenLink): Promise<void> {
  await signin.withdrawSetupLink(token).catch((cause: unknown) => log.warn('the set-up link could not be ended', { cause }));
  if (file !== undefined) rmSync(file, { force: true });
}
