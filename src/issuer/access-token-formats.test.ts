import { decodeProtectedHeader } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { api, basic, faultOf, formOf, type Issuance, openIssuance, type Registered } from '../../test/support/issuing.ts';
import type { ResourceDraft } from './contract.ts';
import { lives } from './lives.ts';

const sealed = 'https://opaque.example/';
let issuance: Issuance;
let client: Registered;
let server: Registered;

const draft = (identifier: string, more: Partial<ResourceDraft> = {}): ResourceDraft => ({
  identifier,
  name: identifier,
  scopes: [{ name: 'things:read', tells: 'read your things' }],
  tokenFormat: 'jwt',
  algorithm: 'ES256',
  open: false,
  ...more,
});
const register = (given: ResourceDraft, into = issuance) =>
  into.people.store.records.in(into.by.organization).write((tx) => into.issuer.resources.add(tx, into.by, given));
const own = { grant_type: 'client_credentials', resource: sealed, scope: 'things:read' };
const asked = async (by: Registered, token: string, into = issuance) =>
  into.issuer.introspect(into.at, { parameters: formOf({ token }), authorization: basic(by) });
const revoke = (by: Registered, token: string) =>
  issuance.issuer.revoke(issuance.at, { parameters: formOf({ token }), authorization: basic(by) });

beforeAll(async () => {
  issuance = await openIssuance();
  await register(draft(sealed, { tokenFormat: 'opaque' }));
  await register(draft('https://rsa.example/', { algorithm: 'RS256' }));
  client = await issuance.add({ resources: [api, sealed, 'https://rsa.example/'] });
  server = await issuance.add({ grantTypes: [], redirectUris: [], resources: [], protects: [sealed] });
});

describe('an opaque access token', () => {
  it('says nothing by itself, and everything to the server of its resource', async () => {
    const token = (await issuance.token(client, own)).accessToken.reveal();
    expect(token).toMatch(/^gat_[0-9a-z]{26}_[\w-]{100,}$/);
    for (const part of [client.id, 'things:read', sealed])
      expect(Buffer.from(token.slice(31), 'base64url').includes(part), part).toBe(false);
    expect(await asked(server, token)).toMatchObject({
      active: true,
      iss: issuance.at.issuer,
      sub: client.id,
      client_id: client.id,
      aud: sealed,
      scope: 'things:read',
      exp: expect.any(Number),
    });
    const stranger = await issuance.add({ protects: [api] });
    expect(await asked(stranger, token)).toEqual({ active: false });
  });

  it('is stored nowhere', async () => {
    const count = () =>
      issuance.people.store.records.platform('a test counts').read(async ({ db }) => {
        const counts = [];
        for (const table of ['grants', 'refresh_tokens', 'endings', 'spent_values', 'events'] as const)
          counts.push((await db.selectFrom(table).selectAll().execute()).length);
        return counts;
      });
    const before = await count();
    await issuance.token(client, own);
    expect(await count()).toEqual(before);
  });

  it('that was changed in any character is not active', async () => {
    const token = (await issuance.token(client, own)).accessToken.reveal();
    for (const at of [5, 20, 32, 60, token.length - 1]) {
      const other = token[at] === 'A' ? 'B' : 'A';
      expect(await asked(server, token.slice(0, at) + other + token.slice(at + 1)), String(at)).toEqual({ active: false });
    }
    for (const text of ['gat_', `gat_${'0'.repeat(26)}_`, `${token}A`, token.slice(0, 80), `gat_${'z'.repeat(26)}${token.slice(30)}`])
      expect(await asked(server, text), text).toEqual({ active: false });
  });

  it('of a person ends with its grant, by itself, and by /revoke', async () => {
    const { accessToken, refreshToken } = await issuance.tokens(client, { resource: sealed, scope: 'things:read' });
    const refreshed = await issuance.token(client, { grant_type: 'refresh_token', refresh_token: refreshToken?.reveal() ?? '' });
    const [first, second] = [accessToken.reveal(), refreshed.accessToken.reveal()];
    await revoke(await issuance.add(), first);
    expect(await asked(server, first)).toMatchObject({ active: true, sub: issuance.session.user.id });
    await revoke(client, first);
    expect([await asked(server, first), (await asked(server, second)).active]).toEqual([{ active: false }, true]);
    await revoke(client, refreshed.refreshToken?.reveal() ?? '');
    expect(await asked(server, second)).toEqual({ active: false });
  });

  it('is not good a moment after its time', async () => {
    const fresh = await openIssuance();
    await register(draft(sealed, { tokenFormat: 'opaque' }), fresh);
    const holder = await fresh.add({ resources: [sealed] });
    const token = (await fresh.token(holder, own)).accessToken.reveal();
    await fresh.people.pass(15 * 60_000 - 1_000);
    expect((await asked(holder, token, fresh)).active).toBe(true);
    await fresh.people.pass(1_000);
    expect(await asked(holder, token, fresh)).toEqual({ active: false });
  });

  it('outlives the next key, and not the retirement of its own', async () => {
    const fresh = await openIssuance();
    await register(draft(sealed, { tokenFormat: 'opaque' }), fresh);
    const holder = await fresh.add({ resources: [sealed] });
    await fresh.token(holder, own);
    const store = await fresh.issuer.nextSigningKey(fresh.by, 'ES256');
    await fresh.people.store.records.in(fresh.by.organization).write(store);
    await fresh.people.pass(lives.keyLead - 1_000);
    const before = (await fresh.token(holder, own)).accessToken.reveal();
    await fresh.people.pass(1_000);
    const after = (await fresh.token(holder, own)).accessToken.reveal();
    expect(before.slice(0, 30)).not.toBe(after.slice(0, 30));
    expect([(await asked(holder, before, fresh)).active, (await asked(holder, after, fresh)).active]).toEqual([true, true]);
  });

  it('of one organization is nothing at another', async () => {
    const token = (await issuance.token(client, own)).accessToken.reveal();
    const other = await openIssuance();
    expect(await asked(await other.add({ protects: [sealed] }), token, other)).toEqual({ active: false });
  });
});

describe('the form of an access token', () => {
  it.each([
    ['https://rsa.example/', 'RS256'],
    [api, 'ES256'],
  ])('for %s is a JWT signed with %s', async (resource, alg) => {
    const { accessToken } = await issuance.token(client, { ...own, resource });
    expect(decodeProtectedHeader(accessToken.reveal())).toMatchObject({ typ: 'at+jwt', alg });
  });

  it('is one: resources that take different forms are asked for one at a time', async () => {
    expect(await faultOf(issuance.token(client, { ...own, resource: [api, sealed] }))).toBe('target_invalid');
    const both = { resource: [api, sealed], scope: 'things:read' };
    await expect(issuance.tokens(client, both)).rejects.toThrow();
    const { code, verifier } = await issuance.code(client, both);
    const redeemed = { grant_type: 'authorization_code', code, code_verifier: verifier, resource: sealed };
    expect((await issuance.token(client, redeemed)).accessToken.reveal()).toMatch(/^gat_/);
  });
});
