import { algorithms, type PublicJwk } from './algorithms.ts';
import { decodeBase58, encodeBase58 } from './base58.ts';
import { parsePublicJwk, type VerificationKey } from './jwk.ts';

const prefix = 'did:key:z';
/** A P-256 key takes 57 characters; base58 is quadratic, so nothing much longer is decoded. */
const longest = 80;

/** The `did:key` name of a public key: multibase `z`, base58btc of multicodec and key bytes. */
export function encodeDidKey(jwk: PublicJwk): string {
  const algorithm = jwk.kty === 'EC' ? algorithms.ES256 : algorithms.EdDSA;
  return prefix + encodeBase58(Uint8Array.from([...algorithm.multicodec, ...algorithm.compress(jwk)]));
}

/** The key a `did:key` names, or undefined unless it is a well-formed Ed25519 or P-256 key in its one spelling. */
export function decodeDidKey(did: string): VerificationKey | undefined {
  if (!did.startsWith(prefix) || did.length > prefix.length + longest) return undefined;
  const bytes = decodeBase58(did.slice(prefix.length));
  if (bytes === undefined) return undefined;
  const algorithm = Object.values(algorithms).find(({ multicodec }) => bytes[0] === multicodec[0] && bytes[1] === multicodec[1]);
  const jwk = algorithm?.expand(bytes.subarray(2));
  return jwk === undefined ? undefined : parsePublicJwk(jwk);
}
