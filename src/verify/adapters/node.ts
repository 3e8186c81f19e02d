import type { IncomingMessage } from 'node:http';
import type { Presented } from '../contract.ts';

/** Where the certificate of a client is found: of this very connection, unless a proxy that is trusted to say so ends TLS. */
export type CertificateOf<R> = (request: R) => Uint8Array | undefined;

/** A request as Node received it. `url` as the client wrote it, where a framework has changed it since. */
export function presentedByNode(request: IncomingMessage, url: string, certificate: Uint8Array | undefined): Presented {
  const { authorization, dpop } = request.headersDistinct;
  return {
    method: request.method ?? 'GET',
    url,
    // Node keeps the first of several: two are one too many (RFC 6750 §2).
    headers: { authorization: only(authorization), dpop: only(dpop) },
    certificate: certificate ?? certificateOf(request),
  };
}

function only(values: readonly string[] | undefined): string | readonly string[] | undefined {
  return values?.length === 1 ? values[0] : values;
}

function certificateOf({ socket }: IncomingMessage): Uint8Array | undefined {
  return 'getPeerCertificate' in socket ? (socket as TlsSocket).getPeerCertificate().raw : undefined;
}

interface TlsSocket {
  getPeerCertificate(): { readonly raw?: Uint8Array };
}
