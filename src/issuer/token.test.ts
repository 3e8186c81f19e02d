import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { api, bearer, callback, faultOf, formOf, type Issuance, openIssuance, type Registered } from '../../test/support/issuing.ts';

let issuance: Issuance;
let client: Registered;

beforeAll(async () => {
  issuance = await openIssuance();
  client = await issuance.add();
});

async function verified(token: string) {
  const keys = createLocalJWKSet((await issuance.issuer.keySet(issuance.at)) as unknown as JSONWebKeySet);
  return (await jwtVerify(token, keys, { issuer: issuance.at.issuer, currentDate: new Date(issuance.people.clock.now()) })).payload;
}

describe('client credentials', () => {
  const asked = { grant_type: 'client_credentials', scope: 'things:read' };

  it('give an access token of RFC 9068 that jose verifies', async () => {
    const { accessToken, refreshToken, idToken } = await issuance.token(client, { ...asked, resource: api });
    expect(decodeProtectedHeader(accessToken.reveal())).toMatchObject({ typ: 'at+jwt', alg: 'ES256' });
    const claims = await verified(accessToken.reveal());
    expect(claims).toMatchObject({ aud: api, sub: client.id, client_id: client.id, scope: 'things:read' });
    expect([claims.exp, claims.iat, claims.jti].every((claim) => claim !== undefined)).toBe(true);
    expect([refreshToken, idToken]).toEqual([undefined, undefined]);
  });

  it('store no row', async () => {
    const count = async () => {
      const { records } = issuance.people.store;
      return records.platform('a test counts').read(async ({ db }) => {
        const counts = [];
        for (const table of ['grants', 'refresh_tokens', 'endings', 'spent_values', 'events'] as const)
          counts.push((await db.selectFrom(table).selectAll().execute()).length);
        return counts;
      });
    };
    const before = await count();
    await issuance.token(client, asked);
    expect(await count()).toEqual(before);
  });

  it('give no scope of a person, and none beyond what is registered', async () => {
    expect(await faultOf(issuance.token(client, { ...asked, scope: 'openid' }))).toBe('scope_invalid');
    expect(await faultOf(issuance.token(client, { ...asked, scope: 'things:delete' }))).toBe('scope_invalid');
    expect((await issuance.token(client, { grant_type: 'client_credentials' })).scopes).toEqual(['things:read', 'things:write']);
  });

  it('are for the resources that are registered, in the order asked for', async () => {
    const resource = ['https://other.example/', api];
    expect((await verified((await issuance.token(client, { ...asked, resource })).accessToken.reveal())).aud).toEqual(resource);
    for (const bad of ['https://evil.example/', 'not a uri', `${api}#fragment`])
      expect(await faultOf(issuance.token(client, { ...asked, resource: bad })), bad).toBe('target_invalid');
  });

  it('end with the client', async () => {
    const other = await issuance.add();
    const { accessToken } = await issuance.token(other, asked);
    expect(await issuance.active(other, accessToken.reveal())).toBe(true);
    await issuance.issuer.clients.remove(issuance.by, other.id);
    expect(await faultOf(issuance.token(other, asked))).toBe('client_unauthenticated');
  });

  it('are refused to a client that cannot prove who it is', async () => {
    expect(await faultOf(issuance.add({ authentication: 'none' }))).toBe('client_invalid');
  });
});

