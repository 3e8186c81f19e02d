import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { ClientAnswer, ClientRequest, Send } from '#api';
import { Fault } from '#kernel';

/** Where a server answers: its unix socket, or an origin with the authority believed for it. */
export type Address = (
  | { readonly kind: 'socket'; readonly path: string }
  | { readonly kind: 'origin'; readonly origin: string; readonly ca?: string }
) & {
  /** What every path begins with: the organization's. */
  readonly below?: string;
};

/** What proves the caller for one request; nothing over the local socket, whose owner needs no more. */
export type Evidence = (request: ClientRequest) => Readonly<Record<string, string>>;

const timeout = 30_000;
const answerLimit = 32 * 1024 * 1024;

/** Sends calls of the management contract. @throws {Fault} `server_unreachable`, `upstream_certificate_untrusted` */
export function transport(address: Address, evidence: Evidence = () => ({})): Send {
  return (request) =>
    new Promise((resolve, reject) => {
      const body = request.body === undefined ? undefined : Buffer.from(request.body);
      const length = body === undefined ? {} : { 'content-length': String(body.length) };
      const options: RequestOptions = {
        method: request.method,
        path: (address.below ?? '') + request.path,
        headers: { ...request.headers, ...evidence(request), ...length },
        timeout,
      };
      const sent = dial(address, options, (answer) => collect(answer).then(resolve, reject));
      sent.once('timeout', () => sent.destroy(new Fault('server_unreachable', { detail: 'The Gatehouse server did not answer in time' })));
      sent.once('error', (cause) => reject(sendFault(cause)));
      sent.end(body);
    });
}

function dial(address: Address, options: RequestOptions, onAnswer: (answer: IncomingMessage) => void) {
  if (address.kind === 'socket') return httpRequest({ ...options, socketPath: address.path, host: 'localhost' }, onAnswer);
  const { protocol, hostname, port } = new URL(address.origin);
  const where = { ...options, hostname: hostname.replace(/^\[|\]$/g, ''), port };
  if (protocol === 'http:') return httpRequest(where, onAnswer);
  return httpsRequest({ ...where, ...pinnedTrust(address.ca) }, onAnswer);
}

/** A pinned authority replaces the system's; it may be an intermediate or the server's own certificate. */
export function pinnedTrust(ca: string | undefined): { readonly ca?: string; readonly allowPartialTrustChain?: boolean } {
  return ca === undefined ? {} : { ca, allowPartialTrustChain: true };
}

async function collect(answer: IncomingMessage): Promise<ClientAnswer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer) {
    size += (part as Buffer).length;
    if (size > answerLimit) throw new Fault('upstream_invalid', { detail: 'The Gatehouse server sent too long an answer' });
    parts.push(part as Buffer);
  }
  const headers = Object.fromEntries(
    Object.entries(answer.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  );
  return { status: answer.statusCode ?? 0, headers, body: Buffer.concat(parts).toString() };
}

const certificateFailures = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME|ISSUER/;

/** What a failed dial means to a person. */
export function sendFault(cause: Error & { readonly code?: string }): Fault {
  if (cause instanceof Fault) return cause;
  if (!certificateFailures.test(cause.code ?? '')) return new Fault('server_unreachable', { cause });
  return new Fault('upstream_certificate_untrusted', {
    detail: 'The certificate of the Gatehouse server is not from a trusted authority',
    hint: 'name its authority when you sign in: gatehouse login URL --ca FILE',
    cause,
  });
}
