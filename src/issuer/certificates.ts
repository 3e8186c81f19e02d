import { createHash } from 'node:crypto';
import type { ClientMetadata, Sender } from './contract.ts';

/** As `cnf` names a certificate: SHA-256 of its DER (RFC 8705 §3.1). */
export function certificateThumbprint({ certificate }: Partial<Sender>): string | undefined {
  return certificate === undefined ? undefined : createHash('sha256').update(certificate).digest('base64url');
}

/** Whether it is one of those that a client registered as `x5c` of its keys; nobody else vouches for it (RFC 8705 §2.2). */
export function isRegistered(certificate: Uint8Array, keys: ClientMetadata['jwks']): boolean {
  const given = Buffer.from(certificate).toString('base64');
  return certificatesOf(keys).includes(given);
}

/** The certificate of each key, where it names one: the first of its chain (RFC 7517 §4.7). */
export function certificatesOf(keys: ClientMetadata['jwks']): readonly string[] {
  return keys.flatMap(({ x5c }) => (Array.isArray(x5c) && typeof x5c[0] === 'string' ? [x5c[0]] : []));
}
