import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, Server as TlsServer } from 'node:tls';
import type { Broker } from '#broker';
import type { Clock, Log } from '#kernel';
import type { Net } from '#net';
import { ClientConnection } from './client.ts';
import type { Proxy as DataPlane } from './contract.ts';
import { Deadlines } from './deadlines.ts';
import { serveFront } from './front.ts';
import { Leaves } from './leaves.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { OpenWork, type Plane } from './plane.ts';
import { Pool } from './pool.ts';
import { Throttle } from './throttle.ts';
import { Turns } from './turns.ts';

export interface ProxyDeps {
  readonly broker: Broker;
  readonly net: Net;
  readonly clock: Clock;
  readonly log: Log;
  /** What differs from the defaults. */
  readonly limits?: Partial<Limits>;
}

/** Builds the room. */
export function createProxy(deps: ProxyDeps): DataPlane {
  const plane = createPlane(deps);
  const servers = new Set<Server>();
  const stopListening = deps.broker.ended((what, code) => {
    if ('run' in what) plane.work.cutRun(what.run, code);
    else plane.work.cutExchange(what.exchange, code);
  });
  const accept = (connection: Duplex, remoteAddress: string) => {
    if (plane.closing || plane.clients.size >= plane.limits.connections) {
      connection.on('error', () => {});
      connection.destroy();
      return;
    }
    new ClientConnection(plane, connection, remoteAddress, serveFront, false);
  };

  return Object.freeze({
    accept,
    async listen(where) {
      const server = await opened(where, accept, deps.log);
      servers.add(server);
      const bound = server.address();
      if (bound === null || typeof bound === 'string') return { address: bound ?? '', port: 0 };
      deps.net.own(bound.address, bound.port);
      return { address: bound.address, port: bound.port };
    },
    secure(tls) {
      for (const server of servers) if (server instanceof TlsServer) server.setSecureContext(tls);
    },
    async close(deadline, hurry) {
      plane.draining = true;
      const closed = [...servers].map((server) => new Promise((resolve) => server.close(resolve)));
      await drained(plane, Math.min(deadline, plane.limits.drainTimeout), hurry);
      plane.closing = true;
      for (const client of [...plane.clients]) if (client.idle) client.linger();
      await emptied(plane, deadline, hurry);
      plane.work.cutAll('shutting_down');
      for (const client of [...plane.clients]) client.abort();
      stopListening();
      plane.pool.close();
      plane.deadlines.close();
      await Promise.all(closed);
    },
  } satisfies DataPlane);
}

function createPlane(deps: ProxyDeps): Plane {
  const { broker, net, clock, log } = deps;
  const limits = Object.freeze({ ...defaultLimits, ...deps.limits });
  const deadlines = new Deadlines(clock, limits.tick);
  return {
    broker,
    net,
    clock,
    log,
    limits,
    deadlines,
    pool: new Pool(clock, limits, deadlines),
    leaves: new Leaves(broker, clock),
    throttle: new Throttle(clock, limits.badTokens),
    turns: new Turns(),
    work: new OpenWork(),
    clients: new Set(),
    splices: new Set(),
    draining: false,
    closing: false,
  };
}

type Where = Parameters<DataPlane['listen']>[0];

function opened(where: Where, accept: (socket: Duplex, remote: string) => void, log: Log): Promise<Server> {
  const onSocket = (socket: Socket) => accept(socket, socket.remoteAddress ?? 'local');
  const options = { allowHalfOpen: true, noDelay: true };
  const tls = 'path' in where ? undefined : where.tls;
  const server =
    tls === undefined ? createServer(options, onSocket) : createTlsServer({ ...options, ...tls, ALPNProtocols: ['http/1.1'] }, onSocket);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen('path' in where ? { path: where.path } : { host: where.host, port: where.port }, () => {
      server.off('error', reject);
      server.on('error', (cause) => log.error('the proxy listener failed', { cause }));
      resolve(server);
    });
  });
}

/** A request may be on its way on a connection that looks idle, so each gets a moment in which it is still answered. */
async function drained(plane: Plane, patience: number, hurry: AbortSignal | undefined): Promise<void> {
  const end = plane.clock.monotonic() + patience;
  const idle = () => [...plane.clients].some((client) => client.idle);
  while (idle() && plane.clock.monotonic() < end && hurry?.aborted !== true) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Resolves when nothing is under way any more, when the deadline has passed, or when there is a hurry. */
async function emptied(plane: Plane, deadline: number, hurry: AbortSignal | undefined): Promise<void> {
  const end = plane.clock.monotonic() + deadline;
  while ((plane.clients.size > 0 || plane.splices.size > 0) && plane.clock.monotonic() < end && hurry?.aborted !== true) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const client of [...plane.clients]) if (client.idle) client.linger();
  }
}
