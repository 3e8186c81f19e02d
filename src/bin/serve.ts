import type { Duplex } from 'node:stream';
import type { ServeOptions } from '#cli';
import { type Environment, placeOfThisServer, type Settings } from '#config';
import { createHttp, type Http } from '#http';
import type { Jobs } from '#jobs';
import type { Clock, Log } from '#kernel';
import { muxServer } from '#net';
import { createProxy, type Proxy as DataPlane, defaultLimits, type ProxyLimits } from '#proxy';
import { type Pair, readPair, watchPair } from './certificate.ts';
import { keyChanges } from './key-jobs.ts';
import { inheritedSockets, openListeners } from './listeners.ts';
import { buildParts, type Parts } from './parts.ts';
import { onceResumed } from './paused.ts';
import { shareOf } from './places.ts';
import { createReadiness } from './readiness.ts';
import { type GivenLink, sayReady, withdraw } from './setup-link.ts';
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
    await openListeners({ ...running, tls: running.certificate?.pair }, inheritedSockets(context));
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
  const { broker, net, processes, jobs } = parts;
  const proxy = createProxy({ broker, net, clock, log, limits: { ...proxyShare(processes), streamIdle: settings.idleSeconds * 1000 } });
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

export interface Relays {
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

/** What answers HTTP, over the parts. */
export function createServer(parts: Parts, jobs: Jobs, relays: Relays, version: string): Http {
  const { broker, issuer, signin, connect, policy, identity, audit, vault, store, organization, publicUrl, settings, folders, clock, log } =
    parts;
  return createHttp({
    broker,
    issuer,
    signin,
    connect,
    policy,
    identity,
    audit,
    vault,
    jobs: { view: (id) => jobs.job(id) },
    applyKeys: keyChanges(jobs, organization.id),
    transactIn: (organization, fn) => store.records.in(organization).write(fn),
    authenticateIn: (organization) => ({
      agent: (proof, allow) => identity.prove({ organization, ...proof }, { allow }),
      browser: (bearer) => signin.session(organization, bearer, 'browser'),
      command_line: (bearer) => signin.session(organization, bearer, 'command_line'),
      local: () => signin.localSession(organization),
    }),
    organization,
    place: placeOfThisServer(),
    publicUrl,
    hosts: settings.hosts,
    trustedProxies: settings.trustedProxies,
    certificateHeader: settings.certificateHeader,
    readiness: createReadiness(store, clock),
    relay: relays.accept,
    proxySocketPath: folders.proxySocket,
    clock,
    log,
    version,
  });
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
