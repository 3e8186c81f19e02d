import { beforeAll, describe, expect, it } from 'vitest';
import { giveClient, localDefinition } from '../../../test/support/connecting.ts';
import { completeTestSetup, enrolTestAgent, testIssuer, testKeys, testPassword } from '../../../test/support/people.ts';
import { agentOf, openServing, post, type Received, type Serving, type SignedIn, signedIn } from '../../../test/support/serving.ts';

const nasty = `"><script>alert('x')</script><img src=x onerror=alert(1)>`;
const form = { 'content-type': 'application/x-www-form-urlencoded', origin: testIssuer, 'sec-fetch-site': 'same-origin' };

/** What of a page a browser would run: nothing. */
function inert(answer: Received): void {
  for (const [tag] of answer.text.matchAll(/<[a-z][^>]*>/gi)) {
    expect(tag.replace(/="[^"]*"/g, '=""')).not.toMatch(/^<(script|img|style|iframe|object|base)\b|\s(on\w+|style|srcdoc)=/i);
    expect(tag).not.toMatch(/ (href|action|src)="(?!\/|#|https?:)/i);
  }
  expect(answer.headers['content-security-policy']).toMatch(/default-src 'none'/);
  expect(answer.headers['content-security-policy']).not.toMatch(/script-src|unsafe/);
}

function cookieOf(answer: Received, name: string): string {
  const found = [answer.headers['set-cookie'] ?? []].flat().find((cookie) => cookie.startsWith(`${name}=`));
  return found?.split(';')[0] ?? '';
}

const tokenIn = (answer: Received) => /name="form_token" value="([^"]+)"/.exec(answer.text)?.[1] ?? '';

describe('setting up', () => {
  async function openLink(serving: Serving) {
    const { token } = await serving.people.signin.setupLink();
    const page = await serving.send({ path: `/setup?token=${token.reveal()}` });
    return { token: token.reveal(), page, cookie: cookieOf(page, '__Host-gatehouse_form'), formToken: tokenIn(page) };
  }

  it('shows a form and spends nothing; sending it makes the account and signs in', async () => {
    const serving = await openServing();
    const { token, page, cookie, formToken } = await openLink(serving);
    expect(page.status).toBe(200);
    const fields = { token, form_token: formToken, email: 'ada@example.com', name: nasty, password: 'plum orbit 94 lantern' };
    const send = () =>
      serving.send({ method: 'POST', path: '/setup', headers: { ...form, cookie }, body: new URLSearchParams(fields).toString() });
    const answers = await Promise.all([send(), send(), send()]);
    const [won] = answers.filter((answer) => answer.status === 303);
    expect(answers.filter((answer) => answer.status === 303)).toHaveLength(1);
    const session = [won?.headers['set-cookie'] ?? []].flat()[0] ?? '';
    expect(session).toMatch(/^__Host-gatehouse_session=[\w-]{43}; Path=\/; HttpOnly; Secure; SameSite=Lax/);
    const home = await serving.send({ path: '/', headers: { cookie: session.split(';')[0] } });
    expect(home.text).toContain('Hello, &quot;&gt;&lt;script&gt;');
    inert(home);
  });

  it('keeps what was typed when something is wrong, but not the password', async () => {
    const serving = await openServing();
    const { token, cookie, formToken } = await openLink(serving);
    const fields = { token, form_token: formToken, email: 'ada@example.com', name: nasty, password: 'password1234' };
    const answer = await serving.send({
      method: 'POST',
      path: '/setup',
      headers: { ...form, cookie },
      body: new URLSearchParams(fields).toString(),
    });
    expect(answer.status).toBe(400);
    expect(answer.text).toContain('value="ada@example.com"');
    expect(answer.text).not.toContain('password1234');
    expect(answer.text).toContain('aria-invalid="true"');
    inert(answer);
  });

  it('does not answer a link that was used, has ended or never was', async () => {
    const serving = await openServing();
    for (const token of ['', 'x', nasty]) {
      const answer = await serving.send({ path: `/setup?token=${encodeURIComponent(token)}` });
      expect(answer.status).toBe(410);
      expect(answer.text).toContain('gatehouse setup-link');
      inert(answer);
    }
  });
});

