import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { api, bearer, faultOf, type Issuance, openIssuance } from '../../test/support/issuing.ts';
import type { ImportedKeyDraft } from './contract.ts';
import { lives } from './lives.ts';

let issuance: Issuance;
let old: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };

beforeAll(async () => {
  issuance = await openIssuance();
  old = generateKeyPairSync('rsa', { modulusLength: 2048 });
});

const jwkOf = (key: KeyObject) => ({ ...key.export({ format: 'jwk' }) });
const draft = (changes: Partial<ImportedKeyDraft> = {}): ImportedKeyDraft => ({
  kid: 'old-1',
  publicJwk: jwkOf(old.publicKey),
  retiresAt: undefined,
  ...changes,
});
const add = (given: ImportedKeyDraft) =>
  issuance.people.store.records.in(issuance.by.organization).write((tx) => issuance.issuer.importedKeys.add(tx, issuance.by, given));
const keySet = async () => (await issuance.issuer.keySet(issuance.at)) as unknown as JSONWebKeySet;
const oldToken = (claims: Record<string, unknown>, kid = 'old-1') =>
  new SignJWT(claims).setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid }).sign(old.privateKey);

describe('an imported key', () => {
  it('verifies at the key set what an earlier system signed, and signs nothing', async () => {
    await add(draft());
    const token = await oldToken({ sub: 'somebody', aud: api });
    expect((await jwtVerify(token, createLocalJWKSet(await keySet()))).payload.sub).toBe('somebody');
    const client = await issuance.add({ signing: 'RS256' });
    const { idToken } = await issuance.tokens(client, { scope: 'openid' });
    expect(Buffer.from(idToken?.reveal().split('.')[0] ?? '', 'base64url').toString()).not.toContain('old-1');
    expect((await issuance.issuer.signingKeys(issuance.by.organization)).map(({ id }) => id)).not.toContain('old-1');
  });

  it('makes no token that counts here, whatever it says', async () => {
    const client = await issuance.add();
    const { accessToken } = await issuance.token(client, { grant_type: 'client_credentials' });
    const claims = JSON.parse(Buffer.from(accessToken.reveal().split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
    expect(await issuance.active(client, accessToken.reveal())).toBe(true);
    expect(await issuance.active(client, await oldToken({ ...claims, jti: 'another' }))).toBe(false);
    expect(await faultOf(issuance.issuer.userinfo(issuance.at, bearer(await oldToken(claims))))).toBe('access_token_invalid');
  });

  it('leaves the key set at its time, and its row with it', async () => {
    const now = issuance.people.clock.now();
    await add(draft({ kid: 'brief', retiresAt: now + 60_000 }));
    const kids = async () => (await keySet()).keys.map(({ kid }) => kid);
    await issuance.people.pass(59_999);
    expect(await kids()).toContain('brief');
    await issuance.people.pass(1);
    expect(await kids()).not.toContain('brief');
    await issuance.people.pass(lives.kept);
    await issuance.issuer.sweep();
    const rows = await issuance.people.store.records
      .in(issuance.by.organization)
      .read(({ db }) => db.selectFrom('imported_keys').select('kid').execute());
    expect(rows).toEqual([{ kid: 'old-1' }]);
  });

  it('is removed at once', async () => {
    await add(draft({ kid: 'removed' }));
    await issuance.issuer.importedKeys.remove(issuance.by, 'removed');
    expect((await keySet()).keys.map(({ kid }) => kid)).not.toContain('removed');
    expect(await faultOf(issuance.issuer.importedKeys.remove(issuance.by, 'removed'))).toBe('not_found');
  });

  it.each<[string, () => Partial<ImportedKeyDraft>]>([
    ['a name that is taken', () => ({ kid: 'old-1' })],
    ['a name like ours', () => ({ kid: 'sky_1' })],
    ['a name with a space', () => ({ kid: 'a b' })],
    ['a private key', () => ({ publicJwk: jwkOf(old.privateKey) })],
    ['a symmetric key', () => ({ publicJwk: { kty: 'oct', k: 'AAAA' } })],
    ['a short RSA key', () => ({ publicJwk: jwkOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey) })],
    ['another curve', () => ({ publicJwk: jwkOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey) })],
    ['nothing of a key', () => ({ publicJwk: {} })],
    ['a time that is past', () => ({ retiresAt: issuance.people.clock.now() })],
  ])('is refused with %s', async (_, wrong) => {
    expect(await faultOf(add(draft({ kid: 'new', ...wrong() })))).toBe('signing_key_invalid');
  });
});
