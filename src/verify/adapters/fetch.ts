import type { Needs, Presented, Refusal, VerifiedToken, Verifier } from '../contract.ts';
import { publicly } from './metadata.ts';
import { judge } from './tokens.ts';

/** What a gate of Fetch API requests says: go on with this token, or send this answer. */
export type Passage =
  | { readonly token: VerifiedToken; readonly text: string; readonly headers: Readonly<Record<string, string>> }
  | { readonly answer: Response };

/** Judges a request of the Fetch API; `through` is what the token is kept by. */
export async function passOf(
  verifier: Verifier,
  through: object,
  request: Request,
  needs: Needs,
  certificate?: Uint8Array,
): Promise<Passage> {
  const verdict = await judge(verifier, through, needs, () => presentedByFetch(request, certificate));
  if (!verdict.good) return { answer: answerOf(verdict.refusal) };
  const text = (request.headers.get('authorization') ?? '').replace(/^\S+ +/, '');
  return { token: verdict.token, text, headers: verdict.headers };
}

/** The metadata of the resource (RFC 9728 §3). */
export function metadataAnswer(verifier: Verifier): Response {
  return Response.json(verifier.metadata, { headers: publicly });
}

/** Several headers of one name are joined by commas there, which neither a token nor a proof holds. */
function presentedByFetch(request: Request, certificate: Uint8Array | undefined): Presented {
  const { pathname, search } = new URL(request.url);
  return {
    method: request.method,
    url: pathname + search,
    headers: { authorization: request.headers.get('authorization') ?? undefined, dpop: request.headers.get('dpop') ?? undefined },
    certificate,
  };
}

function answerOf({ status, headers, body }: Refusal): Response {
  return Response.json(body, { status, headers });
}
