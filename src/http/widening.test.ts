import { beforeAll, describe, expect, it } from 'vitest';
import { type Route, type RouteName, routes } from '#api';
import { newId } from '#kernel';
import { localDefinition } from '../../test/support/connecting.ts';
import { createTestUser, testPassword } from '../../test/support/people.ts';
import {
  type ActiveAgent,
  agentOf,
  openServing,
  post,
  type Received,
  type Serving,
  type SignedIn,
  signedIn,
} from '../../test/support/serving.ts';

let serving: Serving;
let person: SignedIn;
let worker: ActiveAgent;

beforeAll(async () => {
  serving = await openServing();
  person = await signedIn(serving);
  worker = await agentOf(serving, person.user);
});

/** What the owner's command line asks for, over the local socket. */
function ask(method: string, path: string, body: object = {}): Promise<Received> {
  return serving.send({ method, path, local: true, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}

const reading = { classes: ['read'], operations: [], patterns: [], everything: false };

async function parked(answer: Promise<Received>): Promise<{ readonly id: string; readonly page: string }> {
  const { status, json } = await answer;
  const { id, url } = json() as { id: string; url: string };
  expect([status, url]).toEqual([202, `https://gatehouse.example/confirm/${id}`]);
  return { id, page: `/confirm/${id}` };
}

const statusOf = async (id: string) => (await ask('GET', `/v1/confirmations/${id}`)).json();
const permissions = async () => (await ask('GET', '/v1/permissions')).json().items as { id: string; effect: string }[];

describe('a command line never widens (SECURITY 4)', () => {
  it('asks for a permission and gets a page to open; the person’s yes gives it, once', async () => {
    const { id, page } = await parked(ask('POST', '/v1/permissions', { agent: 'researcher', provider: 'github', reach: reading }));
    expect(await permissions()).toEqual([]);
    expect((await serving.send({ path: page })).headers.location).toBe(`/signin?next=${encodeURIComponent(page)}`);
    const shown = await serving.send({ path: page, headers: { cookie: person.cookie } });
    expect(shown.text).toContain('Let researcher use every account at GitHub?');
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(serving, person, page, { answer: 'yes' })));
    expect(answers.map((answer) => answer.status).sort()).toEqual([303, ...Array.from({ length: 7 }, () => 410)]);
    const [given, ...more] = await permissions();
    expect(more).toEqual([]);
    expect(await statusOf(id)).toMatchObject({ status: 'confirmed', result: { permission: given?.id } });
  });

  it('takes no for an answer, for good', async () => {
    const before = await permissions();
    const { id, page } = await parked(ask('POST', '/v1/permissions', { agent: 'researcher', provider: 'gitlab', reach: reading }));
    expect((await post(serving, person, page, { answer: 'no' })).headers.location).toBe('/done?what=refused');
    expect((await post(serving, person, page, { answer: 'yes' })).status).toBe(410);
    expect(await statusOf(id)).toMatchObject({ status: 'refused' });
    expect(await permissions()).toEqual(before);
  });

  it('denies at once, and asks before it takes a deny back', async () => {
    const denied = await ask('POST', '/v1/permissions', { effect: 'deny', agent: 'researcher', provider: 'github', reach: reading });
    expect(denied.status).toBe(201);
    const path = `/v1/permissions/${String(denied.json().id)}`;
    const { page } = await parked(ask('DELETE', path));
    const shown = await serving.send({ path: page, headers: { cookie: person.cookie } });
    for (const named of ['researcher', 'every account at GitHub', '<dd>read</dd>']) expect(shown.text).toContain(named);
    expect((await permissions()).some(({ effect }) => effect === 'deny')).toBe(true);
    await post(serving, person, page, { answer: 'yes' });
    expect((await permissions()).some(({ effect }) => effect === 'deny')).toBe(false);
  });

  it('ends an allow at once', async () => {
    const [given] = await permissions();
    expect((await ask('DELETE', `/v1/permissions/${given?.id}`)).json()).toMatchObject({ id: given?.id, ended_at: expect.any(Number) });
    expect(await permissions()).toEqual([]);
  });

  it.each([
    ['POST', '/v1/agents/researcher/confirm', {}, 'agent.confirm'],
    ['POST', '/v1/agents/researcher/reactivate', {}, 'agent.reactivate'],
    ['POST', '/v1/keys', {}, 'key.add'],
    ['POST', '/v1/keys/rotate', { compromised: true }, 'key.rotate'],
    ['POST', '/v1/providers', { definition: localDefinition('https://login.local.test') }, 'provider.register'],
    ['PUT', '/v1/providers/github/client', { client_id: 'ours', client_secret: 'canary' }, 'provider.client'],
  ] as const)('%s %s waits for a person', async (method, path, body, kind) => {
    const { id } = await parked(ask(method, path, body));
    expect(await statusOf(id)).toMatchObject({ kind, status: 'open' });
  });

  it('stores an OAuth client only after a yes that names it, and shows its secret nowhere', async () => {
    const { page, id } = await parked(ask('PUT', '/v1/providers/gitlab/client', { client_id: 'ours', client_secret: 'canary' }));
    const hasClient = async () => (await ask('GET', '/v1/providers/gitlab')).json().has_client;
    const shown = await serving.send({ path: page, headers: { cookie: person.cookie } });
    expect(shown.text).toContain('Sign in at GitLab as the client ours?');
    expect(shown.text + JSON.stringify(await statusOf(id))).not.toContain('canary');
    expect(await hasClient()).toBe(false);
    await post(serving, person, page, { answer: 'yes' });
    expect(await hasClient()).toBe(true);
    const again = await parked(ask('PUT', '/v1/providers/gitlab/client', { client_id: 'theirs' }));
    expect((await serving.send({ path: again.page, headers: { cookie: person.cookie } })).text).toContain('takes the place of the client');
    await serving.people.pass(21 * 60_000);
    expect((await post(serving, person, again.page, { answer: 'yes', password: testPassword.reveal() })).status).toBe(410);
  });

  it('suspends at once, and works again only after a yes', async () => {
    expect((await ask('POST', '/v1/agents/researcher/suspend')).json()).toMatchObject({ status: 'suspended' });
    const { page } = await parked(ask('POST', '/v1/agents/researcher/reactivate'));
    await post(serving, person, page, { answer: 'yes' });
    expect((await ask('GET', '/v1/agents/researcher')).json()).toMatchObject({ status: 'active' });
  });

  it('connects with a key that is used only after a yes, shares only after a yes, and stops sharing at once', async () => {
    const definition = localDefinition('https://login.local.test', { id: 'shared' });
    await serving.people.store.records
      .in(person.user.organization)
      .write((tx) => serving.connect.registerProvider(tx, person.session.principal, definition));
    const flow = (await ask('POST', '/v1/flows', { provider: 'shared', flow: 'api_key' })).json();
    const done = await ask('POST', `/v1/flows/${String(flow.id)}/key`, { fields: { api_key: 'key-abcdef' } });
    expect(done.json()).toMatchObject({ state: { kind: 'connected' } });
    expect(done.text).not.toContain('key-abcdef');
    const standing = async () => (await ask('GET', '/v1/connections/shared%2Fdefault')).json().status;
    expect(await standing()).toMatchObject({ kind: 'needs_attention', reason: 'unconfirmed' });
    const asked = await parked(ask('POST', '/v1/flows/confirm', { flows: [flow.id] }));
    expect((await serving.send({ path: asked.page, headers: { cookie: person.cookie } })).text).toContain('Use shared/default?');
    await post(serving, person, asked.page, { answer: 'yes' });
    expect(await standing()).toMatchObject({ kind: 'connected' });
    const { page } = await parked(ask('POST', '/v1/connections/shared%2Fdefault/share', { shared: true }));
    await post(serving, person, page, { answer: 'yes' });
    expect((await ask('GET', '/v1/connections/shared%2Fdefault')).json()).toMatchObject({ shared: true });
    expect((await ask('POST', '/v1/connections/shared%2Fdefault/share', { shared: false })).json()).toMatchObject({ shared: false });
    const preview = await ask('DELETE', '/v1/connections/shared%2Fdefault?preview=true');
    expect(preview.json()).toMatchObject({ revoked_upstream: 'preview', connection: { status: { kind: 'connected' } } });
    expect((await ask('DELETE', '/v1/connections/shared%2Fdefault')).json()).toMatchObject({
      connection: { status: { kind: 'disconnected' } },
    });
  });

  it('makes another account the default only after a yes', async () => {
    const definition = localDefinition('https://login.local.test', {
      id: 'several',
      hosts: [{ host: 'several.local.test' }],
      variables: [],
    });
    await serving.people.store.records
      .in(person.user.organization)
      .write((tx) => serving.connect.registerProvider(tx, person.session.principal, definition));
    for (const name of ['first', 'second']) {
      const flow = (await ask('POST', '/v1/flows', { provider: 'several', name, flow: 'api_key' })).json();
      await ask('POST', `/v1/flows/${String(flow.id)}/key`, { fields: { api_key: 'key-abcdef' } });
    }
    const isDefault = async (name: string) => (await ask('GET', `/v1/connections/several%2F${name}`)).json().is_default;
    expect((await ask('POST', '/v1/connections/several%2Ffirst/default')).status).toBe(200);
    const { page } = await parked(ask('POST', '/v1/connections/several%2Fsecond/default'));
    expect([await isDefault('first'), await isDefault('second')]).toEqual([true, false]);
    await post(serving, person, page, { answer: 'yes' });
    expect([await isDefault('first'), await isDefault('second')]).toEqual([false, true]);
  });

  it('tells before it revokes', async () => {
    const path = `/v1/agents/${worker.agent.id}/revoke`;
    expect((await ask('POST', path, { preview: true })).json()).toMatchObject({
      agent: { status: 'active' },
      ends: { runs: 0, permissions: 0 },
    });
    expect((await ask('POST', path)).json()).toMatchObject({ agent: { status: 'revoked' } });
  });
});