describe('signing in', () => {
  let serving: Serving;
  beforeAll(async () => {
    serving = await openServing();
    await completeTestSetup(serving.people);
  });

  async function signIn(fields: Record<string, string>, more: Record<string, string> = {}) {
    const page = await serving.send({ path: '/signin' });
    const cookie = [cookieOf(page, '__Host-gatehouse_form'), more.cookie ?? ''].filter((one) => one !== '').join('; ');
    const body = new URLSearchParams({ form_token: tokenIn(page), ...fields }).toString();
    return serving.send({ method: 'POST', path: '/signin', headers: { ...form, ...more, cookie }, body });
  }
  const right = { email: 'ada@example.com', password: testPassword.reveal() };

  it('goes on to where the person wanted, and to no other site', async () => {
    expect((await signIn({ ...right, next: '/claim' })).headers.location).toBe('/claim');
    for (const next of ['//evil.com', 'https://evil.com', '/\\evil.com', 'javascript:alert(1)']) {
      expect((await signIn({ ...right, next })).headers.location).toBe('/');
    }
  });

  it('gives a session of its own, and ends the one that was there', async () => {
    const first = cookieOf(await signIn(right), '__Host-gatehouse_session');
    const page = await serving.send({ path: '/signin', headers: { cookie: first } });
    expect(page.headers.location).toBe('/');
    const home = await serving.send({ path: '/', headers: { cookie: first } });
    const body = new URLSearchParams({ form_token: tokenIn(home), ...right }).toString();
    const second = cookieOf(
      await serving.send({ method: 'POST', path: '/signin', headers: { ...form, cookie: first }, body }),
      '__Host-gatehouse_session',
    );
    expect(second).not.toBe(first);
    expect((await serving.send({ path: '/', headers: { cookie: first } })).status).toBe(303);
    expect((await serving.send({ path: '/', headers: { cookie: second } })).status).toBe(200);
  });

  it('says the same for a wrong password and an unknown address', async () => {
    const wrong = await signIn({ ...right, password: 'wrong' });
    const unknown = await signIn({ ...right, email: 'eve@example.com' });
    const plain = (answer: Received) => answer.text.replace(/value="[^"]*"/g, '');
    expect([wrong.status, unknown.status]).toEqual([401, 401]);
    expect(plain(wrong)).toBe(plain(unknown));
  });

  it('escapes what it repeats', async () => {
    const answer = await signIn({ email: nasty, password: 'x', next: `/${nasty}` });
    expect(answer.text).toContain('&quot;&gt;&lt;script&gt;');
    inert(answer);
  });

  it('refuses a form without its token, with that of another visitor, or from another site', async () => {
    const body = new URLSearchParams({ ...right, form_token: tokenIn(await serving.send({ path: '/signin' })) }).toString();
    const other = cookieOf(await serving.send({ path: '/signin' }), '__Host-gatehouse_form');
    const refused = [
      { ...form },
      { ...form, cookie: other },
      { ...form, cookie: other, origin: 'https://evil.example' },
      { ...form, cookie: other, 'sec-fetch-site': 'cross-site' },
      { 'content-type': form['content-type'], cookie: other },
    ];
    for (const headers of refused) {
      const answer = await serving.send({ method: 'POST', path: '/signin', headers, body });
      expect([answer.status, answer.headers.location]).toEqual([403, undefined]);
    }
  });

  it('signs out by a form only', async () => {
    const cookie = cookieOf(await signIn(right), '__Host-gatehouse_session');
    const asked = await serving.send({ path: '/signout', headers: { cookie } });
    expect(asked.text).toContain('Sign out?');
    const answer = await post(serving, { cookie, token: tokenIn(asked) }, '/signout');
    expect(answer.headers['set-cookie']?.[0]).toContain('Max-Age=0');
    expect((await serving.send({ path: '/', headers: { cookie } })).status).toBe(303);
  });
});

