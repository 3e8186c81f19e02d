import { decodeJwt } from 'jose';
import { describe, expect, it } from 'vitest';
import { type Lives, lifeBounds, parseLives } from '#api';
import { basic, formOf, type Issuance, openIssuance, type Registered } from '../../test/support/issuing.ts';

const second = 1_000;

async function set(issuance: Issuance, lives: Lives): Promise<void> {
  const { people, issuer, by } = issuance;
  await people.store.records.in(by.organization).write((tx) => issuer.lifetimes.change(tx, by, lives));
}

/** How long the tokens of this client live now, in seconds. */
async function livesOf(issuance: Issuance, client: Registered) {
  const { accessToken, idToken, expiresAt } = await issuance.tokens(client, { scope: 'openid' });
  const span = (token: string) => {
    const { exp = 0, iat = 0 } = decodeJwt(token);
    return exp - iat;
  };
  expect(expiresAt - issuance.people.clock.now()).toBe(span(accessToken.reveal()) * second);
  return { access_token: span(accessToken.reveal()), id_token: span(idToken?.reveal() ?? '') };
}

describe('lives', () => {
  it('are the usual ones where nobody sets any', async () => {
    const issuance = await openIssuance();
    expect(await livesOf(issuance, await issuance.add())).toEqual({ access_token: 900, id_token: 3600 });
  });

  it('are those of the client, else of the organization, at once', async () => {
    const issuance = await openIssuance();
    const usual = await issuance.add();
    const own = await issuance.add({ lives: { access_token: 60 } });
    await set(issuance, { access_token: 1_800, id_token: 120 });
    expect(await livesOf(issuance, usual)).toEqual({ access_token: 1_800, id_token: 120 });
    expect(await livesOf(issuance, own)).toEqual({ access_token: 60, id_token: 120 });
    await set(issuance, {});
    expect(await livesOf(issuance, usual)).toEqual({ access_token: 900, id_token: 3600 });
  });

  it('never leave their bounds, whatever is stored', async () => {
    const issuance = await openIssuance();
    await set(issuance, { access_token: 1_000_000, id_token: 1 });
    const { access_token, id_token } = await livesOf(issuance, await issuance.add());
    expect([access_token, id_token]).toEqual([lifeBounds.access_token.most, lifeBounds.id_token.least]);
  });

  it('hold for codes, pushed requests and refresh tokens too', async () => {
    const issuance = await openIssuance();
    const { people, issuer, at } = issuance;
    const client = await issuance.add({ lives: { code: 10, pushed_request: 20, refresh_idle: 3_600, grant: 7_200 } });
    const asked = { response_type: 'code', client_id: client.id, code_challenge: 'c'.repeat(43), code_challenge_method: 'S256' };
    const pushed = await issuer.push(at, { parameters: formOf(asked), authorization: basic(client) }, '::1');
    expect(pushed.life).toBe(20 * second);
    const { code, verifier } = await issuance.code(client);
    await people.pass(10 * second);
    await expect(issuance.token(client, { grant_type: 'authorization_code', code, code_verifier: verifier })).rejects.toThrow();
    const { refreshToken } = await issuance.tokens(client);
    await people.pass(3_600 * second);
    await expect(issuance.token(client, { grant_type: 'refresh_token', refresh_token: refreshToken?.reveal() ?? '' })).rejects.toThrow();
  });

  it('stay refused for as long as a token may live, where they were ended', async () => {
    const issuance = await openIssuance();
    const client = await issuance.add({ lives: { access_token: lifeBounds.access_token.most } });
    const { accessToken } = await issuance.tokens(client);
    const [grant] = await issuance.issuer.grants(issuance.at.organization.id, issuance.session.user.id);
    if (grant === undefined) throw new Error('there is no grant');
    await issuance.issuer.endGrant(issuance.by, grant.id);
    await issuance.people.pass((lifeBounds.access_token.most - 1) * second);
    await issuance.issuer.sweep();
    expect(await issuance.active(client, accessToken.reveal())).toBe(false);
  });
});

describe('lives as they are written', () => {
  it('take s, m, h and d', () => {
    expect(parseLives(['access_token=30m', 'refresh-idle=30d', 'code=45s'])).toEqual({
      access_token: 1_800,
      refresh_idle: 2_592_000,
      code: 45,
    });
  });

  it.each(['access_token=30', 'access_token=25h', 'access_token=59s', 'unknown=1m', 'code=1d', ''])('refuse %s with a sentence', (text) => {
    expect(parseLives([text])).toEqual(expect.any(String));
  });
});
