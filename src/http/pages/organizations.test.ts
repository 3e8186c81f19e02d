import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Organization, User } from '#identity';
import { createPkce } from '#oauth';
import { basic, callback, draft, formOf, type Registered } from '../../../test/support/issuing.ts';
import { testIssuer, testPassword } from '../../../test/support/people.ts';
import { openServing, post, type Received, type Serving, type SignedIn, signedIn } from '../../../test/support/serving.ts';

let serving: Serving;
let ours: SignedIn;
let acme: Organization;
let eve: User;
let client: Registered;

beforeAll(async () => {
  serving = await openServing();
  ours = await signedIn(serving);
  const { identity, signin, store } = serving.people;
  acme = await identity.createOrganization({ slug: 'acme', name: 'Acme' });
  const passwordHash = await signin.hashPassword(testPassword);
  const user = { organization: acme.id, email: 'eve@acme.example', name: 'Eve', role: 'owner', passwordHash } as const;
  eve = await store.records.in(acme.id).write((tx) => identity.createUser(tx, user));
  client = await register(acme.id, eve);
});

async function register(organization: Organization['id'], { id: person }: User): Promise<Registered> {
  const secret = 's'.repeat(42) + organization.at(-1);
  const secretHash = createHash('sha256').update(secret).digest('hex');
  const by = { organization, subject: { kind: 'user', id: person }, actors: [] } as const;
  const id = await serving.people.store.records
    .in(organization)
    .write((tx) => serving.issuer.clients.add(tx, by, { ...draft, secretHash }));
  return { id, secret };
}

/** The cookies that an answer sets, as the browser sends them back. */
function cookiesOf(answer: Received): string {
  return [answer.headers['set-cookie'] ?? []]
    .flat()
    .map((cookie) => cookie.split(';', 1)[0])
    .join('; ');
}

const tokenIn = (page: Received) => /name="form_token" value="([^"]+)"/.exec(page.text)?.[1] ?? '';

/** Signs in at an address; what the browser holds afterwards. */
async function signIn(prefix: string, email: string): Promise<{ readonly answer: Received; readonly cookie: string }> {
  const page = await serving.send({ path: `${prefix}/signin` });
  const cookie = cookiesOf(page);
  const answer = await post(serving, { cookie, token: tokenIn(page) }, `${prefix}/signin`, { email, password: testPassword.reveal() });
  return { answer, cookie: cookiesOf(answer) };
}

describe('an organization at its own address', () => {
  it('signs its people in, with a cookie that is its own', async () => {
    const { answer, cookie } = await signIn('/o/acme', eve.email);
    expect([answer.status, answer.headers.location]).toEqual([303, '/o/acme/']);
    expect(cookie).toMatch(/^__Host-gatehouse_session\.acme=[\w-]{43}$/);
  });

  it('knows nobody of another, whatever the password', async () => {
    expect((await signIn('/o/acme', ours.user.email)).answer.status).toBe(401);
    expect((await signIn('', eve.email)).answer.status).toBe(401);
  });

  it('takes no session of another, under either name', async () => {
    const { cookie } = await signIn('/o/acme', eve.email);
    const bearer = cookie.split('=')[1];
    const own = ours.cookie.split('=')[1];
    const whoami = (path: string, sent: string) => serving.send({ path, headers: { cookie: sent } });
    expect((await whoami('/o/acme/v1/whoami', cookie)).json()).toMatchObject({ organization: { slug: 'acme' }, user: { id: eve.id } });
    for (const [path, sent] of [
      ['/v1/whoami', cookie],
      ['/v1/whoami', `__Host-gatehouse_session=${bearer}`],
      ['/o/acme/v1/whoami', ours.cookie],
      ['/o/acme/v1/whoami', `__Host-gatehouse_session.acme=${own}`],
    ] as const)
      expect((await whoami(path, sent)).status, `${path} ${sent}`).toBe(401);
    for (const path of ['/v1/whoami', '/o/acme/v1/whoami']) {
      const sent = path.startsWith('/o') ? own : bearer;
      expect((await serving.send({ path, headers: { authorization: `Bearer ${sent}` } })).status).toBe(401);
    }
  });

  it('has no page and no call of the management contract beside those for people and the issuer', async () => {
    const { cookie } = await signIn('/o/acme', eve.email);
    for (const path of ['/v1/agents', '/v1/connections', '/v1/keys', '/v1/runs', '/v1/setup-link', '/claim', '/setup', '/connections'])
      expect((await serving.send({ path: `/o/acme${path}`, headers: { cookie } })).status, path).toBe(404);
    expect((await serving.send({ path: '/o/nobody/signin', headers: { accept: 'text/html' } })).status).toBe(404);
    expect((await serving.send({ path: '/o/default/signin', headers: { accept: 'text/html' } })).status).toBe(404);
  });

  it('gives a code to its own client, through its own pages, and tokens with its own issuer', async () => {
    const { challenge, verifier } = createPkce();
    const query = formOf({
      response_type: 'code',
      client_id: client.id,
      redirect_uri: callback,
      scope: 'openid email',
      state: 'there and back',
      code_challenge: challenge,
      code_challenge_method: 'S256',
    });
    const begun = await serving.send({ path: `/o/acme/authorize?${query}` });
    expect(begun.headers.location).toMatch(/^\/o\/acme\/signin\?next=/);
    const browser = cookiesOf(begun);
    const page = await serving.send({ path: String(begun.headers.location), headers: { cookie: browser } });
    expect(page.text).toContain('to go on to The App');
    const next = decodeURIComponent(/next=([^&]+)/.exec(String(begun.headers.location))?.[1] ?? '');
    const held = `${browser}; ${cookiesOf(page)}`;
    const given = { next, email: eve.email, password: testPassword.reveal() };
    const signed = await post(serving, { cookie: held, token: tokenIn(page) }, '/o/acme/signin', given);
    const cookie = `${browser}; ${cookiesOf(signed)}`;
    const consent = await serving.send({ path: String(signed.headers.location), headers: { cookie } });
    expect(consent.text).toContain('action="/o/acme/authorize/answer"');
    const transaction = /name="transaction" value="([^"]+)"/.exec(consent.text)?.[1] ?? '';
    const elsewhere = await post(serving, ours, '/authorize/answer', { transaction, answer: 'yes' });
    expect(elsewhere.status).toBe(410);
    const answered = await post(serving, { cookie, token: tokenIn(consent) }, '/o/acme/authorize/answer', { transaction, answer: 'yes' });
    const back = new URL(String(answered.headers.location));
    expect(back.searchParams.get('iss')).toBe(`${testIssuer}/o/acme`);
    const redeem = (path: string) =>
      serving.send({
        method: 'POST',
        path,
        headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: basic(client) },
        body: formOf({ grant_type: 'authorization_code', code: back.searchParams.get('code') ?? '', code_verifier: verifier.reveal() }),
      });
    expect((await redeem('/token')).json().error).toBe('invalid_client');
    const tokens = (await redeem('/o/acme/token')).json();
    const claims = JSON.parse(Buffer.from(String(tokens.id_token).split('.')[1] ?? '', 'base64url').toString());
    expect(claims).toMatchObject({ iss: `${testIssuer}/o/acme`, sub: eve.id, aud: client.id });
    const userinfo = (path: string) => serving.send({ path, headers: { authorization: `Bearer ${String(tokens.access_token)}` } });
    expect((await userinfo('/o/acme/userinfo')).json()).toMatchObject({ sub: eve.id, email: eve.email });
    expect((await userinfo('/userinfo')).status).toBe(401);
  });
});
