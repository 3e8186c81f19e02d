import { ECDH, type KeyObject, sign, verify } from 'node:crypto';
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import { derFromRaw, rawFromDer } from './signatures.ts';

export type AlgorithmName = 'EdDSA' | 'ES256';

/** The public members of a key, in the order of RFC 7638 §3.2. */
export type PublicJwk =
  | { readonly crv: 'Ed25519'; readonly kty: 'OKP'; readonly x: string }
  | { readonly crv: 'P-256'; readonly kty: 'EC'; readonly x: string; readonly y: string };

/** Everything there is to know of one algorithm. A key has exactly one. */
export interface Algorithm {
  readonly name: AlgorithmName;
  readonly kty: PublicJwk['kty'];
  readonly crv: PublicJwk['crv'];
  /** Members of a public key that hold bytes, each `size` long. */
  readonly coordinates: readonly ('x' | 'y')[];
  readonly size: number;
  /** Multicodec of the public key, as an unsigned varint (did:key). */
  readonly multicodec: readonly [number, number];
  /** The bytes that did:key encodes, and back. `compress` takes checked coordinates. */
  compress(jwk: PublicJwk): Uint8Array;
  expand(bytes: Uint8Array): PublicJwk | undefined;
  sign(key: KeyObject, data: Uint8Array): Uint8Array;
  verify(key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean;
}

const ed25519: Algorithm = {
  name: 'EdDSA',
  kty: 'OKP',
  crv: 'Ed25519',
  coordinates: ['x'],
  size: 32,
  multicodec: [0xed, 0x01],
  compress: (jwk) => decodeBase64url(jwk.x) as Uint8Array,
  expand: (bytes) => (bytes.length === 32 ? { crv: 'Ed25519', kty: 'OKP', x: encodeBase64url(bytes) } : undefined),
  sign: (key, data) => sign(null, data, key),
  verify: (key, data, signature) => signature.length === 64 && verify(null, data, key, signature),
};

const p256: Algorithm = {
  name: 'ES256',
  kty: 'EC',
  crv: 'P-256',
  coordinates: ['x', 'y'],
  size: 32,
  multicodec: [0x80, 0x24],
  compress(jwk) {
    const x = decodeBase64url(jwk.x) as Uint8Array;
    const y = decodeBase64url((jwk as PublicJwk & { y: string }).y) as Uint8Array;
    return Uint8Array.from([(y[31] as number) % 2 === 0 ? 2 : 3, ...x]);
  },
  expand(bytes) {
    if (bytes.length !== 33 || (bytes[0] !== 2 && bytes[0] !== 3)) return undefined;
    const point = uncompressed(bytes);
    if (point === undefined) return undefined;
    return { crv: 'P-256', kty: 'EC', x: encodeBase64url(point.subarray(1, 33)), y: encodeBase64url(point.subarray(33)) };
  },
  sign: (key, data) => rawFromDer(sign('sha256', data, key)),
  verify(key, data, signature) {
    const der = derFromRaw(signature);
    return der !== undefined && verify('sha256', data, key, der);
  },
};

/** The only list of algorithms. */
export const algorithms: Readonly<Record<AlgorithmName, Algorithm>> = Object.freeze({ EdDSA: ed25519, ES256: p256 });

/** The algorithm that a key of this type and curve has, if any. */
export function algorithmFor(kty: unknown, crv: unknown): Algorithm | undefined {
  return Object.values(algorithms).find((algorithm) => algorithm.kty === kty && algorithm.crv === crv);
}

/** The whole point, or undefined when no point of the curve has this x. */
function uncompressed(bytes: Uint8Array): Uint8Array | undefined {
  try {
    return ECDH.convertKey(bytes, 'prime256v1', undefined, undefined, 'uncompressed') as Buffer;
  } catch {
    return undefined;
  }
}
