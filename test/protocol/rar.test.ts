import { beforeAll, describe, expect, test } from 'vitest';
import { type Authorizing, answerIn, claimsOf, openAuthorizing } from '../support/authorizing.ts';
import { api, basic, type Registered } from '../support/issuing.ts';
import { testIssuer } from '../support/people.ts';

const other = 'https://other.example/';
const payment = { type: 'payment', amount: 12.5, currency: 'EUR', actions: ['initiate', 'cancel'] };
let at: Authorizing;
let client: Registered;

beforeAll(async () => {
  at = await openAuthorizing();
  const { issuer, people } = at.serving;
  const by = at.person.session.principal;
  await people.store.records.in(by.organization).write(async (tx) => {
    await issuer.detailsTypes.add(tx, by, {
      type: 'payment',
      tells: 'pay from your account',
      fields: {
        amount: { kind: 'number', required: true, tells: 'Amount' },
        currency: { kind: 'text', required: true, values: ['EUR', 'CHF'], tells: 'Currency' },
        actions: { kind: 'texts', required: false, tells: 'Actions' },
        locations: { kind: 'texts', required: false, tells: 'Where' },
        once: { kind: 'boolean', required: false, tells: 'Once' },
      },
    });
    await issuer.detailsTypes.add(tx, by, { type: 'https://example.com/files', tells: 'read your files', fields: {} });
  });
  client = await at.add({ authorizationDetailsTypes: ['payment'] });
});

const details = (...all: readonly unknown[]) => ({ scope: 'openid', authorization_details: JSON.stringify(all) });
const leaves = async (more: Parameters<Authorizing['asked']>[1], by = client) =>
  answerIn(new URL(String((await at.open(at.asked(by, more))).headers.location)));
const granted = async (more: Parameters<Authorizing['asked']>[1], redeeming: Parameters<Authorizing['redeem']>[2] = {}) => {
  const to = await at.through(await at.open(at.asked(client, more)));
  return (await at.redeem(client, answerIn(to).code ?? '', redeeming)).json();
};
const token = (parameters: Parameters<Authorizing['form']>[1]) => at.form('/token', parameters, { authorization: basic(client) });

