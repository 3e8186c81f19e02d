import type { Needs, Verifier } from '../contract.ts';
import { metadataAnswer, passOf } from './fetch.ts';

/** As much of Hono as is touched here. */
export interface HonoLikeContext {
  readonly req: { readonly raw: Request };
  header(name: string, value: string): void;
}

export interface HonoGate {
  /** Handler of the metadata of the resource: `app.get(verifier.metadataPath, gate.metadata)` (RFC 9728 §3). */
  metadata(context: HonoLikeContext): Response;
  /** Middleware; `tokenOf(context)` gives the token. */
  needs(needs?: Needs): (context: HonoLikeContext, next: () => Promise<void>) => Promise<Response | undefined>;
}

/** Hono 4, on every runtime that has Node's crypto. */
export function forHono(
  verifier: Verifier,
  options: { readonly certificate?: (context: HonoLikeContext) => Uint8Array | undefined } = {},
): HonoGate {
  return Object.freeze({
    metadata: () => metadataAnswer(verifier),
    needs:
      (needs: Needs = {}) =>
      async (context: HonoLikeContext, next: () => Promise<void>) => {
        const passage = await passOf(verifier, context, context.req.raw, needs, options.certificate?.(context));
        if ('answer' in passage) return passage.answer;
        for (const [name, value] of Object.entries(passage.headers)) context.header(name, value);
        await next();
        return undefined;
      },
  });
}
