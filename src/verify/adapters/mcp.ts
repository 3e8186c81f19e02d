import type { Needs, VerifiedToken, Verifier } from '../contract.ts';
import { type ExpressHandler, type ExpressRequest, forExpress } from './express.ts';
import { metadataAnswer, passOf } from './fetch.ts';
import type { CertificateOf } from './node.ts';
import { tokenOf } from './tokens.ts';

/** A verified token in the words of the MCP SDK (`AuthInfo`): tools find it as `extra.authInfo`, or `ctx.http.authInfo`. */
export interface McpAuthInfo {
  readonly token: string;
  readonly clientId: string;
  readonly scopes: string[];
  /** Seconds. */
  readonly expiresAt: number;
  readonly resource: URL;
  readonly extra: Record<string, unknown>;
}

export interface McpGate {
  /** Middleware that serves the metadata of the resource, which MCP clients read first. */
  readonly metadata: ExpressHandler;
  /** Middleware before the transport of `@modelcontextprotocol/sdk`. */
  needs(needs?: Needs): ExpressHandler;
  /** For `@modelcontextprotocol/server`: what to give to `handler.fetch(request, { authInfo })`, or the answer to send instead. */
  fetch(request: Request, needs?: Needs): Promise<{ readonly authInfo: McpAuthInfo } | { readonly answer: Response }>;
  /** The same document for Fetch API servers. */
  readonly metadataAnswer: () => Response;
}

/** MCP servers: on Express with `@modelcontextprotocol/sdk`, or on the Fetch API with `@modelcontextprotocol/server`. */
export function forMcp(verifier: Verifier, options: { readonly certificate?: CertificateOf<ExpressRequest> } = {}): McpGate {
  const gate = forExpress(verifier, options);
  const infoOf = (token: VerifiedToken, text: string): McpAuthInfo => ({
    token: text,
    clientId: token.clientId,
    scopes: [...token.scopes],
    expiresAt: Math.floor(token.expiresAt / 1000),
    resource: new URL(verifier.resource),
    extra: { subject: token.subject, claims: token.claims },
  });

  return Object.freeze({
    metadata: gate.metadata,
    needs(needs: Needs = {}): ExpressHandler {
      const judge = gate.needs(needs);
      return (request, response, next) =>
        judge(request, response, (error) => {
          if (error !== undefined) return next(error);
          const text = (request.headers.authorization ?? '').replace(/^\S+ +/, '');
          Object.assign(request, { auth: infoOf(tokenOf(request), text) });
          next();
        });
    },
    async fetch(request: Request, needs: Needs = {}) {
      const passage = await passOf(verifier, request, request, needs);
      return 'answer' in passage ? passage : { authInfo: infoOf(passage.token, passage.text) };
    },
    metadataAnswer: () => metadataAnswer(verifier),
  });
}