/** What anybody who is signed in may call, for what is theirs. */
const everybodys: readonly RouteName[] = [
  ...(['whoami', 'agent_list', 'agent_get', 'agent_confirm', 'agent_suspend', 'agent_reactivate', 'agent_revoke'] as const),
  ...(['provider_list', 'provider_get', 'connection_list', 'connection_get', 'connection_begin', 'connection_flow'] as const),
  ...(['connection_key', 'connection_confirm', 'connection_default', 'connection_share', 'connection_end'] as const),
  ...(['permission_list', 'permission_give', 'permission_end', 'permission_explain', 'confirmation_get', 'confirmation_list'] as const),
  ...(['run_list', 'event_list', 'event_verify', 'grant_list', 'grant_end', 'session_list', 'session_get', 'session_end'] as const),
];

const hash = '0'.repeat(64);
/** As much of a body as its schema needs. */
const bodies: Partial<Readonly<Record<RouteName, object>>> = {
  provider_register: { definition: {} },
  provider_client: { client_id: 'x' },
  upstream_add: { name: 'x', kind: 'oidc' },
  client_add: { name: 'x', authentication: 'none' },
  client_secret_add: { secret_sha256: hash },
  trust_add: { issuer: 'x', client: 'https://x', subjects: ['x'] },
  registration_token_add: { name: 'x', token_sha256: hash },
  resource_add: { identifier: 'x', name: 'x' },
  resource_change: { name: 'x', scopes: [], token_format: 'jwt', signing: 'ES256', open: false, version: 1 },
  details_type_add: { type: 'x', tells: 'x' },
  signing_key_import: { kid: 'x', public_jwk: {} },
  invitation_add: { email: 'x@example.com', token_sha256: hash },
};

