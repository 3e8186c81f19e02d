import { decodeJwt } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { api, callback, faultOf, formOf, type Issuance, openIssuance } from '../../test/support/issuing.ts';
import type { ResourceDraft } from './contract.ts';

const mcp: ResourceDraft = {
  identifier: 'https://mcp.example/mcp',
  name: 'Our tools',
  scopes: [{ name: 'tools:read', tells: 'read your files' }],
  tokenFormat: 'jwt',
  algorithm: 'ES256',
  open: true,
};
let issuance: Issuance;

beforeAll(async () => {
  issuance = await openIssuance();
});

const add = (draft: ResourceDraft, into = issuance) =>
  into.people.store.records.in(into.by.organization).write((tx) => into.issuer.resources.add(tx, into.by, draft));

describe('a registered resource', () => {
  it('that is open may be asked for by every client, with its scopes', async () => {
    await add(mcp);
    const client = await issuance.add({ resources: [], scopes: ['openid'] });
    const answer = await issuance.tokens(client, { resource: mcp.identifier, scope: 'openid tools:read' });
    expect(answer.scopes).toEqual(['openid', 'tools:read']);
  });

  it('is described on the consent page in its own words, under its name', async () => {
    const client = await issuance.add({ resources: [], scopes: [] });
    const asked = {
      response_type: 'code',
      client_id: client.id,
      redirect_uri: callback,
      code_challenge: 'a'.repeat(43),
      code_challenge_method: 'S256',
      resource: mcp.identifier,
      scope: 'tools:read',
    };
    const browsing = { session: issuance.session, binding: 'b', address: '127.0.0.1' };
    const answer = await issuance.issuer.authorize(issuance.at, formOf(asked), browsing);
    expect(answer).toMatchObject({
      kind: 'consent',
      view: {
        scopes: [{ name: 'tools:read', tells: 'read your files' }],
        resources: [{ identifier: mcp.identifier, name: 'Our tools' }],
      },
    });
  });

  it('gives its scopes only with a token for it', async () => {
    const client = await issuance.add({ resources: [api], scopes: ['openid'] });
    await expect(issuance.code(client, { resource: api, scope: 'tools:read' })).rejects.toThrow('invalid_scope');
  });

  it('that is not open is for clients that name it, and others are told invalid_target', async () => {
    const identifier = 'https://internal.example/';
    await add({ ...mcp, identifier, open: false });
    const [stranger, known] = [await issuance.add({ resources: [] }), await issuance.add({ resources: [identifier] })];
    await expect(issuance.code(stranger, { resource: identifier })).rejects.toThrow('invalid_target');
    expect((await issuance.tokens(known, { resource: identifier })).refreshToken).toBeDefined();
  });

  it('is for a client itself only where it is registered for it', async () => {
    const client = await issuance.add({ resources: [] });
    const asked = { grant_type: 'client_credentials', resource: mcp.identifier };
    expect(await faultOf(issuance.token(client, asked))).toBe('target_invalid');
  });

  it('once removed has no new token, also of what was granted before; the grant goes on for others', async () => {
    const [gone, kept] = ['https://gone.example/', 'https://kept.example/'];
    const id = await add({ ...mcp, identifier: gone });
    const client = await issuance.add({ resources: [kept], scopes: ['openid'] });
    const tokens = (resource: string | readonly string[]) => issuance.tokens(client, { resource, scope: 'openid' });
    const [only, both] = [await tokens(gone), await tokens([gone, kept])];
    const { code, verifier } = await issuance.code(client, { resource: gone, scope: 'openid' });
    await issuance.issuer.resources.remove(issuance.by, id);
    const refresh = ({ refreshToken }: typeof only, more: Readonly<Record<string, string>> = {}) =>
      issuance.token(client, { grant_type: 'refresh_token', refresh_token: refreshToken?.reveal() ?? '', ...more });
    expect(await faultOf(refresh(only))).toBe('target_invalid');
    const redeemed = issuance.token(client, { grant_type: 'authorization_code', code, code_verifier: verifier });
    expect(await faultOf(redeemed)).toBe('target_invalid');
    expect(await faultOf(refresh(both, { resource: gone }))).toBe('target_invalid');
    expect(decodeJwt((await refresh(both)).accessToken.reveal()).aud).toBe(kept);
  });

  it('that nobody registered is an invalid_target', async () => {
    const client = await issuance.add({ resources: [] });
    await expect(issuance.code(client, { resource: 'https://unknown.example/' })).rejects.toThrow('invalid_target');
  });

  it('stands in the metadata where it is open, with its scopes', async () => {
    expect(await issuance.issuer.metadata(issuance.at)).toMatchObject({
      protected_resources: [mcp.identifier],
      scopes_supported: expect.arrayContaining(['openid', 'tools:read']),
    });
  });
});

