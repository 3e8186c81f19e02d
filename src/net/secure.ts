import type { Socket } from 'node:net';
import { checkServerIdentity, connect, type TLSSocket } from 'node:tls';
import { type Clock, Fault, type FaultCode } from '#kernel';
import { parseHost } from './hosts.ts';
import { Latest } from './latest.ts';
import type { Contexts } from './roots.ts';

export interface Handshake {
  readonly servername: string;
  /** Extra authorities, PEM. */
  readonly ca: readonly string[];
  readonly skipVerify: boolean;
  readonly alpn: readonly string[];
  /** Milliseconds. */
  readonly timeout: number;
  readonly signal?: AbortSignal;
}

interface Remembered {
  readonly session: Buffer;
  /** Wall-clock milliseconds after which the certificate must be seen again. */
  readonly until: number;
}

/** A resumed session skips the certificate, so it is used no longer than this and never past the certificate's end. */
const sessionLife = 3_600_000;

const codes: Readonly<Record<string, FaultCode>> = {
  CERT_HAS_EXPIRED: 'upstream_certificate_expired',
  CERT_NOT_YET_VALID: 'upstream_certificate_expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'upstream_certificate_name',
  ERR_TLS_CERT_ALTNAME_FORMAT: 'upstream_certificate_name',
  HOSTNAME_MISMATCH: 'upstream_certificate_name',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'upstream_certificate_untrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'upstream_certificate_untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'upstream_certificate_untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'upstream_certificate_untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'upstream_certificate_untrusted',
  CERT_UNTRUSTED: 'upstream_certificate_untrusted',
  UNABLE_TO_GET_CRL: 'upstream_certificate',
  INVALID_CA: 'upstream_certificate',
  PATH_LENGTH_EXCEEDED: 'upstream_certificate',
  INVALID_PURPOSE: 'upstream_certificate',
};

/** Shakes hands over a connected socket, which it owns from here: a failure destroys it. */
export interface Shaker {
  shake(socket: Socket, handshake: Handshake): Promise<TLSSocket>;
}

export function createShaker(contexts: Contexts, clock: Clock, distrusted: ReadonlySet<string> = new Set()): Shaker {
  const sessions = new Latest<string, Remembered>(2_000);

  return Object.freeze({
    shake(socket: Socket, handshake: Handshake) {
      const { context, key } = contexts.for(handshake.ca);
      // The server's name, address and port, who may vouch for it, and whether anybody must.
      const place = `${handshake.servername}|${socket.remoteAddress}|${socket.remotePort}|${key}|${handshake.skipVerify}|${handshake.alpn}`;
      const known = sessions.get(place);
      const session = known && known.until > clock.now() ? known.session : undefined;
      const named = parseHost(handshake.servername)?.kind === 'name';
      const secured = connect({
        socket,
        secureContext: context,
        ...(named ? { servername: handshake.servername } : {}),
        ...(session ? { session } : {}),
        ALPNProtocols: [...handshake.alpn],
        rejectUnauthorized: !handshake.skipVerify,
        checkServerIdentity: (_name, certificate) =>
          handshake.skipVerify ? undefined : checkServerIdentity(bare(handshake.servername), certificate),
      });
      let until = known?.until ?? 0;
      secured.on('session', (made) => sessions.set(place, { session: made, until }));
      secured.once('secureConnect', () => {
        if (secured.isSessionReused()) return;
        until = Math.min(clock.now() + sessionLife, Date.parse(secured.getPeerCertificate().valid_to) || 0);
      });
      const judge = () => (handshake.skipVerify || secured.isSessionReused() ? undefined : distrustedIn(secured, distrusted));
      return settled(secured, handshake, judge).catch((error: unknown) => {
        sessions.delete(place);
        throw error;
      });
    },
  });
}

const bare = (host: string) => (host.startsWith('[') ? host.slice(1, -1) : host);

/** A certificate of the chain, up to its root, that the operator distrusts. */
function distrustedIn(secured: TLSSocket, distrusted: ReadonlySet<string>): Fault | undefined {
  if (distrusted.size === 0) return undefined;
  // Up to the root, which the server need not send, and which is its own issuer.
  let at = secured.getPeerCertificate(true);
  for (;;) {
    if (distrusted.has(at.fingerprint256.replaceAll(':', ''))) return new Fault('upstream_certificate_revoked');
    const issuer: typeof at | undefined = at.issuerCertificate;
    if (issuer === undefined || issuer === at) return undefined;
    at = issuer;
  }
}

function settled(secured: TLSSocket, handshake: Handshake, judge: () => Fault | undefined): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const fail = (fault: Fault) => {
      done();
      // Once given up, later errors of the dying socket concern nobody.
      secured.on('error', () => {});
      secured.destroy();
      reject(fault);
    };
    const onError = (error: Error) => fail(faultOf(error));
    const onClose = () => fail(new Fault('upstream_unreachable', { detail: 'The upstream closed the TLS handshake' }));
    const onAbort = () => fail(new Fault('cancelled'));
    const timer = setTimeout(() => fail(new Fault('upstream_timeout')), handshake.timeout);
    const onSecure = () => {
      const fault = judge();
      if (fault) return fail(fault);
      done();
      resolve(secured);
    };
    const done = () => {
      clearTimeout(timer);
      secured.off('error', onError).off('close', onClose).off('secureConnect', onSecure);
      handshake.signal?.removeEventListener('abort', onAbort);
    };
    secured.once('error', onError).once('close', onClose).once('secureConnect', onSecure);
    if (handshake.signal?.aborted) return onAbort();
    handshake.signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** A failed handshake by its reason: dates, name, authority, or anything else. */
function faultOf(error: Error): Fault {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const known = codes[code] ?? (/^CERT_|_CERT_|CERTIFICATE/.test(code) && !code.startsWith('ERR_SSL') ? 'upstream_certificate' : undefined);
  if (known) return new Fault(known, { cause: error });
  if (code === 'ETIMEDOUT') return new Fault('upstream_timeout', { cause: error });
  return new Fault('upstream_unreachable', { detail: 'The TLS handshake with the upstream failed', cause: error });
}
