import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { algorithms } from './algorithms.ts';
import { encodeBase64url } from './base64url.ts';
import type { ParsedJws } from './jws.ts';

export const tokenAlgorithmNames = ['ES256', 'RS256', 'EdDSA'] as const;
/** What tokens are signed with. */
export type TokenAlgorithmName = (typeof tokenAlgorithmNames)[number];

/** Everything there is to know of one algorithm that signs tokens. A key has exactly one. */
interface TokenAlgorithm {
  generate(): KeyObject;
  sign(key: KeyObject, data: Uint8Array): Uint8Array;
  verify(key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean;
}

const tokenAlgorithms: Readonly<Record<TokenAlgorithmName, TokenAlgorithm>> = Object.freeze({
  ES256: { ...algorithms.ES256, generate: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey },
  EdDSA: { ...algorithms.EdDSA, generate: () => generateKeyPairSync('ed25519').privateKey },
  RS256: {
    generate: () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
    sign: (key, data) => sign('sha256', data, key),
    verify: (key, data, signature) => verify('sha256', data, key, signature),
  },
});

/** A private key and what it is published as. */
export interface TokenKey {
  readonly algorithm: TokenAlgorithmName;
  readonly kid: string;
  readonly privateKey: KeyObject;
}

/** Makes a private key for this algorithm. */
export function generateTokenKey(algorithm: TokenAlgorithmName): KeyObject {
  return tokenAlgorithms[algorithm].generate();
}

/** The public half as it stands in a key set (RFC 7517 §4). */
export function publicTokenJwk(key: TokenKey): Readonly<Record<string, string>> {
  const jwk = createPublicKey(key.privateKey).export({ format: 'jwk' }) as Record<string, string>;
  return { ...jwk, kid: key.kid, alg: key.algorithm, use: 'sig' };
}

/** Signs claims as a compact JWS that names its key (RFC 7515 §3.1). */
export function signToken(key: TokenKey, typ: string, claims: Readonly<Record<string, unknown>>): string {
  const head = encodeBase64url(JSON.stringify({ alg: key.algorithm, kid: key.kid, typ }));
  const signed = `${head}.${encodeBase64url(JSON.stringify(claims))}`;
  return `${signed}.${encodeBase64url(tokenAlgorithms[key.algorithm].sign(key.privateKey, Buffer.from(signed, 'latin1')))}`;
}

/** Whether `jws` was signed by this public key with the one algorithm it is for. */
export function tokenHolds(jws: ParsedJws, algorithm: TokenAlgorithmName, publicKey: KeyObject): boolean {
  return jws.header.alg === algorithm && tokenAlgorithms[algorithm].verify(publicKey, jws.signed, jws.signature);
}
