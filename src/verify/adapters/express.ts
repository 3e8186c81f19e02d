import type { IncomingMessage } from 'node:http';
import type { Needs, Verifier } from '../contract.ts';
import { publicly } from './metadata.ts';
import { type CertificateOf, presentedByNode } from './node.ts';
import { judge } from './tokens.ts';

/** As much of Express as is touched here. */
export type ExpressRequest = IncomingMessage & { readonly originalUrl: string; readonly path: string };
export interface ExpressResponse {
  status(code: number): this;
  set(headers: Record<string, string>): this;
  json(body: unknown): unknown;
}
export type ExpressHandler = (request: ExpressRequest, response: ExpressResponse, next: (error?: unknown) => void) => void;

export interface ExpressGate {
  /** Serves the metadata of the resource at its own path (RFC 9728 §3); everything else goes on. */
  readonly metadata: ExpressHandler;
  /** Lets through what comes with a good token that reaches so far; `tokenOf(request)` gives it. */
  needs(needs?: Needs): ExpressHandler;
}

/** Express 4 and 5, and what has middleware like it. */
export function forExpress(verifier: Verifier, options: { readonly certificate?: CertificateOf<ExpressRequest> } = {}): ExpressGate {
  async function pass(request: ExpressRequest, response: ExpressResponse, needs: Needs): Promise<boolean> {
    const presented = () => presentedByNode(request, request.originalUrl, options.certificate?.(request));
    const verdict = await judge(verifier, request, needs, presented);
    if (verdict.good) {
      response.set({ ...verdict.headers });
      return true;
    }
    const { status, headers, body } = verdict.refusal;
    response
      .status(status)
      .set({ ...headers })
      .json(body);
    return false;
  }

  return Object.freeze({
    metadata: (request: ExpressRequest, response: ExpressResponse, next: () => void) => {
      if (request.method !== 'GET' || request.path !== verifier.metadataPath) return next();
      response.set({ ...publicly }).json(verifier.metadata);
    },
    needs:
      (needs: Needs = {}): ExpressHandler =>
      (request, response, next) => {
        pass(request, response, needs).then((good) => {
          if (good) next();
        }, next);
      },
  });
}
