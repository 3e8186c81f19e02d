import { chmodSync, rmSync } from 'node:fs';
import { type Environment, isLoopback } from '#config';
import type { Http } from '#http';
import { Fault, isFault } from '#kernel';
import type { Proxy as DataPlane } from '#proxy';
import type { Pair } from './certificate.ts';
import type { Parts } from './parts.ts';
import type { Worker } from './workers.ts';

/** What is opened to callers. */
export interface Opened {
  readonly parts: Parts;
  readonly http: Http;
  readonly proxy: DataPlane;
  /** What both show, where they encrypt. */
  readonly tls: Pair | undefined;
  /** Others listen at the same places. */
  readonly shared: boolean;
}

interface Process {
  readonly env: Environment;
  readonly worker: Worker | undefined;
}

/** The addresses, then the local sockets. On a non-loopback address the proxy opens only with TLS (SECURITY 3). */
export async function openListeners(opened: Opened, inherited: readonly number[]): Promise<void> {
  const { http, proxy, tls } = opened;
  const { settings, production, net, log } = opened.parts;
  const { host } = settings;
  const encrypted = tls === undefined ? {} : { tls };
  const shown = tls === undefined ? {} : { tls: { ...tls, asksCertificate: settings.clientCertificates } };
  const given = inherited.map((fd) => ({ fd, ...shown }));
  for (const where of given.length > 0 ? given : [{ host, port: settings.port, ...shown }]) {
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
  await openLocal(opened);
}

/**
 * Listening sockets that the system holds for us, also while no server runs, so that nobody else takes the address
 * meanwhile (sd_listen_fds(3)).
 */
export function inheritedSockets({ env, worker }: Process): readonly number[] {
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
async function openLocal({ parts: { folders, log }, http, proxy, shared }: Opened): Promise<void> {
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

/** Listens on a port that `setting` chose. @throws {Fault} `address_in_use` */
export async function listening<T>(setting: string, listen: () => Promise<T>): Promise<T> {
  try {
    return await listen();
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE') {
      throw new Fault('address_in_use', { hint: `stop the other program, or choose another port with ${setting}`, cause });
    }
    throw cause;
  }
}
