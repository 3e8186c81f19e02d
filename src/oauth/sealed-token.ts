import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { decodeBase64url, encodeBase64url } from './base64url.ts';
import type { TokenKey } from './token-signature.ts';

/** What seals opaque tokens, derived from a key that signs tokens: it is made, rotated and retired with it. */
export interface SealingKey {
  readonly kid: string;
  readonly root: KeyObject;
}

const saltBytes = 12;
const nonceBytes = 12;
const tagBytes = 16;
/** Longest sealed token that is read, in characters. */
const longest = 8192;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The sealing key that belongs to a signing key (RFC 5869); neither tells anything of the other. */
export function sealingKeyOf({ kid, privateKey }: TokenKey): SealingKey {
  const material = privateKey.export({ format: 'der', type: 'pkcs8' });
  const root = createSecretKey(new Uint8Array(hkdfSync('sha256', material, '', `gatehouse opaque token ${kid}`, 32)));
  material.fill(0);
  return Object.freeze({ kid, root });
}

/**
 * Claims as text that says nothing to who has not the key, and that nobody else can make: AES-256-GCM under a key of this token's
 * own (HMAC of 96 random bits) with another 96 random bits as nonce, so that no number of tokens wears the key out.
 */
export function sealToken({ kid, root }: SealingKey, claims: Readonly<Record<string, unknown>>): string {
  const random = randomBytes(saltBytes + nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', keyOf(root, random), random.subarray(saltBytes));
  cipher.setAAD(Buffer.from(kid, 'latin1'));
  const sealed = [random, cipher.update(JSON.stringify(claims), 'utf8'), cipher.final(), cipher.getAuthTag()];
  return encodeBase64url(Buffer.concat(sealed));
}

/** The claims, or undefined when this key did not seal them. */
export function openToken({ kid, root }: SealingKey, text: string): Readonly<Record<string, unknown>> | undefined {
  const bytes = text.length > longest ? undefined : decodeBase64url(text);
  if (bytes === undefined || bytes.length < saltBytes + nonceBytes + tagBytes) return undefined;
  const nonce = bytes.subarray(saltBytes, saltBytes + nonceBytes);
  const decipher = createDecipheriv('aes-256-gcm', keyOf(root, bytes), nonce, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(kid, 'latin1'));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
  try {
    const open = [decipher.update(bytes.subarray(saltBytes + nonceBytes, bytes.length - tagBytes)), decipher.final()];
    return JSON.parse(utf8.decode(Buffer.concat(open))) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** As a `KeyObject`: `node:crypto` takes five times as long over plain bytes. */
function keyOf(root: KeyObject, random: Uint8Array): KeyObject {
  return createSecretKey(createHmac('sha256', root).update(random.subarray(0, saltBytes)).digest());
}
