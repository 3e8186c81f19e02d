import type { IncomingMessage } from 'node:http';
import type { Needs, Verifier } from '../contract.ts';
import { publicly } from './metadata.ts';
import { type CertificateOf, presentedByNode } from './node.ts';
import { judge } from './tokens.ts';

/** As much of Fastify as is touched here. */
export interface FastifyLikeRequest {
  readonly raw: IncomingMessage;
  readonly originalUrl: string;
}
export interface FastifyLikeReply {
  code(status: number): this;
  headers(headers: Record<string, string>): this;
  send(body: unknown): this;
}

export interface FastifyGate {
  /** Handler of the metadata of the resource: `app.get(verifier.metadataPath, gate.metadata)` (RFC 9728 §3). */
  metadata(request: FastifyLikeRequest, reply: FastifyLikeReply): Promise<unknown>;
  /** A hook, as `onRequest` of a route or of a whole plugin; `tokenOf(request)` gives the token. */
  needs(needs?: Needs): (request: FastifyLikeRequest, reply: FastifyLikeReply) => Promise<unknown>;
}

/** Fastify 4 and 5. */
export function forFastify(verifier: Verifier, options: { readonly certificate?: CertificateOf<FastifyLikeRequest> } = {}): FastifyGate {
  return Object.freeze({
    metadata: async (_: FastifyLikeRequest, reply: FastifyLikeReply) => reply.headers({ ...publicly }).send(verifier.metadata),
    needs:
      (needs: Needs = {}) =>
      async (request: FastifyLikeRequest, reply: FastifyLikeReply) => {
        const presented = () => presentedByNode(request.raw, request.originalUrl, options.certificate?.(request));
        const verdict = await judge(verifier, request, needs, presented);
        if (!verdict.good) {
          const { status, headers, body } = verdict.refusal;
          return reply
            .code(status)
            .headers({ ...headers })
            .send(body);
        }
        reply.headers({ ...verdict.headers });
        return undefined;
      },
  });
}
