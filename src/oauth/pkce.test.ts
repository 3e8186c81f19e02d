import { calculatePKCECodeChallenge } from 'oauth4webapi';
import { expect, test } from 'vitest';
import { Secret } from '#kernel';
import { bearerValue, createPkce, parseUserCode, pkceChallenge, pkceHolds, userCode } from './index.ts';

test('the challenge is that of RFC 7636 appendix B', () => {
  const verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
  expect(pkceChallenge(new Secret(verifier))).toBe('E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM');
  expect(pkceHolds(verifier, 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM')).toBe(true);
});

test('a new verifier answers its own challenge and no other', async () => {
  const pkce = createPkce();
  const verifier = pkce.verifier.reveal();
  expect(pkce.challenge).toBe(await calculatePKCECodeChallenge(verifier));
  expect(pkceHolds(verifier, pkce.challenge)).toBe(true);
  expect(pkceHolds(createPkce().verifier.reveal(), pkce.challenge)).toBe(false);
  for (const bad of ['', 'short', `${verifier}!`, 'a'.repeat(129)]) expect(pkceHolds(bad, pkce.challenge)).toBe(false);
  for (const bad of ['', `${pkce.challenge}=`, verifier]) expect(pkceHolds(verifier, bad)).toBe(false);
});

test('a bearer value has at least 128 bits and never repeats', () => {
  expect(bearerValue().reveal()).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(() => bearerValue(15)).toThrow(RangeError);
  expect(new Set(Array.from({ length: 1000 }, () => bearerValue(16).reveal())).size).toBe(1000);
});

test('a user code is read as people type it', () => {
  const code = userCode().reveal();
  expect(code).toMatch(/^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/);
  for (const typed of [code, code.toLowerCase(), code.replace('-', ''), ` ${code.replace('-', ' – ')} `]) {
    expect(parseUserCode(typed)).toBe(code);
  }
  expect(parseUserCode('oOiI-lL11')).toBe('0011-1111');
  for (const bad of ['', 'ABC', `${code}A`, 'UUUU-UUUU', 'ÅBCD-EFGH', 'A'.repeat(1_000_000)]) expect(parseUserCode(bad)).toBeUndefined();
});
