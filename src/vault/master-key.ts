import { createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { Fault, type Secret } from '#kernel';
import { weaknessOf } from './weak-key.ts';

/** One key of the keyring. A `KeyObject` prints nothing of itself. */
export interface MasterKey {
  /** `mk_` and 16 hexadecimal characters, derived from the key: one key has one id wherever it is kept. */
  readonly id: string;
  readonly key: KeyObject;
  /** Milliseconds; 0 where it is not known. */
  readonly createdAt: number;
}

const bytes = 32;

/** A new master key as 64 hexadecimal characters, as `gatehouse keys generate` prints it. */
export function generateMasterKey(): string {
  return randomBytes(bytes).toString('hex');
}

/**
 * Parses 64 hexadecimal characters, or 32 bytes in base64 or base64url (padded or not).
 * Under production rules an example, repeated, counted or typed key is refused.
 * @throws {Fault} `master_key_malformed`
 */
export function parseMasterKey(text: Secret<string>, production: boolean, createdAt = 0): MasterKey {
  const raw = decode(text.reveal().trim());
  if (raw === undefined) throw new Fault('master_key_malformed');
  const weakness = production ? weaknessOf(raw) : undefined;
  if (weakness !== undefined) throw new Fault('master_key_malformed', { detail: `The master key ${weakness}` });
  const key = createSecretKey(raw);
  raw.fill(0);
  return Object.freeze({ id: idOf(key), key, createdAt });
}

/** A key for one purpose, derived from a master key (HKDF-SHA-256, RFC 5869). */
export function derive(key: KeyObject, purpose: string): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', key, '', `gatehouse ${purpose}`, bytes)));
}

/** What shows, without the key, that another process holds the same one. */
export function checkValueOf(master: MasterKey): Buffer {
  return derive(master.key, 'master key mark').export();
}

function idOf(key: KeyObject): string {
  return `mk_${Buffer.from(hkdfSync('sha256', key, '', 'gatehouse master key id', 8)).toString('hex')}`;
}

function decode(text: string): Buffer | undefined {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, 'hex');
  if (!/^([A-Za-z0-9+/]{43}|[A-Za-z0-9_-]{43})=?$/.test(text)) return undefined;
  const raw = Buffer.from(text, 'base64');
  // The last character holds two bits that no byte uses: only one spelling is the key's.
  const canonical = raw.toString('base64url') === text.replace('=', '').replaceAll('+', '-').replaceAll('/', '_');
  return raw.length === bytes && canonical ? raw : undefined;
}
