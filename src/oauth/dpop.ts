import { createHash } from 'node:crypto';
import { calculateJwkThumbprint, EmbeddedJWK, type JWK, jwtVerify } from 'jose';

/** What proofs may be signed with (RFC 9449 §5.1: asymmetric, never `none`). */
export const dpopAlgorithms = ['ES256', 'EdDSA', 'Ed25519', 'PS256', 'RS256'] as const;
/** Longest age of a proof, seconds. */
const dpopLife = 300;
/** How far ahead the clock of who made it may be, seconds. */
export const dpopSkew = 60;

/** A proof that its own key has signed (RFC 9449 §4.2). What it is for is yet to be judged. */
export interface DpopProof {
  /** Thumbprint of the key (RFC 7638). */
  readonly jkt: string;
  readonly jti: string;
  readonly htm: string;
  /** Without query and fragment, normalised (RFC 3986 §6.2.2, §6.2.3). */
  readonly htu: string;
  /** Milliseconds. */
  readonly issuedAt: number;
  readonly ath: string | undefined;
  readonly nonce: string | undefined;
}

/** The request that a proof came with. */
export interface DpopRequest {
  readonly method: string;
  /** The URLs by which the endpoint is known. */
  readonly targets: readonly string[];
  /** The access token that came with it, if one did. */
  readonly accessToken?: string | undefined;
  /** Wall clock, milliseconds. */
  readonly now: number;
}

export type DpopFlaw = 'method' | 'target' | 'time' | 'token';

const longest = 8192;
/** 4096 bits in base64url. */
const longestModulus = 683;
/** 24 bits. */
const longestExponent = 4;

/**
 * Reads one `DPoP` header, or undefined: not a JWT of this type with a public key in it that signed it, of an algorithm of ours,
 * with every claim that a proof must have (RFC 9449 §4.3, 2 to 7).
 */
export async function readDpopProof(header: string, now: number): Promise<DpopProof | undefined> {
  if (header.length > longest) return undefined;
  try {
    const { payload, protectedHeader } = await jwtVerify(header, ownKey, {
      typ: 'dpop+jwt',
      algorithms: [...dpopAlgorithms],
      requiredClaims: ['jti', 'htm', 'htu', 'iat'],
      clockTolerance: dpopSkew,
      currentDate: new Date(now),
    });
    return await proofOf(payload, protectedHeader.jwk as JWK);
  } catch {
    return undefined;
  }
}

/** The public key in the header. One that is large enough to be a burden is not read. */
const ownKey: typeof EmbeddedJWK = (header, token) => {
  const { n, e } = (header?.jwk ?? {}) as JWK;
  if ((n ?? '').length > longestModulus || (e ?? '').length > longestExponent) throw new TypeError('the key is too large');
  return EmbeddedJWK(header, token);
};

async function proofOf(payload: Readonly<Record<string, unknown>>, jwk: JWK): Promise<DpopProof | undefined> {
  const { jti, htm, htu, iat, ath, nonce } = payload;
  if (typeof jti !== 'string' || typeof htm !== 'string' || typeof htu !== 'string' || typeof iat !== 'number') return undefined;
  const target = plainTarget(htu);
  if (jti === '' || jti.length > 512 || target === undefined || !isText(ath) || !isText(nonce)) return undefined;
  return { jkt: await calculateJwkThumbprint(jwk), jti, htm, htu: target, issuedAt: iat * 1000, ath, nonce };
}

function isText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string';
}

/** What is wrong with a proof for this request, or undefined (RFC 9449 §4.3, 8 to 12). Whether `jti` was seen is the caller's to ask. */
export function dpopFlaw(proof: DpopProof, { method, targets, accessToken, now }: DpopRequest): DpopFlaw | undefined {
  if (proof.htm !== method) return 'method';
  if (!targets.some((target) => plainTarget(target) === proof.htu)) return 'target';
  if (proof.issuedAt > now + dpopSkew * 1000 || proof.issuedAt < now - dpopLife * 1000) return 'time';
  if (accessToken !== undefined && proof.ath !== createHash('sha256').update(accessToken, 'ascii').digest('base64url')) return 'token';
  return undefined;
}

/** For how long a proof could still be presented, milliseconds; as long must its `jti` be remembered. */
export function dpopLeft({ issuedAt }: DpopProof, now: number): number {
  return Math.max(1_000, Math.ceil(issuedAt + (dpopLife + 1) * 1000 - now));
}

/** Origin and path; undefined for what is no http URL, or names a person. */
function plainTarget(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, username, password, origin, pathname } = new URL(url);
  if ((protocol !== 'https:' && protocol !== 'http:') || username !== '' || password !== '') return undefined;
  return origin + pathname;
}