describe('pages for people who are signed in', () => {
  let serving: Serving;
  let person: SignedIn;
  beforeAll(async () => {
    serving = await openServing();
    person = await signedIn(serving);
    const { organization } = person.user;
    const definition = localDefinition('https://login.local.test', {
      name: nasty.slice(0, 60),
      operations: [{ id: 'things.list', title: nasty, classes: ['read'], match: [{ methods: ['GET'], path: '/things' }] }],
    });
    await serving.people.store.records
      .in(organization)
      .write((tx) => serving.connect.registerProvider(tx, person.session.principal, definition));
  });
  const open = (path: string) => serving.send({ path, headers: { cookie: person.cookie } });
  const begin = (allow: { agent: string; allow: string }[] = [], name = 'default') =>
    serving.connect.begin(person.session.principal, { provider: 'local', name, flow: 'api_key', force: true, allow });

  it.each([
    '/',
    '/claim',
    '/confirmations',
    '/device',
    '/signout',
    '/confirm/x',
    '/connect/x',
    '/connect/callback?code=1&state=2',
    '/claim/x',
  ])('%s asks a stranger to sign in and comes back', async (path) => {
    const answer = await serving.send({ path });
    expect([answer.status, answer.headers.location]).toEqual([303, `/signin?next=${encodeURIComponent(path)}`]);
  });

  it.each([
    '/signout',
    '/claim',
    '/claim/x',
    '/confirm/x',
    '/device',
    '/device/approve',
    '/connect/x/key',
    '/connect/x/go',
    '/connect/x/allow',
    '/connections/x/accept',
  ])('POST %s is refused from another site and without its token', async (path) => {
    const cross = { cookie: person.cookie, ...form };
    for (const headers of [
      { ...cross, origin: 'https://evil.example' },
      { ...cross, 'sec-fetch-site': 'cross-site' },
      { ...cross, 'sec-fetch-site': 'same-site' },
      { cookie: person.cookie, 'content-type': form['content-type'] },
    ]) {
      const body = new URLSearchParams({ form_token: person.token }).toString();
      expect((await serving.send({ method: 'POST', path, headers, body })).status).toBe(403);
    }
    expect((await post(serving, { ...person, token: 'x' }, path)).status).toBe(403);
    expect((await post(serving, { ...person, token: '' }, path)).status).toBe(403);
  });

  it('repeats nothing of an address that leads nowhere', async () => {
    for (const path of [
      `/confirm/${encodeURIComponent(nasty)}`,
      `/claim/${encodeURIComponent(nasty)}`,
      `/connect/${encodeURIComponent(nasty)}`,
      `/done?what=${encodeURIComponent(nasty)}`,
    ]) {
      const answer = await open(path);
      expect(answer.text).not.toContain('alert');
      inert(answer);
    }
  });

  it('connects with a key: shows what is wrong without the key, then asks who may use it', async () => {
    const flow = await begin([{ agent: 'researcher', allow: 'write,read' }]);
    const shown = await open(`/connect/${flow.id}`);
    inert(shown);
    const wrong = await post(serving, person, `/connect/${flow.id}/key`, { field_api_key: 'nonsense-value' });
    expect(wrong.status).toBe(400);
    expect(wrong.text).toContain('What this provider gives out looks different: copy all of it, and nothing else.');
    expect(wrong.text).not.toContain('nonsense-value');
    const right = await post(serving, person, `/connect/${flow.id}/key`, { field_api_key: 'key-abcdef' });
    expect(right.headers.location).toBe(`/connect/${flow.id}/allow`);
    const asked = await open(`/connect/${flow.id}/allow`);
    expect(asked.text).toContain('gatehouse init\ngatehouse policy allow default local read');
    inert(asked);
  });

  it('gives what was chosen to whom it was chosen for, and nothing else', async () => {
    const { agent } = await agentOf(serving, person.user);
    const idle = await agentOf(serving, person.user, 'idle');
    const proposed = ['researcher', 'reasercher'].map((name) => ({ agent: name, allow: 'write,read' }));
    const flow = await begin(proposed);
    await post(serving, person, `/connect/${flow.id}/key`, { field_api_key: 'key-abcdef' });
    const asked = await open(`/connect/${flow.id}/allow`);
    expect(asked.text).toContain('asked for: write,read');
    expect(asked.text).toContain('asked for reasercher as well, but none of your agents is called that');
    expect(asked.text).toMatch(/<option value="read,write" selected>/);
    inert(asked);
    const empty = await post(serving, person, `/connect/${flow.id}/allow`, { [`reach_${agent.id}`]: 'custom' });
    expect(empty.text).toContain('Tick at least one operation');
    expect(empty.text).toContain('<details open>');
    const done = await post(serving, person, `/connect/${flow.id}/allow`, {
      [`reach_${agent.id}`]: 'custom',
      [`op_${agent.id}[]`]: 'things.list',
      [`more_${agent.id}`]: 'GET /other/**',
      [`reach_${idle.agent.id}`]: 'none',
      until: '1d',
    });
    expect(done.headers.location).toBe('/done?what=allowed');
    const { items } = await serving.policy.list(person.user.organization, { limit: 10 });
    expect(items).toMatchObject([
      {
        agent: agent.id,
        reach: { classes: [], operations: ['things.list'], patterns: [{ methods: ['GET'], path: '/other/**' }], everything: false },
        expiresAt: serving.people.clock.now() + 86_400_000,
      },
    ]);
  });

  it('calls nothing connected, and gives nothing, once the account was disconnected or its link has ended', async () => {
    const { agent } = await agentOf(serving, person.user, 'too-late');
    const flow = await begin([], 'ended');
    await post(serving, person, `/connect/${flow.id}/key`, { field_api_key: 'key-abcdef' });
    const { state } = (await serving.connect.flow(person.user.organization, flow.id)) ?? flow;
    if (state.kind !== 'connected') throw new Error(state.kind);
    await serving.connect.disconnect(person.session.principal, state.connection);
    const shown = await open(`/connect/${flow.id}/allow`);
    expect([shown.status, shown.text]).toEqual([410, expect.stringContaining('gatehouse login local --connection ended')]);
    expect((await post(serving, person, `/connect/${flow.id}/allow`, { [`reach_${agent.id}`]: 'read' })).status).toBe(410);
    expect((await serving.policy.list(person.user.organization, { agent: agent.id, limit: 10 })).items).toEqual([]);
    const gone = await open('/connect/flw_00000000000000000000000000');
    expect([gone.status, gone.text]).toEqual([410, expect.stringContaining('gatehouse login')]);
  });

  it('gives nothing to an agent that was claimed but never called theirs, until it is (SECURITY 22)', async () => {
    const keys = testKeys();
    const { identity } = serving.people;
    const agent = await enrolTestAgent(serving.people, keys, 'claimed-only');
    const offer = await identity.offerClaim(agent, nasty, '127.0.0.1');
    const typed = await post(serving, person, '/claim', { code: offer.code.reveal() });
    expect(typed.text).toContain(agent.thumbprint);
    inert(typed);
    expect((await open(`/claim/${agent.id}`)).text).toContain('Waiting for the terminal');
    const gone = await open('/claim/nobody');
    expect([gone.status, gone.text]).toEqual([410, expect.stringContaining('Start again there: gatehouse init')]);
    await identity.acceptClaim(agent);
    expect((await open(`/claim/${agent.id}`)).text).toContain('You claimed claimed-only');
    const flow = await begin([], 'other');
    await post(serving, person, `/connect/${flow.id}/key`, { field_api_key: 'key-abcdef' });
    const chosen = { [`reach_${agent.id}`]: 'read' };
    const refused = await post(serving, person, `/connect/${flow.id}/allow`, chosen);
    expect(refused.text).toContain('Say first that claimed-only is your agent');
    expect((await identity.agent(person.user.organization, agent.id))?.status).toBe('claimed');
    await post(serving, person, `/connect/${flow.id}/allow`, { ...chosen, [`mine_${agent.id}`]: 'yes' });
    expect((await identity.agent(person.user.organization, agent.id))?.status).toBe('active');
  });

  it('leads from a claimed agent to the question that the terminal waits with, and asks one only where none waits', async () => {
    const { identity } = serving.people;
    const agent = await enrolTestAgent(serving.people, testKeys(), 'asked-once');
    const offer = await identity.offerClaim(agent, 'laptop', '127.0.0.1');
    await post(serving, person, '/claim', { code: offer.code.reveal() });
    await identity.acceptClaim(agent);
    const asked = await serving.policy.ask(person.session.principal, 'agent.confirm', { agent: agent.id });
    const mine = () => post(serving, person, `/claim/${agent.id}`);
    expect((await mine()).headers.location).toBe(`/confirm/${asked.id}`);
    await post(serving, person, `/confirm/${asked.id}`, { answer: 'no' });
    const next = (await mine()).headers.location;
    expect(next).toMatch(/^\/confirm\/cnf_/);
    expect(next).not.toBe(`/confirm/${asked.id}`);
  });

  it('burns a claim code, and refuses a wrong one', async () => {
    const agent = await enrolTestAgent(serving.people, testKeys(), 'burned');
    const offer = await serving.people.identity.offerClaim(agent, 'laptop', '127.0.0.1');
    const code = offer.code.reveal();
    expect((await post(serving, person, '/claim', { code: nasty })).status).toBe(403);
    const answers = await Promise.all([1, 2, 3].map(() => post(serving, person, '/claim', { code })));
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1);
  });

  it('signs in a command line that shows its code', async () => {
    const { signin, organization } = serving.people;
    const offer = await signin.offerCommandLine(organization.id, nasty, '127.0.0.1');
    const shown = await post(serving, person, '/device', { code: offer.userCode });
    expect(shown.text).toContain('Sign in this command line?');
    inert(shown);
    expect(await signin.collectCommandLine(offer.deviceCode.reveal())).toBeUndefined();
    expect((await post(serving, person, '/device/approve', { code: offer.userCode })).headers.location).toBe('/done?what=command-line');
    await serving.people.pass(10_000);
    expect((await signin.collectCommandLine(offer.deviceCode.reveal()))?.session.kind).toBe('command_line');
  });

  it('sends the browser to the provider by a page, not by an answer to the form', async () => {
    const { principal } = person.session;
    await giveClient({ ...serving, by: principal }, 'local', { id: 'client', secret: undefined });
    const begun = await serving.connect.begin(principal, { provider: 'local', name: 'code', flow: 'pkce', force: false, allow: [] });
    const answer = await post(serving, person, `/connect/${begun.id}/go`);
    expect(answer.status).toBe(200);
    expect(answer.text).toMatch(/http-equiv="refresh" content="0;url=https:\/\/login\.local\.test\/authorize\?/);
    inert(answer);
  });

  it('does not take another session’s callback, nor a made-up one', async () => {
    for (const path of [
      '/connect/callback',
      '/connect/callback?code=x&state=y',
      `/connect/callback?error=access_denied&error_description=${encodeURIComponent(nasty)}`,
    ]) {
      const answer = await open(path);
      expect(answer.status).toBe(410);
      inert(answer);
    }
  });

  it('shows everything at home without running any of it', async () => inert(await open('/')));

  it('serves its stylesheet for as long as browsers like, and only that', async () => {
    const home = await open('/');
    const path = /href="(\/assets\/[^"]+\.css)"/.exec(home.text)?.[1] ?? '';
    const style = await serving.send({ path });
    expect([style.status, style.headers['content-type']]).toEqual([200, 'text/css; charset=utf-8']);
    expect(style.headers['cache-control']).toContain('immutable');
    expect((await serving.send({ path: '/assets/..%2f..%2fpackage.json' })).status).toBe(404);
  });
});
