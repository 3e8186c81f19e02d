import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { RedisLocation } from './address.ts';
import type { RedisTls } from './client.ts';

/**
 * Why TLS with the first sentinel or node of a cluster does not come about: the driver keeps that to itself. Undefined: it
 * does, or something else is the matter.
 */
export function certificateProblem({ address, encrypted }: RedisLocation, tls: RedisTls, patience: number): Promise<string | undefined> {
  const [place] = address.kind === 'sentinel' ? address.sentinels : address.kind === 'cluster' ? address.nodes : [];
  if (!encrypted || place === undefined) return Promise.resolve(undefined);
  const { host, port } = place;
  const { ca, cert, key } = tls;
  return new Promise((resolve) => {
    const socket = connect({ host, port, ca, cert, key, timeout: patience, ...(isIP(host) === 0 ? { servername: host } : {}) });
    const end = (problem?: string) => {
      socket.destroy();
      resolve(problem);
    };
    socket.once('secureConnect', () => end());
    socket.once('timeout', () => end());
    socket.once('error', (error: Error & { code?: string }) =>
      end(/CERT|ALTNAME|ISSUER/.test(error.code ?? '') ? error.message : undefined),
    );
  });
}
