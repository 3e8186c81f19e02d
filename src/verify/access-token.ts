import { endingName, parentsOf, parseJws, tokenHolds } from '#oauth';
import type { VerifiedToken } from './contract.ts';
import type { KeySet } from './key-set.ts';

/** A token whose signature and claims hold; whether it has ended is looked up by its parents, each time. */
export interface KnownToken {
  readonly token: VerifiedToken;
  /** Names of what it hangs on (`endingName`). */
  readonly parents: readonly string[];
  readonly organizationEpoch: unknown;
  /** Which key signed it: it counts as long as the key does. */
  readonly kid: string | undefined;
  /** What its sender must prove to hold (RFC 7800). */
  readonly confirmation: Confirmation;
  /** When it must be looked at anew, milliseconds. */
  readonly until: number;
}

export interface Confirmation {
  /** Thumbprint of a key (RFC 9449 §6.1). */
  readonly jkt?: string;
  /** Thumbprint of a certificate (RFC 8705 §3.1). */
  readonly x5t?: string;
}

export interface Expected {
  readonly issuer: string;
  readonly resource: string;
  readonly now: number;
}

/** How far the issuer's clock may be ahead, seconds. */
const skew = 60;

/**
 * A token of the issuer for this resource, or undefined (RFC 9068 §4): of its type, signed by one of its keys with the one algorithm of
 * that key, in time, with every claim that must be there. @throws {Fault} when the keys cannot be fetched
 */
export async function readAccessToken(text: string, keys: KeySet, expected: Expected): Promise<KnownToken | undefined> {
  const jws = parseJws(text, 'at+jwt') ?? parseJws(text, 'application/at+jwt');
  const key = jws === undefined ? undefined : await keys.find(jws.header.kid);
  if (jws === undefined || key === undefined || !tokenHolds(jws, key.algorithm, key.key)) return undefined;
  const claims = jws.payload as unknown as Claims;
  const confirmation = confirmationOf(claims.cnf);
  if (!whole(claims) || confirmation === undefined || !inPlace(claims, expected)) return undefined;
  return {
    token: tokenOf(claims),
    parents: parentsOf(claims).map(endingName),
    organizationEpoch: claims.epochs[0],
    kid: jws.header.kid as string,
    confirmation,
    until: claims.exp * 1000,
  };
}

interface Claims {
  readonly [name: string]: unknown;
  readonly iss: string;
  readonly aud: string | readonly string[];
  readonly sub: string;
  readonly client_id: string;
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  readonly epochs: readonly number[];
  readonly scope?: string;
  readonly grant_id?: string;
  readonly parents?: readonly string[];
  readonly parent_clients?: readonly string[];
  readonly auth_time?: number;
  readonly acr?: string;
}

/** RFC 9068 §2.2, and what ours can end by. */
function whole(claims: Claims): boolean {
  const { iss, aud, sub, client_id, jti, iat, exp, nbf, epochs, scope, grant_id, parents, parent_clients, auth_time, acr } = claims;
  const texts = [iss, sub, client_id, jti].every((value) => typeof value === 'string' && value !== '');
  const maybeTexts = [scope, grant_id, acr].every((value) => value === undefined || typeof value === 'string');
  const numbers = [iat, exp].every(Number.isFinite) && [nbf, auth_time].every((value) => value === undefined || Number.isFinite(value));
  const audience = typeof aud === 'string' || areTexts(aud);
  const made = [parents, parent_clients].every((value) => value === undefined || areTexts(value));
  return texts && maybeTexts && numbers && audience && made && Array.isArray(epochs) && epochs.every(Number.isInteger);
}

function areTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function inPlace({ iss, aud, iat, exp, nbf }: Claims, { issuer, resource, now }: Expected): boolean {
  const latest = now / 1000 + skew;
  const begun = iat <= latest && (nbf === undefined || (nbf as number) <= latest);
  return iss === issuer && [aud].flat().includes(resource) && exp * 1000 > now && begun;
}

/** Undefined for what is not understood: a token that is bound somehow is never taken as one that is not. */
export function confirmationOf(cnf: unknown): Confirmation | undefined {
  if (cnf === undefined) return {};
  if (typeof cnf !== 'object' || cnf === null) return undefined;
  const { jkt, 'x5t#S256': x5t, ...more } = cnf as Readonly<Record<string, unknown>>;
  const texts = [jkt, x5t].every((value) => value === undefined || (typeof value === 'string' && value !== ''));
  if (!texts || Object.keys(more).length > 0 || (jkt === undefined && x5t === undefined)) return undefined;
  return { ...(jkt === undefined ? {} : { jkt: jkt as string }), ...(x5t === undefined ? {} : { x5t: x5t as string }) };
}

export function tokenOf(claims: Pick<Claims, 'sub' | 'client_id' | 'aud' | 'exp' | 'scope' | 'auth_time' | 'acr'>): VerifiedToken {
  const { sub, client_id, aud, exp, scope, auth_time, acr } = claims;
  return Object.freeze({
    subject: sub,
    clientId: client_id,
    scopes: Object.freeze((scope ?? '').split(' ').filter((one) => one !== '')),
    audiences: Object.freeze([aud].flat()),
    expiresAt: exp * 1000,
    authenticatedAt: auth_time === undefined ? undefined : auth_time * 1000,
    acr,
    claims: Object.freeze({ ...claims }),
  });
}