describe('an authorization code', () => {
  const redeemed = ({ code, verifier }: { code: string; verifier: string }) => ({
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: callback,
  });

  it('gives an ID token with nonce and at_hash, an access token and a refresh token', async () => {
    const answer = await issuance.tokens(client, { scope: 'openid email', nonce: 'n-1' });
    const id = await verified(answer.idToken?.reveal() ?? '');
    expect(id).toMatchObject({ aud: client.id, sub: issuance.session.user.id, nonce: 'n-1' });
    expect(id.at_hash).toMatch(/^[A-Za-z0-9_-]{22}$/);
    const access = await verified(answer.accessToken.reveal());
    expect(access).toMatchObject({ aud: issuance.at.issuer, client_id: client.id, scope: 'openid email' });
    const userinfo = await issuance.issuer.userinfo(issuance.at, bearer(answer.accessToken.reveal()));
    expect(userinfo).toEqual({ sub: issuance.session.user.id, email: 'ada@example.com' });
  });

  it('is redeemed by exactly one of many at once', async () => {
    const given = redeemed(await issuance.code(client));
    const answers = await Promise.allSettled(Array.from({ length: 20 }, () => issuance.token(client, given)));
    expect(answers.filter(({ status }) => status === 'fulfilled').length).toBe(1);
  });

  it('presented again ends what it made', async () => {
    const given = redeemed(await issuance.code(client));
    const { accessToken, refreshToken } = await issuance.token(client, given);
    expect(await issuance.active(client, accessToken.reveal())).toBe(true);
    expect(await faultOf(issuance.token(client, given))).toBe('grant_invalid');
    expect(await issuance.active(client, accessToken.reveal())).toBe(false);
    const refresh = { grant_type: 'refresh_token', refresh_token: refreshToken?.reveal() ?? '' };
    expect(await faultOf(issuance.token(client, refresh))).toBe('grant_invalid');
  });

  it.each([
    ['another verifier', { code_verifier: 'a'.repeat(43) }],
    ['no verifier', { code_verifier: '' }],
    ['another redirect URI', { redirect_uri: 'https://app.example/other' }],
  ])('is refused with %s, and spent', async (_, wrong) => {
    const given = redeemed(await issuance.code(client));
    expect(await faultOf(issuance.token(client, { ...given, ...wrong }))).toBe('grant_invalid');
    expect(await faultOf(issuance.token(client, given))).toBe('grant_invalid');
  });

  it('of one client is nothing to another', async () => {
    const given = redeemed(await issuance.code(client));
    expect(await faultOf(issuance.token(await issuance.add(), given))).toBe('grant_invalid');
  });

  it('lives for a minute', async () => {
    const given = redeemed(await issuance.code(client));
    await issuance.people.pass(60_000);
    expect(await faultOf(issuance.token(client, given))).toBe('grant_invalid');
  });

  it('narrows to a resource of those that were granted', async () => {
    const { code, verifier } = await issuance.code(client, { resource: api });
    const given = redeemed({ code, verifier });
    expect(await faultOf(issuance.token(client, { ...given, resource: 'https://other.example/' }))).toBe('target_invalid');
    const again = redeemed(await issuance.code(client, { resource: api }));
    const { accessToken } = await issuance.token(client, { ...again, resource: api });
    expect((await verified(accessToken.reveal())).aud).toBe(api);
    expect(await faultOf(issuance.issuer.userinfo(issuance.at, bearer(accessToken.reveal())))).toBe('access_token_invalid');
  });
});

