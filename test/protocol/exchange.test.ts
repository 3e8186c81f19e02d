import { decodeJwt } from 'jose';
import * as client from 'openid-client';
import { beforeAll, describe, expect, it } from 'vitest';
import { api, draft, type Registered } from '../support/issuing.ts';
import { testPassword } from '../support/people.ts';
import { asClient, register, relyingParty } from '../support/relying.ts';
import { openServing, post, type Received, type Serving, type SignedIn, signedIn } from '../support/serving.ts';

const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange';
const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';
const other = 'https://other.example/';

let serving: Serving;
let person: SignedIn;
let app: Registered;
let server: Registered;
let stranger: Registered;

beforeAll(async () => {
  serving = await openServing();
  person = await signedIn(serving);
  const by = person.session.principal;
  const grantTypes = ['client_credentials', 'refresh_token', deviceGrant, exchangeGrant] as const;
  app = await register(serving, by, { grantTypes });
  server = await register(serving, by, { grantTypes: [exchangeGrant], protects: [api], resources: [other], scopes: ['things:read'] });
  stranger = await register(serving, by, { grantTypes: [exchangeGrant] });
});

type Asked = Readonly<Record<string, string | readonly string[]>>;

async function ownToken(more: Asked = {}): Promise<string> {
  const asked = { grant_type: 'client_credentials', scope: 'things:read things:write', resource: [api, other], ...more };
  return String((await asClient(serving, app, '/token', asked)).json().access_token);
}

/** Of a person, with the refresh token of the same grant. */
async function personsToken(): Promise<{ readonly access: string; readonly refresh: string }> {
  const asked = { scope: 'openid things:read things:write', resource: [api, other] };
  const { device_code, user_code } = (await asClient(serving, app, '/device_authorization', asked)).json();
  const page = await post(serving, person, '/device', { code: String(user_code) });
  const transaction = /name="transaction" value="([\w-]+)"/.exec(page.text)?.[1] ?? '';
  await post(serving, person, '/device/answer', { transaction, answer: 'yes', password: testPassword.reveal() });
  const tokens = (await asClient(serving, app, '/token', { grant_type: deviceGrant, device_code: String(device_code) })).json();
  return { access: String(tokens.access_token), refresh: String(tokens.refresh_token) };
}

function exchange(token: string, more: Asked = {}, as = app): Promise<Received> {
  const asked = { grant_type: exchangeGrant, subject_token: token, subject_token_type: accessTokenType };
  return asClient(serving, as, '/token', { ...asked, ...more });
}

const errorOf = (answer: Received) => [answer.status, answer.json().error];
const tokenOf = (answer: Received) => String(answer.json().access_token);
const active = async (token: string, as = app) => (await asClient(serving, as, '/introspect', { token })).json().active;

describe('openid-client', () => {
  it('exchanges an access token for one with less, and is told what kind it got (RFC 8693 §2.2.1)', async () => {
    const config = await relyingParty(serving, app);
    expect(config.serverMetadata().grant_types_supported).toContain(exchangeGrant);
    const answer = await client.genericGrantRequest(config, exchangeGrant, {
      subject_token: await ownToken(),
      subject_token_type: accessTokenType,
      requested_token_type: accessTokenType,
      scope: 'things:read',
      resource: api,
    });
    expect(answer).toMatchObject({ issued_token_type: accessTokenType, token_type: 'bearer', scope: 'things:read' });
    expect(decodeJwt(answer.access_token)).toMatchObject({ aud: api, scope: 'things:read', sub: app.id, client_id: app.id });
    expect((await client.tokenIntrospection(config, answer.access_token)).active).toBe(true);
  });
});

describe('an exchanged token', () => {
  it('keeps the person, and names nobody who acts for them', async () => {
    const { access } = await personsToken();
    const claims = decodeJwt(tokenOf(await exchange(access, { scope: 'things:read' })));
    expect(claims).toMatchObject({ sub: person.user.id, scope: 'things:read' });
    expect(claims.act).toBeUndefined();
  });

  it('lives no longer than the one it was made from', async () => {
    const token = await ownToken();
    await serving.people.pass(10 * 60_000);
    expect(decodeJwt(tokenOf(await exchange(token))).exp).toBe(decodeJwt(token).exp);
  });

  it('comes without a refresh token and without an ID token', async () => {
    const { access } = await personsToken();
    const answer = (await exchange(access)).json();
    expect([answer.refresh_token, answer.id_token]).toEqual([undefined, undefined]);
  });

  it('ends with the grant of the one it was made from, and its children with it', async () => {
    const { access, refresh } = await personsToken();
    const child = tokenOf(await exchange(access));
    const grandchild = tokenOf(await exchange(child, { scope: 'things:read' }));
    expect([await active(child), await active(grandchild)]).toEqual([true, true]);
    await asClient(serving, app, '/revoke', { token: refresh });
    expect([await active(child), await active(grandchild)]).toEqual([false, false]);
  });

  it('ends with the very token it was made from, also where that hangs on no grant', async () => {
    const token = await ownToken();
    const grandchild = tokenOf(await exchange(tokenOf(await exchange(token))));
    expect(await active(grandchild)).toBe(true);
    await asClient(serving, app, '/revoke', { token });
    expect(await active(grandchild)).toBe(false);
  });

  it('ends with the client whose token it was made from', async () => {
    const by = person.session.principal;
    const brief = await register(serving, by, { grantTypes: ['client_credentials'] });
    const asked = { grant_type: 'client_credentials', scope: 'things:read', resource: [api, other] };
    const token = tokenOf(await asClient(serving, brief, '/token', asked));
    const child = tokenOf(await exchange(token, { resource: other }, server));
    expect(await active(child, server)).toBe(true);
    await serving.issuer.clients.remove(by, brief.id);
    expect(await active(child, server)).toBe(false);
  });

  it('shows nobody what it hangs on', async () => {
    const child = tokenOf(await exchange(await ownToken()));
    const state = (await asClient(serving, app, '/introspect', { token: child })).json();
    for (const name of ['parents', 'parent_clients', 'grant_id', 'epochs']) expect(state[name], name).toBeUndefined();
  });
});

