import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { faultOf, type Issuance, openIssuance, type Registered } from '../../test/support/issuing.ts';
import { lives } from './lives.ts';

const idToken = async (issuance: Issuance, client: Registered) =>
  (await issuance.tokens(client, { scope: 'openid' })).idToken?.reveal() ?? '';
const accessToken = async (issuance: Issuance, client: Registered) =>
  (await issuance.token(client, { grant_type: 'client_credentials' })).accessToken.reveal();
const kids = async ({ issuer, at }: Issuance) => (await issuer.keySet(at)).keys.map(({ kid }) => kid);

async function rotate({ issuer, by, people }: Issuance): Promise<string> {
  const store = await issuer.nextSigningKey(by, 'ES256');
  return people.store.records.in(by.organization).write(store);
}

describe('signing keys', () => {
  it('are one, however many tokens are asked for at once', async () => {
    const issuance = await openIssuance();
    const client = await issuance.add();
    const tokens = await Promise.all(Array.from({ length: 20 }, () => accessToken(issuance, client)));
    expect(new Set(tokens.map((token) => decodeProtectedHeader(token).kid)).size).toBe(1);
    expect((await kids(issuance)).length).toBe(1);
  });

  it('sign where the clock is behind that of the machine that made the first one', async () => {
    const issuance = await openIssuance();
    const client = await issuance.add();
    const [kid] = await kids(issuance);
    await issuance.people.store.records.in(issuance.by.organization).write(async (tx) => {
      await tx.db
        .updateTable('signing_keys')
        .set({ signs_from: issuance.people.clock.now() + 2_000 })
        .execute();
      await tx.bump('issuing');
    });
    expect(decodeProtectedHeader(await accessToken(issuance, client)).kid).toBe(kid);
  }, 5_000);

  it.each(['ES256', 'RS256', 'EdDSA'] as const)('sign ID tokens with %s, as the client is registered', async (signing) => {
    const issuance = await openIssuance();
    const client = await issuance.add({ signing });
    const token = await idToken(issuance, client);
    const keys = createLocalJWKSet((await issuance.issuer.keySet(issuance.at)) as unknown as JSONWebKeySet);
    const currentDate = new Date(issuance.people.clock.now());
    const { payload } = await jwtVerify(token, keys, { audience: client.id, algorithms: [signing], currentDate });
    expect(payload.sub).toBe(issuance.session.user.id);
  });

  it('are published before they sign, and until their last token has ended', async () => {
    const issuance = await openIssuance();
    const { people } = issuance;
    const client = await issuance.add();
    const before = await accessToken(issuance, client);
    const next = await rotate(issuance);
    expect((await kids(issuance)).length).toBe(2);
    expect(lives.keySetCache).toBeLessThan(lives.keyLead);
    await people.pass(lives.keyLead - 1);
    const last = await accessToken(issuance, client);
    expect(decodeProtectedHeader(last).kid).toBe(decodeProtectedHeader(before).kid);
    await people.pass(1);
    expect(decodeProtectedHeader(await accessToken(issuance, client)).kid).toBe(next);
    expect(await issuance.active(client, last)).toBe(true);
    await people.pass(lives.longestToken + lives.skew - 1);
    expect((await kids(issuance)).length).toBe(2);
    await people.pass(1);
    expect(await kids(issuance)).toEqual([next]);
    await issuance.issuer.sweep();
    expect((await issuance.issuer.signingKeys(issuance.by.organization)).map(({ id, state }) => [id, state])).toEqual([[next, 'signing']]);
  });

  it('that two people make at once are one, and the other is told what to do', async () => {
    const issuance = await openIssuance();
    await kids(issuance);
    const { issuer, by, people } = issuance;
    const stores = await Promise.all([1, 2].map(() => issuer.nextSigningKey(by, 'ES256')));
    const told = await Promise.all(stores.map((store) => faultOf(people.store.records.in(by.organization).write(store))));
    expect(told.sort()).toEqual(['conflict', undefined]);
    expect((await kids(issuance)).length).toBe(2);
  });

  it('follow one another by themselves', async () => {
    const issuance = await openIssuance();
    const client = await issuance.add();
    await accessToken(issuance, client);
    await issuance.people.pass(lives.keySigns);
    await Promise.all([issuance.issuer.sweep(), issuance.issuer.sweep()]);
    expect((await issuance.issuer.signingKeys(issuance.by.organization)).map(({ state }) => state)).toEqual(['signing', 'next']);
  });

  it('rest sealed: no private member is in the database', async () => {
    const issuance = await openIssuance();
    await kids(issuance);
    const [row] = await issuance.people.store.records
      .in(issuance.by.organization)
      .read(({ db }) => db.selectFrom('signing_keys').selectAll().execute());
    expect(Object.keys(JSON.parse(row?.public_jwk_json ?? '{}') as object).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
  });
});