describe('a refresh token', () => {
  const refresh = (token: string, more = {}) => ({ grant_type: 'refresh_token', refresh_token: token, ...more });
  const first = async () => (await issuance.tokens(client, { scope: 'openid things:read things:write' })).refreshToken?.reveal() ?? '';

  it('has one successor; whoever asks at once has the same answer', async () => {
    const token = await first();
    const answers = await Promise.all(Array.from({ length: 20 }, () => issuance.token(client, refresh(token))));
    expect(new Set(answers.map(({ refreshToken }) => refreshToken?.reveal())).size).toBe(1);
    expect(new Set(answers.map(({ accessToken }) => accessToken.reveal())).size).toBe(1);
  });

  it('gives the stored answer for 30 seconds, then ends the family', async () => {
    const token = await first();
    const { accessToken, refreshToken } = await issuance.token(client, refresh(token));
    await issuance.people.pass(29_000);
    expect((await issuance.token(client, refresh(token))).refreshToken?.reveal()).toBe(refreshToken?.reveal());
    expect(await issuance.active(client, accessToken.reveal())).toBe(true);
    await issuance.people.pass(1_000);
    expect(await faultOf(issuance.token(client, refresh(token)))).toBe('grant_invalid');
    expect(await issuance.active(client, accessToken.reveal())).toBe(false);
    expect(await faultOf(issuance.token(client, refresh(refreshToken?.reveal() ?? '')))).toBe('grant_invalid');
  });

  it('gives who asks for something else in those 30 seconds a token for that, with the same successor', async () => {
    const given = await issuance.tokens(client, { scope: 'openid things:read', resource: api });
    const again = refresh(given.refreshToken?.reveal() ?? '');
    const narrow = await issuance.token(client, { ...again, scope: 'things:read' });
    const whole = await issuance.token(client, again);
    expect([narrow.scopes, whole.scopes]).toEqual([['things:read'], ['openid', 'things:read']]);
    expect(whole.refreshToken?.reveal()).toBe(narrow.refreshToken?.reveal());
    expect(await faultOf(issuance.token(client, { ...again, scope: 'email' }))).toBe('scope_invalid');
    expect(await faultOf(issuance.token(client, { ...again, resource: 'https://other.example/' }))).toBe('target_invalid');
  });

  it('for one resource is never answered with a token for another', async () => {
    const both = [api, 'https://other.example/'];
    const token = (await issuance.tokens(client, { resource: both })).refreshToken?.reveal() ?? '';
    const answers = await Promise.all(both.map((resource) => issuance.token(client, refresh(token, { resource }))));
    const audiences = await Promise.all(answers.map(async ({ accessToken }) => (await verified(accessToken.reveal())).aud));
    expect(audiences).toEqual(both);
    expect(new Set(answers.map(({ refreshToken }) => refreshToken?.reveal())).size).toBe(1);
  });

  it('ends the family at once when its successor was used', async () => {
    const token = await first();
    const second = (await issuance.token(client, refresh(token))).refreshToken?.reveal() ?? '';
    const third = (await issuance.token(client, refresh(second))).refreshToken?.reveal() ?? '';
    expect(await faultOf(issuance.token(client, refresh(token)))).toBe('grant_invalid');
    expect(await faultOf(issuance.token(client, refresh(third)))).toBe('grant_invalid');
  });

  it('may narrow its scope, never widen, and the grant keeps what it has', async () => {
    const narrow = await issuance.token(client, refresh(await first(), { scope: 'things:read' }));
    expect(narrow.scopes).toEqual(['things:read']);
    const next = refresh(narrow.refreshToken?.reveal() ?? '');
    expect(await faultOf(issuance.token(client, { ...next, scope: 'email' }))).toBe('scope_invalid');
    expect((await issuance.token(client, next)).scopes).toEqual(['openid', 'things:read', 'things:write']);
  });

  it('dies of idleness, and with its grant however often it is used', async () => {
    const day = 24 * 3_600_000;
    const idle = await first();
    let used = await first();
    for (let week = 0; week < 12; week++) {
      await issuance.people.pass(7 * day);
      used = (await issuance.token(client, refresh(used))).refreshToken?.reveal() ?? '';
    }
    expect(await faultOf(issuance.token(client, refresh(idle)))).toBe('grant_invalid');
    await issuance.people.pass(6 * day);
    expect(await faultOf(issuance.token(client, refresh(used)))).toBe('grant_invalid');
  });

  it('of another client is refused, and no harm comes of it', async () => {
    const token = await openedAnew();
    expect(await faultOf(token.issuance.token(await token.issuance.add(), refresh(token.refresh)))).toBe('grant_invalid');
    expect((await token.issuance.token(token.client, refresh(token.refresh))).refreshToken).toBeDefined();
  });

  async function openedAnew() {
    const fresh = await openIssuance();
    const own = await fresh.add();
    return { issuance: fresh, client: own, refresh: (await fresh.tokens(own)).refreshToken?.reveal() ?? '' };
  }

  it('ends with its person, and so does the answer that is given again', async () => {
    const { issuance: fresh, client: own, refresh: token } = await openedAnew();
    const next = (await fresh.token(own, refresh(token))).refreshToken?.reveal() ?? '';
    await fresh.people.store.records.in(fresh.by.organization).write(async (tx) => {
      await tx.db.updateTable('users').set({ status: 'suspended', epoch: 2 }).where('id', '=', fresh.session.user.id).execute();
      await tx.bump('identity');
    });
    for (const given of [token, next]) expect(await faultOf(fresh.token(own, refresh(given)))).toBe('grant_invalid');
  });
});

