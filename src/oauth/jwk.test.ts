import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { base64url, calculateJwkThumbprint } from 'jose';
import { describe, expect, test } from 'vitest';
import { decodeDidKey, encodeDidKey, type PublicJwk, parsePublicJwk, thumbprint, verificationKeyOf } from './index.ts';

const pairs: readonly (readonly [string, () => { publicKey: KeyObject; privateKey: KeyObject }])[] = [
  ['Ed25519', () => generateKeyPairSync('ed25519')],
  ['P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
];

const exported = (key: KeyObject) => key.export({ format: 'jwk' }) as Record<string, unknown>;

describe.each(pairs)('a key of %s', (_name, generate) => {
  test('has the thumbprint that jose computes', async () => {
    const jwk = exported(generate().publicKey);
    expect(thumbprint(parsePublicJwk(jwk)?.jwk as PublicJwk)).toBe(await calculateJwkThumbprint(jwk));
  });

  test('comes back from its did:key, whatever its bytes', () => {
    for (let i = 0; i < 50; i++) {
      const { jwk } = verificationKeyOf(generate().publicKey) ?? expect.fail();
      expect(decodeDidKey(encodeDidKey(jwk))?.jwk).toEqual(jwk);
    }
  });

  test('is taken from the private key without its private member', () => {
    const { privateKey, publicKey } = generate();
    expect(verificationKeyOf(privateKey)?.jwk).toEqual(verificationKeyOf(publicKey)?.jwk);
    expect(verificationKeyOf(privateKey)?.jwk).not.toHaveProperty('d');
  });

  test('is refused with a private member', () => {
    expect(parsePublicJwk(exported(generate().privateKey))).toBeUndefined();
  });

  test('is refused with members that are unknown, disagree, or hide in the prototype', () => {
    const jwk = exported(generate().publicKey);
    for (const extra of [{ k: 'AAAA' }, { x5u: 'https://a.example' }, { use: 'enc' }, { alg: 'HS256' }, { alg: 'none' }, { toString: 1 }]) {
      expect(parsePublicJwk({ ...jwk, ...extra }), JSON.stringify(extra)).toBeUndefined();
    }
  });

  test('drops members that only repeat what it is', () => {
    const jwk = exported(generate().publicKey);
    expect(parsePublicJwk({ ...jwk, use: 'sig', kid: 'one' })?.jwk).toEqual(jwk);
  });

  test('is refused with coordinates that are short, long, padded or not canonical', () => {
    const jwk = exported(generate().publicKey);
    const x = jwk.x as string;
    const lax = `${x.slice(0, -1)}${x.endsWith('A') || x.endsWith('E') ? 'B' : 'F'}`;
    for (const bad of ['', 'AAAA', `${x}=`, `${x}AA`, ` ${x}`, `${x.slice(0, -2)}+/`, lax, 7, null]) {
      expect(parsePublicJwk({ ...jwk, x: bad }), String(bad)).toBeUndefined();
    }
  });
});

test('the published did:key vectors are read and written', () => {
  const vectors: readonly (readonly [string, string])[] = [
    ['did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp', 'Ed25519'],
    ['did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169', 'P-256'],
  ];
  for (const [did, crv] of vectors) {
    const key = decodeDidKey(did) ?? expect.fail(did);
    expect(key.jwk.crv).toBe(crv);
    expect(encodeDidKey(key.jwk)).toBe(did);
  }
});

test('a did:key that is not one key in one spelling is refused', () => {
  const good = 'did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp';
  const bad = [
    '',
    'did:key:',
    'did:key:z',
    'did:key:z1',
    `${good}#${good.slice(8)}`,
    `${good}1`,
    good.replace('6Mk', '1Mk'),
    good.toLowerCase(),
  ];
  for (const did of [...bad, `did:key:z${'1'.repeat(100_000)}`, good.replace('z6', 'z16'), 'did:web:a.example']) {
    expect(decodeDidKey(did), did.slice(0, 80)).toBeUndefined();
  }
});

test('an Ed25519 key of low order, for which anyone can sign, is refused', () => {
  const points = ['01'.padEnd(64, '0'), '00'.repeat(32), '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'];
  for (const point of [...points, `${'00'.repeat(31)}80`]) {
    const x = base64url.encode(Buffer.from(point, 'hex'));
    expect(parsePublicJwk({ kty: 'OKP', crv: 'Ed25519', x }), point).toBeUndefined();
  }
});

test('other curves, symmetric keys and things that are not keys are refused', () => {
  const p384 = exported(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey);
  const off = { kty: 'EC', crv: 'P-256', x: base64url.encode(Buffer.alloc(32, 1)), y: base64url.encode(Buffer.alloc(32, 1)) };
  const rsa = exported(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey);
  for (const input of [p384, rsa, off, { kty: 'oct', k: 'AAAA' }, null, [], 'x', {}, { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) }]) {
    expect(parsePublicJwk(input)).toBeUndefined();
  }
});