describe('whose change it is', () => {
  it('of every other route than these a member is refused, whatever it is about', async () => {
    const member = await createTestUser(serving.people, 'nobody@example.com');
    const { organization, signin } = serving.people;
    const { bearer } = await signin.signIn(organization.id, member.email, testPassword, '127.0.0.1', undefined);
    const headers = {
      cookie: `__Host-gatehouse_session=${bearer.reveal()}`,
      origin: 'https://gatehouse.example',
      'sec-fetch-site': 'same-origin',
      'content-type': 'application/json',
    };
    for (const name of Object.keys(routes) as RouteName[]) {
      const { method, path, callers }: Route = routes[name];
      if (!callers.includes('browser') || everybodys.includes(name)) continue;
      const body = method === 'GET' || method === 'DELETE' ? {} : { body: JSON.stringify(bodies[name] ?? {}) };
      const query = name === 'details_type_remove' ? '?type=x' : '';
      const { status, text } = await serving.send({ method, path: path.replaceAll(/:\w+/g, 'x') + query, headers, ...body });
      expect([name, status, /"code":"([^"]+)"/.exec(text)?.[1]]).toEqual([name, 403, 'forbidden']);
    }
  });

  it('a member sees and answers no confirmation of another, and administers nothing', async () => {
    const member = await createTestUser(serving.people, 'member@example.com');
    const { organization, signin } = serving.people;
    const { session, bearer } = await signin.signIn(organization.id, member.email, testPassword, '127.0.0.1', undefined);
    const who = {
      cookie: `__Host-gatehouse_session=${bearer.reveal()}`,
      token: serving.people.vault.mac('http form', `session ${session.id}`),
    };
    const { page } = await parked(ask('POST', '/v1/keys'));
    expect((await serving.send({ path: page, headers: { cookie: who.cookie } })).status).toBe(404);
    expect((await post(serving, who, page, { answer: 'yes' })).status).toBe(404);
    for (const path of ['/v1/keys', `/v1/jobs/${newId('job')}`]) {
      expect((await serving.send({ path, headers: { cookie: who.cookie } })).json()).toMatchObject({ code: 'forbidden' });
    }
    const trail = await serving.send({ path: '/v1/events', headers: { cookie: who.cookie } });
    const subjects = (trail.json().items as { subject: string }[]).map(({ subject }) => subject);
    expect(new Set(subjects)).toEqual(new Set([`user:${member.id}`]));
    expect((await serving.send({ path: '/confirmations', headers: { cookie: who.cookie } })).text).toContain('Nothing waits for you');
  });
});

describe('a fresh proof of who it is', () => {
  it('is asked for five minutes after signing in, and a wrong one changes nothing', async () => {
    const { page, id } = await parked(ask('POST', '/v1/keys'));
    await serving.people.pass(6 * 60_000);
    expect((await serving.send({ path: page, headers: { cookie: person.cookie } })).text).toContain('Your password, once more');
    for (const password of ['', 'wrong']) {
      const answer = await post(serving, person, page, { answer: 'yes', password });
      expect(answer.text).toMatch(/<input id="password"[^>]* autofocus/);
      expect(answer.status).toBe(403);
      expect(await statusOf(id)).toMatchObject({ status: 'open' });
    }
    expect((await post(serving, person, page, { answer: 'yes', password: testPassword.reveal() })).headers.location).toBe(
      '/done?what=confirmed',
    );
    expect(await statusOf(id)).toMatchObject({ status: 'confirmed', result: { job: expect.any(String) } });
  });

  it('is never needed to say no', async () => {
    const { page } = await parked(ask('POST', '/v1/keys'));
    await serving.people.pass(6 * 60_000);
    expect((await post(serving, person, page, { answer: 'no' })).headers.location).toBe('/done?what=refused');
  });
});