describe('introspection and revocation', () => {
  let fresh: Issuance;
  let own: Registered;
  beforeAll(async () => {
    fresh = await openIssuance();
    own = await fresh.add();
  });
  const revoke = (client: Registered, token: string) =>
    fresh.issuer.revoke(fresh.at, {
      parameters: formOf({ token }),
      authorization: `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}`,
    });

  it('tell a stranger nothing, and the server of the resource all it needs', async () => {
    const { accessToken } = await fresh.tokens(own, { scope: 'things:read', resource: api });
    const stranger = await fresh.add();
    const server = await fresh.add({ grantTypes: [], redirectUris: [], resources: [], protects: [api] });
    expect(await fresh.active(stranger, accessToken.reveal())).toBe(false);
    expect(await fresh.active(server, accessToken.reveal())).toBe(true);
    expect(await fresh.active(own, `${accessToken.reveal().slice(0, -4)}AAAA`)).toBe(false);
  });

  it('end one access token, or with a refresh token the whole grant, and of others nothing', async () => {
    const answer = await fresh.tokens(own);
    const [access, refresh] = [answer.accessToken.reveal(), answer.refreshToken?.reveal() ?? ''];
    await revoke(await fresh.add(), access);
    await revoke(await fresh.add(), refresh);
    expect([await fresh.active(own, access), await fresh.active(own, refresh)]).toEqual([true, true]);
    await revoke(own, access);
    await revoke(own, access);
    expect([await fresh.active(own, access), await fresh.active(own, refresh)]).toEqual([false, true]);
    const next = await fresh.token(own, { grant_type: 'refresh_token', refresh_token: refresh });
    await revoke(own, next.refreshToken?.reveal() ?? '');
    expect(await fresh.active(own, next.accessToken.reveal())).toBe(false);
    await revoke(own, 'nonsense');
  });

  it('are refused, as everything is, by a server that cannot learn what ended', async () => {
    const { accessToken } = await fresh.token(own, { grant_type: 'client_credentials' });
    fresh.people.clock.advance(3_001);
    expect(await faultOf(fresh.active(own, accessToken.reveal()))).toBe('stale_revocations');
    expect(await faultOf(fresh.token(own, { grant_type: 'client_credentials' }))).toBe('stale_revocations');
    expect(await faultOf(fresh.issuer.userinfo(fresh.at, bearer(accessToken.reveal())))).toBe('stale_revocations');
    await fresh.people.pass(1);
    expect(await fresh.active(own, accessToken.reveal())).toBe(true);
  });

  it('refuse an access token whose organization has ended what was made before', async () => {
    const { accessToken } = await fresh.token(own, { grant_type: 'client_credentials' });
    await fresh.people.store.records.platform('a test resumes').write(async (tx) => {
      await tx.db.updateTable('organizations').set({ epoch: 2 }).execute();
      await tx.bump('identity');
    });
    const at = await fresh.issuer.at(undefined);
    const parameters = formOf({ token: accessToken.reveal() });
    const authorization = `Basic ${Buffer.from(`${own.id}:${own.secret}`).toString('base64')}`;
    expect(await fresh.issuer.introspect(at, { parameters, authorization })).toEqual({ active: false });
  });
});
