import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeBase58, encodeBase58 } from './base58.ts';
import { decodeBase64url, decodeDidKey, encodeBase64url, parsePublicJwk, parseUserCode, provenTarget, readAgentProof } from './index.ts';
import { derFromRaw, rawFromDer } from './signatures.ts';

test('base58 and base64url give every value back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      expect(decodeBase58(encodeBase58(bytes))).toEqual(bytes);
      expect(Uint8Array.from(decodeBase64url(encodeBase64url(bytes)) ?? [])).toEqual(bytes);
    }),
  );
});

test('base64url that decodes is the one spelling of its bytes', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'ABZaz09-_=+/ \n.'), maxLength: 12 }), (text) => {
      const bytes = decodeBase64url(text);
      if (bytes !== undefined) expect(encodeBase64url(bytes)).toBe(text);
    }),
  );
});

test('signatures in both forms are the same signature, whatever their leading bytes', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  for (let i = 0; i < 300; i++) {
    const data = randomBytes(16);
    const raw = rawFromDer(sign('sha256', data, privateKey));
    expect(verify('sha256', data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, raw)).toBe(true);
    const der = derFromRaw(sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
    expect(verify('sha256', data, publicKey, der as Uint8Array)).toBe(true);
  }
  for (const zeros of [0, 1, 31, 32]) {
    const raw = Uint8Array.from([...Array(zeros).fill(0), ...Array(32 - zeros).fill(0xff), ...Array(32).fill(1)]);
    expect(rawFromDer(derFromRaw(raw) as Uint8Array)).toEqual(raw);
  }
  for (const length of [0, 63, 65, 128]) expect(derFromRaw(new Uint8Array(length))).toBeUndefined();
});

test('nothing that is read from outside makes a parser throw', () => {
  const part = fc.oneof(fc.string(), fc.base64String(), fc.json().map(encodeBase64url));
  fc.assert(
    fc.property(part, part, part, fc.anything(), (a, b, c, value) => {
      readAgentProof(`PoP ${a}.${b}.${c}`);
      readAgentProof(a);
      decodeDidKey(`did:key:z${a}`);
      parsePublicJwk(value);
      parsePublicJwk({ kty: 'OKP', crv: 'Ed25519', x: a });
      parsePublicJwk({ kty: 'EC', crv: 'P-256', x: a, y: b });
      parseUserCode(a);
      provenTarget(`https://${a}/${b}`);
    }),
    { numRuns: 500 },
  );
});
