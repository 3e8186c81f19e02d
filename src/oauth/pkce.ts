import { createHash, timingSafeEqual } from 'node:crypto';
import type { Secret } from '#kernel';
import { bearerValue } from './random.ts';

export interface Pkce {
  /** 43 characters, 256 random bits (RFC 7636 §4.1). */
  readonly verifier: Secret<string>;
  readonly challenge: string;
  readonly method: 'S256';
}

/** A new verifier and its challenge. */
export function createPkce(): Pkce {
  const verifier = bearerValue();
  return { verifier, challenge: pkceChallenge(verifier), method: 'S256' };
}

/** Base64url SHA-256 of the verifier (RFC 7636 §4.2). */
export function pkceChallenge(verifier: Secret<string>): string {
  return createHash('sha256').update(verifier.reveal(), 'ascii').digest('base64url');
}

/** Whether `verifier` has the shape of RFC 7636 §4.1 and answers an S256 challenge. */
export function pkceHolds(verifier: string, challenge: string): boolean {
  if (!/^[A-Za-z0-9._~-]{43,128}$/.test(verifier)) return false;
  const expected = createHash('sha256').update(verifier, 'ascii').digest();
  const given = Buffer.from(challenge, 'base64url');
  return given.length === expected.length && timingSafeEqual(given, expected) && expected.toString('base64url') === challenge;
}