describe('authorization details (RFC 9396)', () => {
  test('stand in the token response, the access token and introspection (§7, §9)', async () => {
    const tokens = await granted(details(payment));
    expect(tokens.authorization_details).toEqual([payment]);
    expect(claimsOf(tokens.access_token).authorization_details).toEqual([payment]);
    const state = await at.form('/introspect', { token: String(tokens.access_token) }, { authorization: basic(client) });
    expect(state.json()).toMatchObject({ active: true, authorization_details: [payment] });
  });

  test('are shown to the person, in words, as text', async () => {
    const app = await at.add({ authorizationDetailsTypes: ['payment'] });
    const begun = await at.open(at.asked(app, details({ ...payment, actions: ['<b>all</b>'] })));
    const browser = String([begun.headers['set-cookie']].flat()[0]).split(';')[0];
    const page = await at.serving.send({ path: String(begun.headers.location), headers: { cookie: `${at.person.cookie}; ${browser}` } });
    for (const words of ['pay from your account', 'Amount', '12.5', 'EUR', '&lt;b&gt;all&lt;/b&gt;']) expect(page.text).toContain(words);
  });

  test('are asked for anew when they are others, and not when they are the same in another order', async () => {
    await granted(details(payment));
    const { actions, currency, amount, type } = payment;
    expect((await leaves({ ...details({ actions, currency, amount, type }), prompt: 'none' })).code).toBeDefined();
    expect((await leaves({ ...details({ ...payment, amount: 13 }), prompt: 'none' })).error).toBe('consent_required');
  });

  test.each([
    ['of an unknown type', { type: 'unknown' }],
    ['of no type', { amount: 1 }],
    ['of a type the client may not ask for (§10)', { type: 'https://example.com/files' }],
    ['with an unknown field', { ...payment, more: 1 }],
    ['with a field of another kind', { ...payment, amount: '12' }],
    ['with a value that is not one of those allowed', { ...payment, currency: 'USD' }],
    ['without a field that is required', { type: 'payment', amount: 1 }],
    ['with a field of every object', { ...payment, __proto__: null, constructor: 'x' }],
    ['that are no object', 'payment'],
  ])('%s are invalid_authorization_details (§5)', async (_, wrong) => {
    expect(await leaves(details(wrong))).toMatchObject({ error: 'invalid_authorization_details', iss: testIssuer });
    expect((await at.push(client, at.asked(client, details(wrong)))).json().error).toBe('invalid_authorization_details');
  });

  test.each(['x', '{}', '{"type":"payment"}', `[${'{},'.repeat(30)}{}]`])(
    'that are not an array of objects are refused: %.20s',
    async (text) => {
      expect((await leaves({ authorization_details: text })).error).toBe('invalid_authorization_details');
    },
  );

  test('go through a push and a redirect together (§4)', async () => {
    const request_uri = String((await at.push(client, at.asked(client, details(payment)))).json().request_uri);
    const to = await at.through(await at.open({ client_id: client.id, request_uri }));
    expect((await at.redeem(client, answerIn(to).code ?? '')).json().authorization_details).toEqual([payment]);
  });

  test('can be narrowed when the code is redeemed, and not widened (§6)', async () => {
    const less = { ...payment, actions: ['initiate'] };
    const narrowed = await granted(details(payment), { authorization_details: JSON.stringify([less]) });
    expect(narrowed.authorization_details).toEqual([less]);
    const wider = await granted(details(less), { authorization_details: JSON.stringify([payment]) });
    expect(wider.error).toBe('invalid_authorization_details');
  });

  test('can be narrowed by a refresh, for that token, and never widened (§6)', async () => {
    const { refresh_token } = await granted(details(payment));
    const less = { ...payment, actions: ['cancel'] };
    const refresh = (authorization_details: string | undefined, of: unknown) =>
      token({
        grant_type: 'refresh_token',
        refresh_token: String(of),
        ...(authorization_details === undefined ? {} : { authorization_details }),
      });
    for (const more of [
      { ...payment, amount: 99 },
      { ...payment, actions: [...payment.actions, 'refund'] },
      { ...payment, actions: [] },
    ]) {
      expect((await refresh(JSON.stringify([more]), refresh_token)).json().error).toBe('invalid_authorization_details');
    }
    const narrowed = (await refresh(JSON.stringify([less]), refresh_token)).json();
    expect(narrowed.authorization_details).toEqual([less]);
    const lost = (await refresh(JSON.stringify([less]), refresh_token)).json();
    expect(lost).toMatchObject({ access_token: narrowed.access_token, authorization_details: [less] });
    expect((await refresh(undefined, narrowed.refresh_token)).json().authorization_details).toEqual([payment]);
  });

  test('with locations go to the resources that they name alone (§9)', async () => {
    const here = { ...payment, locations: [api] };
    const there = { ...payment, locations: [other] };
    const tokens = await granted({ ...details(here, there), resource: [api, other] }, { resource: api });
    expect(claimsOf(tokens.access_token)).toMatchObject({ aud: api, authorization_details: [here] });
  });

  test('are had by a client for itself, within its types', async () => {
    const own = (one: unknown) => token({ grant_type: 'client_credentials', authorization_details: JSON.stringify([one]) });
    expect((await own(payment)).json().authorization_details).toEqual([payment]);
    expect((await own({ type: 'https://example.com/files' })).json().error).toBe('invalid_authorization_details');
  });

  test('have their types in the metadata (§10), and none is taken once its type is removed', async () => {
    const supported = async () =>
      (await at.serving.send({ path: '/.well-known/oauth-authorization-server' })).json().authorization_details_types_supported;
    expect(await supported()).toEqual(['payment', 'https://example.com/files']);
    await at.serving.issuer.detailsTypes.remove(at.person.session.principal, 'payment');
    expect(await supported()).toEqual(['https://example.com/files']);
    expect((await leaves(details(payment))).error).toBe('invalid_authorization_details');
  });
});

describe('a type of authorization details', () => {
  test.each([
    ['without words', { type: 'a', tells: '', fields: {} }],
    ['with a space in its name', { type: 'a b', tells: 'x', fields: {} }],
    ['with a field called type', { type: 'a', tells: 'x', fields: { type: { kind: 'text', required: false, tells: 'x' } } }],
    ['with a field of every object', { type: 'a', tells: 'x', fields: { constructor: { kind: 'text', required: false, tells: 'x' } } }],
  ] as const)('is refused %s', (_, type) => {
    expect(() => at.serving.issuer.detailsTypes.judge(type)).toThrow();
  });
});
