import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { bitString, bits, boolean, explicit, implicit, integer, octets, oid, sequence, set, time, utf8 } from './der.ts';

/** Who signs: its name, its key, and the identifier that links what it signs to it. */
export interface Signer {
  readonly name: string;
  readonly key: KeyObject;
  /** The public key as it stands in a certificate, and the SHA-1 of its bits (RFC 5280 §4.2.1.2). */
  readonly publicKey: Buffer;
  readonly keyIdentifier: Buffer;
}

/** Milliseconds since 1970. */
export interface Validity {
  readonly from: number;
  readonly until: number;
}

const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'));
const commonName = oid('2.5.4.3');
const serverAuth = sequence(oid('1.3.6.1.5.5.7.3.1'));
const version3 = explicit(0, integer(Uint8Array.of(2)));
const nothingSet = sequence();

/** A fresh P-256 key. */
export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/** Everything about a signing key that its certificates repeat. `name` becomes the common name. */
export function signer(name: string, key: KeyObject): Signer {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return { name, key, publicKey, keyIdentifier: keyIdentifierOf(publicKey) };
}

/** The last 65 bytes of a P-256 SPKI are the uncompressed point: the bits that are hashed. */
function keyIdentifierOf(spki: Buffer): Buffer {
  return createHash('sha1').update(spki.subarray(-65)).digest();
}

const extension = (id: string, critical: boolean, value: Buffer) =>
  critical ? sequence(oid(id), boolean(true), octets(value)) : sequence(oid(id), octets(value));

const basicConstraints = (value: Buffer) => extension('2.5.29.19', true, value);
const keyUsage = (...usages: readonly number[]) => extension('2.5.29.15', true, bits(...usages));
const serverOnly = extension('2.5.29.37', false, serverAuth);
const subjectKey = (identifier: Buffer) => extension('2.5.29.14', false, octets(identifier));
const authorityKey = (identifier: Buffer) => extension('2.5.29.35', false, sequence(implicit(0, identifier)));

/** The limits of an authority: the names it may sign for (each with everything below it), and no IP address at all. */
function nameConstraints(names: readonly string[]): Buffer {
  // RFC 5280 §4.2.1.10: an empty list would permit every name, so a name that cannot exist stands for none (RFC 6761 §6.4).
  const permitted = names.length > 0 ? names : ['nothing.invalid'];
  const subtree = (tag: number, contents: Uint8Array) => sequence(implicit(tag, contents));
  return extension(
    '2.5.29.30',
    true,
    sequence(
      explicit(0, ...permitted.map((name) => subtree(2, Buffer.from(name, 'latin1')))),
      explicit(1, subtree(7, new Uint8Array(8)), subtree(7, new Uint8Array(32))),
    ),
  );
}

/**
 * A certificate of the signer for itself that may sign leaves for `names` (each with its subdomains), nothing else:
 * path length 0, no IP addresses, servers only (SECURITY 12). Returns PEM.
 */
export function authorityCertificate(self: Signer, names: readonly string[], validity: Validity): string {
  return pem(
    signed(self, self.name, self.publicKey, validity, [
      basicConstraints(sequence(boolean(true), integer(Uint8Array.of(0)))),
      keyUsage(5),
      serverOnly,
      nameConstraints(names),
      subjectKey(self.keyIdentifier),
      authorityKey(self.keyIdentifier),
    ]),
  );
}

/** What a server presents for `host`, whose public key is `subject`'s. Returns PEM. */
export function leafCertificate(by: Signer, subject: Signer, host: string, validity: Validity): string {
  // RFC 5280 upper bound of a common name: 64 characters. Clients read the alternative name.
  const name = host.length <= 64 ? host : subject.name;
  return pem(
    signed(by, name, subject.publicKey, validity, [
      basicConstraints(nothingSet),
      keyUsage(0),
      serverOnly,
      extension('2.5.29.17', false, sequence(implicit(2, Buffer.from(host, 'latin1')))),
      subjectKey(subject.keyIdentifier),
      authorityKey(by.keyIdentifier),
    ]),
  );
}

const nameOf = (name: string) => sequence(set(sequence(commonName, utf8(name))));

function signed(by: Signer, name: string, publicKey: Buffer, validity: Validity, extensions: readonly Buffer[]): Buffer {
  const body = sequence(
    version3,
    integer(serialNumber()),
    ecdsaWithSha256,
    nameOf(by.name),
    sequence(time(validity.from), time(validity.until)),
    nameOf(name),
    publicKey,
    explicit(3, sequence(...extensions)),
  );
  return sequence(body, ecdsaWithSha256, bitString(sign('sha256', body, by.key)));
}

/** 127 random bits, never zero in front, so that every one has the same length and is positive (RFC 5280 §4.1.2.2). */
function serialNumber(): Uint8Array {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40;
  return bytes;
}

function pem(certificate: Buffer): string {
  const lines = certificate.toString('base64').match(/.{1,64}/g) as string[];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
