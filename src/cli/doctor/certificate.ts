import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** A throw-away authority and one leaf under it: what `doctor` has runtimes trust, for one host and one day. */
export interface TrialCertificates {
  readonly authorityPem: string;
  readonly leafPem: string;
  readonly leafKeyPem: string;
}

/** DER (X.690): a tag, a length, the content. */
function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  const length = body.length < 128 ? [body.length] : body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255];
  return Buffer.concat([Uint8Array.from([tag, ...length]), body]);
}

const sequence = (...content: readonly Uint8Array[]) => der(0x30, ...content);
const octets = (content: Uint8Array) => der(0x04, content);
const bits = (content: Uint8Array) => der(0x03, Uint8Array.of(0), content);
const truth = der(0x01, Uint8Array.of(0xff));

function identifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const base128 = (value: number): number[] => {
    const parts = [value & 127];
    for (let left = value >> 7; left > 0; left >>= 7) parts.unshift((left & 127) | 128);
    return parts;
  };
  return der(0x06, Uint8Array.from([first * 40 + second, ...rest.flatMap(base128)]));
}

const ecdsaWithSha256 = sequence(identifier('1.2.840.10045.4.3.2'));
const commonName = (name: string) => sequence(der(0x31, sequence(identifier('2.5.4.3'), der(0x0c, Buffer.from(name)))));
const generalizedTime = (at: number) => der(0x18, Buffer.from(`${new Date(at).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`));
const extension = (oid: string, critical: boolean, content: Uint8Array) =>
  sequence(identifier(oid), ...(critical ? [truth] : []), octets(content));
const keyIdOf = (spki: Buffer) => createHash('sha1').update(spki.subarray(-65)).digest();

interface Draft {
  readonly subject: string;
  readonly issuer: string;
  readonly spki: Buffer;
  readonly extensions: readonly Uint8Array[];
  readonly signer: KeyObject;
  readonly now: number;
}

const hour = 3_600_000;

/** RFC 5280 §4.1. */
function certificate(draft: Draft): string {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] as number) & 0x7f) | 1;
  const body = sequence(
    der(0xa0, der(0x02, Uint8Array.of(2))),
    der(0x02, serial),
    ecdsaWithSha256,
    commonName(draft.issuer),
    sequence(generalizedTime(draft.now - hour), generalizedTime(draft.now + 24 * hour)),
    commonName(draft.subject),
    draft.spki,
    der(0xa3, sequence(...draft.extensions)),
  );
  const whole = sequence(body, ecdsaWithSha256, bits(sign('sha256', body, draft.signer)));
  return `-----BEGIN CERTIFICATE-----\n${whole.toString('base64').replace(/.{64}/g, '$&\n').trimEnd()}\n-----END CERTIFICATE-----\n`;
}

export function trialCertificates(host: string, now: number): TrialCertificates {
  const make = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [authority, leaf] = [make(), make()];
  const spkiOf = (key: KeyObject) => key.export({ type: 'spki', format: 'der' });
  const [authoritySpki, leafSpki] = [spkiOf(authority.publicKey), spkiOf(leaf.publicKey)];
  const name = 'Gatehouse doctor';
  const ownId = (spki: Buffer) => extension('2.5.29.14', false, octets(keyIdOf(spki)));
  const issuerId = extension('2.5.29.35', false, sequence(der(0x80, keyIdOf(authoritySpki))));
  const common = { issuer: name, signer: authority.privateKey, now };
  const authorityPem = certificate({
    ...common,
    subject: name,
    spki: authoritySpki,
    extensions: [
      extension('2.5.29.19', true, sequence(truth, der(0x02, Uint8Array.of(0)))),
      extension('2.5.29.15', true, der(0x03, Uint8Array.of(2, 0x04))),
      ownId(authoritySpki),
    ],
  });
  const leafPem = certificate({
    ...common,
    subject: host,
    spki: leafSpki,
    extensions: [
      extension('2.5.29.15', true, der(0x03, Uint8Array.of(7, 0x80))),
      extension('2.5.29.37', false, sequence(identifier('1.3.6.1.5.5.7.3.1'))),
      extension('2.5.29.17', false, sequence(der(0x82, Buffer.from(host)))),
      ownId(leafSpki),
      issuerId,
    ],
  });
  return { authorityPem, leafPem, leafKeyPem: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}
