import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import type { DataKeyId } from '#kernel';
import { lengthPrefixed } from './envelope.ts';
import { derive, type MasterKey } from './master-key.ts';

/** Bytes of a wrapped data key: format (1), nonce (12), ciphertext (32), tag (16). */
const format = 1;
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

/** Whose a data key is: bound to it, so that a wrapped key put into another row does not unwrap. */
export interface Wrapped {
  readonly id: DataKeyId;
  readonly scope: string;
}

/** A new data key: 256 random bits. */
export function makeDataKey(): KeyObject {
  const raw = randomBytes(keyBytes);
  const key = createSecretKey(raw);
  raw.fill(0);
  return key;
}

export function wrapDataKey(master: MasterKey, of: Wrapped, key: KeyObject): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', wrappingKey(master), nonce);
  cipher.setAAD(associated(master, of));
  const raw = key.export();
  const sealed = cipher.update(raw);
  raw.fill(0);
  cipher.final();
  return Buffer.concat([Buffer.of(format), nonce, sealed, cipher.getAuthTag()]);
}

/** Undefined when the master key, or the row, is not the one it was wrapped for. */
export function unwrapDataKey(master: MasterKey, of: Wrapped, wrapped: Uint8Array): KeyObject | undefined {
  if (wrapped.length !== 1 + nonceBytes + keyBytes + tagBytes || wrapped[0] !== format) return undefined;
  const nonce = wrapped.subarray(1, 1 + nonceBytes);
  const decipher = createDecipheriv('aes-256-gcm', wrappingKey(master), nonce, { authTagLength: tagBytes });
  decipher.setAAD(associated(master, of));
  decipher.setAuthTag(wrapped.subarray(-tagBytes));
  const raw = decipher.update(wrapped.subarray(1 + nonceBytes, -tagBytes));
  try {
    decipher.final();
    return createSecretKey(raw);
  } catch {
    return undefined;
  } finally {
    raw.fill(0);
  }
}

const wrappingKeys = new WeakMap<KeyObject, KeyObject>();

function wrappingKey(master: MasterKey): KeyObject {
  const known = wrappingKeys.get(master.key);
  if (known !== undefined) return known;
  const made = derive(master.key, 'data key wrapping');
  wrappingKeys.set(master.key, made);
  return made;
}

function associated(master: MasterKey, of: Wrapped): Buffer {
  return lengthPrefixed(['gatehouse data key', String(format), master.id, of.id, of.scope]);
}
