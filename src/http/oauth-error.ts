import { dpopAlgorithms } from '#issuer';
import type { Fault, FaultCode } from '#kernel';
import { problemHeaders, type Rendered } from './problem.ts';

/** Who is refused: a client that authenticates, or whoever shows an access token. */
export type RefusedAt = 'client' | 'resource';

/**
 * A fault as an OAuth error answer (RFC 6749 §5.2). Its characters are those that the standard allows. `authorization`: the header
 * that the request came with; who used it is told which it should have been, and some client libraries read the body only without that.
 */
export function oauthError(fault: Fault, at: RefusedAt, authorization: string | undefined): Rendered {
  const { row, details } = fault;
  const told = fault.code === 'internal' ? row.title : (details.detail ?? row.title);
  const description = `${told}; ${fault.hint}`.replaceAll('"', "'").replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?');
  const challenge = at === 'resource' ? resourceChallenge(fault, authorization) : clientChallenge(fault, authorization);
  return {
    status: challenge !== undefined && aboutTokens.has(fault.code) ? 401 : row.status,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      ...headersOf(fault),
      ...(challenge === undefined ? {} : { 'www-authenticate': challenge }),
    },
    body: JSON.stringify({ error: row.oauth, error_description: description }),
  };
}

function headersOf(fault: Fault): Record<string, string> {
  const { 'www-authenticate': _ours, ...headers } = problemHeaders(fault);
  return headers;
}

/** RFC 6749 §5.2; who registers shows a token instead. */
function clientChallenge({ code, row }: Fault, authorization: string | undefined): string | undefined {
  if (code === 'registration_token_invalid') return `Bearer realm="gatehouse", error="${row.oauth}"`;
  return row.status === 401 && authorization !== undefined ? 'Basic realm="gatehouse"' : undefined;
}

/** What is wrong with a token, or with the proof that came with it. */
const aboutTokens: ReadonlySet<FaultCode> = new Set(['access_token_invalid', 'dpop_proof_invalid', 'dpop_nonce_needed']);

/**
 * Both ways of showing a token; the one that was used is told what was wrong, and who used none is told no error (RFC 6750 §3,
 * RFC 9449 §7.1, §7.2).
 */
function resourceChallenge({ code, row }: Fault, authorization: string | undefined): string | undefined {
  if (!aboutTokens.has(code) && code !== 'scope_insufficient') return undefined;
  const used = /^(bearer|dpop) /i.exec(authorization ?? '')?.[1]?.toLowerCase();
  const error = (scheme: string) => (scheme === used ? `, error="${row.oauth}"` : '');
  const bearer = `Bearer realm="gatehouse"${error('bearer')}`;
  const dpop = `DPoP realm="gatehouse"${error('dpop')}, algs="${dpopAlgorithms.join(' ')}"`;
  return used === 'dpop' ? dpop : `${bearer}, ${dpop}`;
}
