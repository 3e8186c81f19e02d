import { createHash, type KeyObject, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

/** A key of a client, and hand-made proofs of it. */
export interface Prover {
  readonly jkt: string;
  readonly jwk: JWK;
  readonly privateJwk: JWK;
  proof(use: ProofUse): Promise<string>;
}

export interface ProofUse {
  readonly htm?: string;
  readonly htu?: string;
  /** Seconds. */
  readonly iat?: number;
  readonly accessToken?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
}

/** Proofs of a new key for `POST` to this endpoint at this time, unless they say otherwise. */
export async function createProver(endpoint: string, now: () => number, algorithm = 'ES256'): Promise<Prover> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = await exportJWK(publicKey);
  const privateJwk = await exportJWK(privateKey as unknown as KeyObject);
  return {
    jwk,
    privateJwk,
    jkt: await calculateJwkThumbprint(jwk),
    proof({ htm = 'POST', htu = endpoint, iat = Math.floor(now() / 1000), accessToken, claims, header }) {
      const ath = accessToken === undefined ? {} : { ath: createHash('sha256').update(accessToken).digest('base64url') };
      const whole = { jti: randomUUID(), htm, htu, iat, ...ath, ...claims };
      return new SignJWT(whole)
        .setProtectedHeader({ alg: algorithm, typ: 'dpop+jwt', jwk, ...header } as never)
        .sign(privateKey, { crit: { unknown: true } });
    },
  };
}