describe('registering a resource', () => {
  it.each<[string, Partial<ResourceDraft>]>([
    ['an identifier with a fragment', { identifier: 'https://api.example/#x' }],
    ['an identifier that is no URI', { identifier: 'api' }],
    ['no name', { name: '' }],
    ['a scope with a meaning of its own', { scopes: [{ name: 'openid', tells: 'anything' }] }],
    ['a scope twice', { scopes: [...mcp.scopes, ...mcp.scopes] }],
    ['a scope that is two', { scopes: [{ name: 'a b', tells: 'x' }] }],
    ['a scope without words', { scopes: [{ name: 'a', tells: '' }] }],
    ['words that change direction', { scopes: [{ name: 'a', tells: 'read \u202e all' }] }],
  ])('is refused with %s', async (_, wrong) => {
    expect(await faultOf(add({ ...mcp, identifier: 'https://new.example/', ...wrong }))).toBe('resource_invalid');
  });

  it('is done by exactly one of many at once', async () => {
    const draft = { ...mcp, identifier: 'https://once.example/' };
    const told = await Promise.all(Array.from({ length: 10 }, () => faultOf(add(draft))));
    expect(told.filter((code) => code === undefined).length).toBe(1);
    expect(told.filter((code) => code === 'resource_invalid').length).toBe(9);
  });

  it('is changed by one of two who looked at the same version', async () => {
    const id = await add({ ...mcp, identifier: 'https://changing.example/' });
    const change = (name: string) =>
      issuance.people.store.records
        .in(issuance.by.organization)
        .write((tx) => issuance.issuer.resources.change(tx, issuance.by, id, 1, { ...mcp, identifier: 'https://changing.example/', name }));
    const told = await Promise.all([faultOf(change('One')), faultOf(change('Two'))]);
    expect(told.sort()).toEqual(['conflict', undefined]);
    expect((await issuance.issuer.resources.find(issuance.by.organization, id)).version).toBe(2);
  });

  it('is found by text, page by page, and gone once removed', async () => {
    const fresh = await openIssuance();
    const { resources } = fresh.issuer;
    for (const number of [1, 2, 3]) await add({ ...mcp, identifier: `https://paged-${number}.example/` }, fresh);
    await add({ ...mcp, identifier: 'https://apart.example/', name: 'Apart', scopes: [] }, fresh);
    const organization = fresh.by.organization;
    const one = await resources.list(organization, { text: 'PAGED', limit: 2 });
    const two = await resources.list(organization, { text: 'PAGED', limit: 2, ...(one.next === undefined ? {} : { cursor: one.next }) });
    expect([...one.items, ...two.items].map(({ identifier }) => identifier)).toEqual(
      [3, 2, 1].map((number) => `https://paged-${number}.example/`),
    );
    const [gone] = one.items;
    await resources.remove(fresh.by, gone?.id ?? '');
    expect(await faultOf(resources.find(organization, gone?.identifier ?? ''))).toBe('resource_unknown');
    expect(await faultOf(resources.remove(fresh.by, gone?.id ?? ''))).toBe('resource_unknown');
  });
});