describe('an exchange only narrows', () => {
  it('refuses a scope that the subject token has not', async () => {
    const narrow = await ownToken({ scope: 'things:read' });
    expect(errorOf(await exchange(narrow, { scope: 'things:read things:write' }))).toEqual([400, 'invalid_scope']);
  });

  it('refuses a resource and an audience that the subject token is not for', async () => {
    const narrow = await ownToken({ resource: api });
    expect(errorOf(await exchange(narrow, { resource: other }))).toEqual([400, 'invalid_target']);
    expect(errorOf(await exchange(narrow, { audience: other }))).toEqual([400, 'invalid_target']);
    expect(errorOf(await exchange(narrow, { resource: api, audience: other }))).toEqual([400, 'invalid_target']);
  });

  it('takes several resources and audiences (RFC 8693 §2.1)', async () => {
    const { aud } = decodeJwt(tokenOf(await exchange(await ownToken(), { resource: other, audience: api })));
    expect(aud).toEqual([other, api]);
  });

  it('refuses to widen again what the same client has narrowed', async () => {
    const narrowed = tokenOf(await exchange(await ownToken(), { scope: 'things:read', resource: api }));
    expect(errorOf(await exchange(narrowed, { scope: 'things:write' }))).toEqual([400, 'invalid_scope']);
    expect(errorOf(await exchange(narrowed, { resource: other }))).toEqual([400, 'invalid_target']);
    expect(decodeJwt(tokenOf(await exchange(narrowed)))).toMatchObject({ scope: 'things:read', aud: api });
  });

  it('gives a resource server, of a token that it was shown, no more than it is registered for itself', async () => {
    const claims = decodeJwt(tokenOf(await exchange(await ownToken(), { resource: other }, server)));
    expect(claims).toMatchObject({ aud: other, scope: 'things:read', client_id: server.id, sub: app.id });
    expect(errorOf(await exchange(await ownToken(), { scope: 'things:write' }, server))).toEqual([400, 'invalid_scope']);
  });

  it('is not repeated without end', async () => {
    let answer = await exchange(await ownToken());
    for (let depth = 1; depth < 8; depth++) answer = await exchange(tokenOf(answer));
    expect(errorOf(await exchange(tokenOf(answer)))).toEqual([400, 'invalid_request']);
  });
});

describe('an exchange is refused', () => {
  it('where the client is not registered for it, or cannot prove who it is', async () => {
    const by = person.session.principal;
    const plain = await register(serving, by, { grantTypes: ['client_credentials'] });
    expect(errorOf(await exchange(await ownToken(), {}, plain))).toEqual([400, 'unauthorized_client']);
    await expect(register(serving, by, { ...draft, authentication: 'none', grantTypes: [exchangeGrant] })).rejects.toThrow();
  });

  it('of a token of somebody else, in the same words as of no token at all', async () => {
    const answers = [await exchange(await ownToken(), {}, stranger), await exchange('no-token', {}, stranger)];
    expect(answers.map(errorOf)).toEqual([400, 400].map((status) => [status, 'invalid_request']));
    expect(answers[0]?.text).toBe(answers[1]?.text);
  });

  it('of a token that has expired, was revoked, or is of another kind', async () => {
    const token = await ownToken();
    await asClient(serving, app, '/revoke', { token });
    expect(errorOf(await exchange(token))).toEqual([400, 'invalid_request']);
    const old = await ownToken();
    const { refresh } = await personsToken();
    expect(errorOf(await exchange(refresh))).toEqual([400, 'invalid_request']);
    await serving.people.pass(15 * 60_000);
    expect(errorOf(await exchange(old))).toEqual([400, 'invalid_request']);
  });

  it('of a person who was locked out', async () => {
    const { access } = await personsToken();
    const { records } = serving.people.store;
    const set = (status: 'active' | 'suspended') =>
      records.in(person.user.organization).write(async (tx) => {
        await tx.db.updateTable('users').set({ status }).where('id', '=', person.user.id).execute();
        await tx.bump('identity');
      });
    await set('suspended');
    expect(errorOf(await exchange(access))).toEqual([400, 'invalid_request']);
    await set('active');
  });

  it.each([
    ['an actor token', { actor_token: 'x', actor_token_type: accessTokenType }],
    ['an actor token type alone', { actor_token_type: accessTokenType }],
    ['another kind of token to be had', { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }],
    ['another kind of subject token', { subject_token_type: 'urn:ietf:params:oauth:token-type:id_token' }],
    ['no kind of subject token', { subject_token_type: '' }],
    ['no subject token', { subject_token: '' }],
  ])('with %s, and says why', async (_, more) => {
    const answer = await exchange(await ownToken(), more);
    expect(errorOf(answer)).toEqual([400, 'invalid_request']);
    expect(answer.json().error_description).toMatch(/Delegation|token_type|subject_token/);
  });
});
