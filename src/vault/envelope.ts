import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto';
import { type DataKeyId, Fault, isId } from '#kernel';
import type { Label } from './contract.ts';

/**
 * Bytes of an envelope: format (1), data key id (30, ASCII), version of the value (8, big-endian), nonce (12),
 * ciphertext, tag (16). The header is part of the associated data.
 */
const format = 1;
const idAt = 1;
const versionAt = 31;
const nonceAt = 39;
const cipherAt = 51;
const tagBytes = 16;

/** An envelope whose header was read; nothing in it is proven before it opens. */
export interface Envelope {
  readonly dataKey: DataKeyId;
  readonly version: number;
  readonly bytes: Buffer;
}

/** Seals with AES-256-GCM under a random 96-bit nonce. */
export function sealEnvelope(key: KeyObject, dataKey: DataKeyId, label: Label, plain: Uint8Array): Buffer {
  const envelope = Buffer.allocUnsafe(cipherAt + plain.length + tagBytes);
  envelope.writeUInt8(format, 0);
  envelope.write(dataKey, idAt, 'latin1');
  envelope.writeBigUInt64BE(BigInt(label.version), versionAt);
  const nonce = randomBytes(cipherAt - nonceAt);
  nonce.copy(envelope, nonceAt);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(associated(dataKey, label));
  cipher.update(plain).copy(envelope, cipherAt);
  cipher.final();
  cipher.getAuthTag().copy(envelope, cipherAt + plain.length);
  return envelope;
}

/** Reads the header. @throws {Fault} `sealed_value_unreadable` */
export function parseEnvelope(bytes: Uint8Array): Envelope {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < cipherAt + tagBytes || buffer[0] !== format) throw unreadable();
  const dataKey = buffer.toString('latin1', idAt, versionAt);
  const version = buffer.readBigUInt64BE(versionAt);
  if (!isId('dky', dataKey) || version > BigInt(Number.MAX_SAFE_INTEGER)) throw unreadable();
  return { dataKey, version: Number(version), bytes: buffer };
}

/** Opens what was sealed under this very label. @throws {Fault} `sealed_value_unreadable` */
export function openEnvelope(key: KeyObject, envelope: Envelope, label: Label): Buffer {
  const { bytes, dataKey } = envelope;
  if (envelope.version !== label.version) throw unreadable();
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(nonceAt, cipherAt), { authTagLength: tagBytes });
  decipher.setAAD(associated(dataKey, label));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
  try {
    const plain = decipher.update(bytes.subarray(cipherAt, bytes.length - tagBytes));
    decipher.final();
    return plain;
  } catch (error) {
    throw unreadable(error);
  }
}

/** The one failure of opening, whatever was wrong with the bytes. */
export function unreadable(cause?: unknown): Fault {
  return new Fault('sealed_value_unreadable', cause === undefined ? {} : { cause });
}

/** What binds an envelope to its place: every part with its length before it, so that no two places read the same (SECURITY 19). */
function associated(dataKey: DataKeyId, label: Label): Buffer {
  const { owner } = label;
  const organization = owner.kind === 'platform' ? '' : owner.organization;
  const vault = owner.kind === 'vault' ? owner.vault : '';
  return lengthPrefixed(['gatehouse envelope', String(format), dataKey, owner.kind, organization, vault, label.key, String(label.version)]);
}

/** Parts in UTF-8, each after its length in bytes and a colon. */
export function lengthPrefixed(parts: readonly string[]): Buffer {
  let text = '';
  for (const part of parts) text += `${Buffer.byteLength(part)}:${part}`;
  return Buffer.from(text);
}
