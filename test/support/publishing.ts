import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';
import { type Clock, silentLog } from '#kernel';
import { createNet, type Net } from '#net';
import { testAuthority } from './certificates.ts';

const closing: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closing.splice(0)) await close();
});

/** What a path answers. */
export interface Published {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object goes as JSON, text as it is. */
  readonly body?: unknown;
}

/** An https server that publishes what it is given, under a name that `net` finds on this machine. */
export interface Publisher {
  readonly host: string;
  readonly port: number;
  readonly origin: string;
  readonly pages: Map<string, Published>;
  /** Paths that were asked for, in order. */
  readonly seen: string[];
  /** Outbound connections that reach it, and nothing else on this machine. */
  net(clock: Clock): Net;
}

export async function startPublisher(host = 'client.example'): Promise<Publisher> {
  const authority = testAuthority(host);
  const pages = new Map<string, Published>();
  const seen: string[] = [];
  const server = createServer(authority.issue(host), (request, response) => {
    const path = request.url ?? '';
    seen.push(path);
    const { status = 200, headers = {}, body = '' } = pages.get(path) ?? { status: 404 };
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return {
    host,
    port,
    origin: `https://${host}:${port}`,
    pages,
    seen,
    net(clock) {
      const net = createNet({
        allowPrivate: [{ host, port, cidr: '127.0.0.0/8' }],
        extraAuthorities: { [host]: [authority.pem] },
        clock,
        log: silentLog,
        resolver: async () => [{ address: '127.0.0.1', family: 4 }],
      });
      closing.push(() => net.close());
      return net;
    },
  };
}
