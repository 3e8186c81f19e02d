import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Authorizing, answerIn, openAuthorizing } from '../support/authorizing.ts';
import { formOf, type Registered } from '../support/issuing.ts';
import { testIssuer } from '../support/people.ts';
import { post, type Received } from '../support/serving.ts';

let at: Authorizing;
let client: Registered;

beforeAll(async () => {
  at = await openAuthorizing();
  client = await at.add();
});

const leaves = async (more: Parameters<Authorizing['asked']>[1], by = client) =>
  new URL(String((await at.open(at.asked(by, more))).headers.location));

/** The members of a form that posts itself. */
function membersOf({ text }: Received): Readonly<Record<string, string>> {
  const inputs = [...text.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)">/g)];
  return Object.fromEntries(inputs.map(([, name, value]) => [name, value] as [string, string]));
}

describe('the response mode', () => {
  test('is query without the parameter, and with it, and every answer names the issuer (RFC 9207 §2)', async () => {
    for (const more of [{}, { response_mode: 'query' }]) {
      const to = await at.through(await at.open(at.asked(client, { scope: 'openid', ...more })));
      expect(answerIn(to)).toEqual({ code: expect.any(String), state: 'a b', iss: testIssuer });
    }
    expect(answerIn(await leaves({ scope: 'everything' }))).toMatchObject({ error: 'invalid_scope', iss: testIssuer });
  });

  test('form_post is a form that posts itself, with a button for who runs no scripts, and a policy that lets only that through', async () => {
    await at.through(await at.open(at.asked(client, { scope: 'openid' })));
    const page = await at.open(at.asked(client, { scope: 'openid', response_mode: 'form_post', state: '"><script>alert(1)</script>' }));
    expect([page.status, page.headers['cache-control']]).toEqual([200, 'no-store']);
    expect(page.text).toContain('<form id="answer" method="post" action="https://app.example/callback">');
    expect(page.text).toContain('<button>Go on</button>');
    expect(membersOf(page)).toMatchObject({ code: expect.any(String), iss: testIssuer });
    expect(page.text).not.toContain('<script>alert');
    const [, script = ''] = /<script>(.*?)<\/script>/.exec(page.text) ?? [];
    const policy = String(page.headers['content-security-policy']);
    expect(policy).toContain(`script-src 'sha256-${createHash('sha256').update(script).digest('base64')}';`);
    expect(policy).toContain("form-action https:; frame-ancestors 'none'");
    expect((await at.redeem(client, membersOf(page).code ?? '')).status).toBe(200);
  });

  test('form_post holds for errors too', async () => {
    const page = await at.open(at.asked(client, { scope: 'everything', response_mode: 'form_post' }));
    expect(membersOf(page)).toMatchObject({ error: 'invalid_scope', state: 'a b', iss: testIssuer });
  });

  test('form_post is kept through consent', async () => {
    const app = await at.add();
    const begun = await at.open(at.asked(app, { scope: 'openid', response_mode: 'form_post' }));
    const browser = String([begun.headers['set-cookie']].flat()[0]).split(';')[0];
    const transaction = String(begun.headers.location).split('transaction=')[1] ?? '';
    const cookie = `${at.person.cookie}; ${browser}`;
    const said = await post(at.serving, { ...at.person, cookie }, '/authorize/answer', { transaction, answer: 'yes' });
    expect([said.status, Object.keys(membersOf(said))]).toEqual([200, ['code', 'state', 'iss']]);
  });

  test.each(['fragment', 'web_message', 'jwt'])('%s is refused with an error that says what is taken', async (response_mode) => {
    const answer = answerIn(await leaves({ response_mode }));
    expect(answer).toMatchObject({ error: 'invalid_request', iss: testIssuer });
    expect(answer.error_description).toContain('query or form_post');
    expect(String((await at.push(client, at.asked(client, { response_mode }))).json().error)).toBe('invalid_request');
  });

  test('form_post is refused where no web server listens', async () => {
    const app = await at.add({ redirectUris: ['com.example.app:/back'] });
    const to = await leaves({ response_mode: 'form_post', redirect_uri: 'com.example.app:/back' }, app);
    expect(answerIn(to)).toMatchObject({ error: 'invalid_request' });
  });

  test('and every other way are in the metadata', async () => {
    const metadata = (await at.serving.send({ path: '/.well-known/openid-configuration' })).json();
    expect(metadata).toMatchObject({ response_modes_supported: ['query', 'form_post'], response_types_supported: ['code'] });
  });
});

describe('the method', () => {
  const posted = (body: string, headers: Readonly<Record<string, string>> = {}) =>
    at.serving.send({
      method: 'POST',
      path: '/authorize',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        origin: 'https://app.example',
        'sec-fetch-site': 'cross-site',
        ...headers,
      },
      body,
    });

  test('POST from the site of a client goes on by GET, in whose browser the person is known (OpenID Connect Core §3.1.2.1)', async () => {
    const large = { scope: 'openid', unknown: 'x'.repeat(20_000) };
    const begun = await posted(formOf(at.asked(client, large)));
    const place = String(begun.headers.location);
    expect([begun.status, place.length < 300]).toEqual([303, true]);
    const to = await at.through(await at.serving.send({ path: place, headers: { cookie: at.person.cookie } }));
    expect(answerIn(to)).toMatchObject({ code: expect.any(String), state: 'a b', iss: testIssuer });
    expect((await at.serving.send({ path: place, headers: { cookie: at.person.cookie } })).status).toBe(400);
  });

  test('POST carries a pushed request, and does not count as one', async () => {
    const strict = await at.add({ requirePushedAuthorizationRequests: true });
    const request_uri = String((await at.push(strict, at.asked(strict))).json().request_uri);
    const begun = await posted(formOf({ client_id: strict.id, request_uri }));
    expect(
      answerIn(await at.through(await at.open(Object.fromEntries(new URLSearchParams(String(begun.headers.location).split('?')[1]))))),
    ).toMatchObject({
      code: expect.any(String),
    });
    const bare = await posted(formOf(at.asked(strict)));
    const refused = await at.serving.send({ path: String(bare.headers.location), headers: { cookie: at.person.cookie } });
    expect(answerIn(new URL(String(refused.headers.location)))).toMatchObject({ error: 'invalid_request' });
  });

  test('POST of an unknown client, or of no form, ends on a page of ours', async () => {
    expect((await posted(formOf({ client_id: 'nobody' }))).status).toBe(400);
    expect((await posted('{}', { 'content-type': 'application/json' })).status).toBe(415);
  });

  test('POST to the other steps stays refused from other sites', async () => {
    const answer = await at.serving.send({
      method: 'POST',
      path: '/authorize/answer',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: 'https://app.example', cookie: at.person.cookie },
      body: formOf({ transaction: 'x', answer: 'yes' }),
    });
    expect(answer.status).toBe(403);
  });

  test('HEAD does nothing: what it is sent to is still good', async () => {
    const request_uri = String((await at.push(client, at.asked(client))).json().request_uri);
    const path = `/authorize?${formOf({ client_id: client.id, request_uri })}`;
    const looked = await at.serving.send({ method: 'HEAD', path });
    expect([looked.status, looked.headers.location, looked.headers['set-cookie']]).toEqual([200, undefined, undefined]);
    expect((await at.serving.send({ path, headers: { cookie: at.person.cookie } })).status).toBe(303);
  });
});
