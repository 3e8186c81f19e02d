import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { type Algorithm, algorithmFor, type PublicJwk } from './algorithms.ts';
import { decodeBase64url } from './base64url.ts';

/** A checked public key: its canonical members, its one algorithm, and the parsed key. */
export interface VerificationKey {
  readonly jwk: PublicJwk;
  readonly algorithm: Algorithm;
  readonly key: KeyObject;
}

/** Members that say nothing the rest does not say; allowed only when they agree with it. */
const agreeing: Readonly<Record<string, (value: unknown, algorithm: Algorithm) => boolean>> = {
  alg: (value, algorithm) => value === algorithm.name || (algorithm.name === 'EdDSA' && value === 'Ed25519'),
  use: (value) => value === 'sig',
  kid: (value) => typeof value === 'string' && value.length <= 256,
};

/**
 * A public key from foreign input, or undefined. Strict: an Ed25519 or P-256 key, coordinates of full length in
 * canonical base64url, a point of the curve, no private member and none that is not known here (RFC 7517, 8037).
 */
export function parsePublicJwk(input: unknown): VerificationKey | undefined {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return undefined;
  const members = input as Readonly<Record<string, unknown>>;
  const algorithm = algorithmFor(members.kty, members.crv);
  if (algorithm === undefined || !onlyPublic(members, algorithm)) return undefined;
  const jwk = canonical(members, algorithm);
  return jwk === undefined ? undefined : keyOf(jwk, algorithm);
}

/** Base64url SHA-256 of the canonical members (RFC 7638 §3). */
export function thumbprint(jwk: PublicJwk): string {
  const members = jwk.kty === 'EC' ? { crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y } : { crv: jwk.crv, kty: jwk.kty, x: jwk.x };
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}

/** The public half of a private or public key, checked. Undefined for a key of another kind. */
export function verificationKeyOf(key: KeyObject): VerificationKey | undefined {
  const half = key.type === 'private' ? createPublicKey(key) : key;
  if (half.type !== 'public' || (half.asymmetricKeyType !== 'ed25519' && half.asymmetricKeyType !== 'ec')) return undefined;
  return parsePublicJwk(half.export({ format: 'jwk' }));
}

function onlyPublic(members: Readonly<Record<string, unknown>>, algorithm: Algorithm): boolean {
  return Object.entries(members).every(([name, value]) => {
    if (name === 'kty' || name === 'crv' || algorithm.coordinates.some((coordinate) => coordinate === name)) return true;
    return Object.hasOwn(agreeing, name) && (agreeing[name] as (typeof agreeing)[string])(value, algorithm);
  });
}

function canonical(members: Readonly<Record<string, unknown>>, algorithm: Algorithm): PublicJwk | undefined {
  const { x, y } = members;
  const whole = algorithm.coordinates.every((name) => {
    const value = members[name];
    return typeof value === 'string' && value.length <= 64 && decodeBase64url(value)?.length === algorithm.size;
  });
  if (!whole) return undefined;
  return algorithm.kty === 'EC'
    ? { crv: 'P-256', kty: 'EC', x: x as string, y: y as string }
    : { crv: 'Ed25519', kty: 'OKP', x: x as string };
}

function keyOf(jwk: PublicJwk, algorithm: Algorithm): VerificationKey | undefined {
  if (jwk.kty === 'OKP' && isLowOrder(decodeBase64url(jwk.x) as Uint8Array)) return undefined;
  try {
    return Object.freeze({ jwk: Object.freeze(jwk), algorithm, key: createPublicKey({ key: { ...jwk }, format: 'jwk' }) });
  } catch {
    return undefined;
  }
}

/** The y coordinates of points of order 1, 2, 4 and 8 and their unreduced spellings: anyone can sign for such a key. */
const lowOrder = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]);

function isLowOrder(bytes: Uint8Array): boolean {
  const y = Buffer.from(bytes);
  y[31] = (y[31] as number) & 0x7f;
  return lowOrder.has(y.toString('hex'));
}
