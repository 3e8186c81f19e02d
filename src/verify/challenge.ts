import type { Needs, Refusal } from './contract.ts';

/** Why a request is refused, and with which status (RFC 6750 §3.1, RFC 9449 §7.1, RFC 9470 §3). */
const refusals = {
  missing: { status: 401, error: undefined, tells: 'No access token came with the request' },
  invalid_request: {
    status: 400,
    error: 'invalid_request',
    tells: 'The request carries its access token in more than one way, or in one that is not taken',
  },
  invalid_token: {
    status: 401,
    error: 'invalid_token',
    tells: 'The access token is not good here: it is not for this resource, has expired or has ended',
  },
  invalid_dpop_proof: { status: 401, error: 'invalid_dpop_proof', tells: 'The DPoP proof is not good for this request' },
  use_dpop_nonce: { status: 401, error: 'use_dpop_nonce', tells: 'The DPoP proof must hold the nonce that comes with this answer' },
  insufficient_user_authentication: {
    status: 401,
    error: 'insufficient_user_authentication',
    tells: 'The person must sign in again, as acr_values and max_age say',
  },
  insufficient_scope: { status: 403, error: 'insufficient_scope', tells: 'The access token does not reach so far' },
} as const;

export type RefusalName = keyof typeof refusals;

/** What every challenge of a resource says. */
export interface ChallengeFacts {
  readonly metadataUrl: string;
  readonly scopes: readonly string[];
  readonly dpopAlgorithms: readonly string[];
  /** Bearer tokens are not taken. */
  readonly boundOnly: boolean;
}

/**
 * The answer that refuses a request, with a challenge that says how it would be taken. A client that came without a token is told of no
 * error (RFC 6750 §3). `scheme` is the one it used.
 */
export function refuse(
  name: RefusalName,
  facts: ChallengeFacts,
  given: { readonly scheme?: 'Bearer' | 'DPoP' | undefined; readonly needs?: Needs; readonly nonce?: string | undefined } = {},
): Refusal {
  const { status, error, tells } = refusals[name];
  const { needs = {}, nonce, scheme } = given;
  const scopes = needs.scopes ?? facts.scopes;
  const parameters = [
    ...(error === undefined ? [] : [quoted('error', error), quoted('error_description', tells)]),
    ...(scopes.length === 0 ? [] : [quoted('scope', scopes.join(' '))]),
    ...(name === 'insufficient_user_authentication' ? stepUp(needs) : []),
    quoted('resource_metadata', facts.metadataUrl),
  ];
  const algorithms = quoted('algs', facts.dpopAlgorithms.join(' '));
  const all = { Bearer: `Bearer ${parameters.join(', ')}`, DPoP: `DPoP ${[...parameters, algorithms].join(', ')}` };
  const offered = facts.boundOnly ? [all.DPoP] : error === undefined || scheme === undefined ? [all.Bearer, all.DPoP] : [all[scheme]];
  return {
    status,
    headers: {
      'www-authenticate': offered.join(', '),
      'cache-control': 'no-store',
      ...(nonce === undefined ? {} : { 'dpop-nonce': nonce }),
    },
    body: { error: error ?? 'invalid_token', error_description: tells },
  };
}

/** The issuer's keys, or what has ended, cannot be learnt: nothing is let in. */
export function unavailable(): Refusal {
  return {
    status: 503,
    headers: { 'retry-after': '1', 'cache-control': 'no-store' },
    body: {
      error: 'temporarily_unavailable',
      error_description: 'It cannot be learnt right now which access tokens are good; try again in a second',
    },
  };
}

function stepUp({ acr = [], maxAgeSeconds }: Needs): readonly string[] {
  return [
    ...(acr.length === 0 ? [] : [quoted('acr_values', acr.join(' '))]),
    ...(maxAgeSeconds === undefined ? [] : [quoted('max_age', String(maxAgeSeconds))]),
  ];
}

/** RFC 9110 §5.6.4; what a header cannot hold is left out. */
function quoted(name: string, value: string): string {
  return `${name}="${value.replace(/[^\x20-\x7e]/g, '').replace(/["\\]/g, '\\$&')}"`;
}
