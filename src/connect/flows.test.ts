import { describe, expect, it } from 'vitest';
import { type FaultCode, newId, Secret } from '#kernel';
import {
  connectByCode,
  giveClient,
  localDefinition,
  openConnecting,
  principalOf,
  startScriptedProvider,
} from '../../test/support/connecting.ts';
import { createTestUser, testIssuer } from '../../test/support/people.ts';

const fault = (code: FaultCode) => expect.objectContaining({ code });
const key = (text: string) => ({ api_key: new Secret(text) });
const plain = { name: 'default', force: false, allow: [] };

async function standing(oauth: object = {}) {
  const provider = await startScriptedProvider(() => ({
    body: { access_token: 'at-1', refresh_token: 'rt-1', expires_in: 3600, scope: 'read' },
  }));
  const connecting = await openConnecting([provider.port]);
  await connecting.register(localDefinition(provider.origin, {}, oauth as Record<string, unknown>));
  return { ...connecting, provider, connecting };
}

async function opened(given: Awaited<ReturnType<typeof standing>>) {
  await giveClient(given, 'local', { id: 'our-client', secret: new Secret('our-secret') });
  const flow = await given.connect.begin(given.by, { ...plain, provider: 'local', flow: 'pkce' });
  const address = new URL(await given.connect.authorizationUrl(given.by, given.session, flow.id));
  return { flow, address, state: address.searchParams.get('state') ?? '' };
}

function callback(parameters: Record<string, string>): URL {
  const url = new URL(`${testIssuer}/connect/callback`);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url;
}

describe('a key', () => {
  it('is connected, sealed, and the first of its provider is the default', async () => {
    const { connect, by, people } = await openConnecting();
    const flow = await connect.begin(by, { ...plain, provider: 'openai' });
    expect(flow).toMatchObject({ kind: 'api_key', state: { kind: 'waiting', url: `${testIssuer}/connect/${flow.id}` } });
    const done = await connect.completeWithKey(by, flow.id, key('  sk-canary-0123456789abcdef '), 'browser');
    expect(done.flow.state).toEqual({ kind: 'connected', connection: done.connection.id });
    expect(done.connection).toMatchObject({
      provider: 'openai',
      kind: 'api_key',
      isDefault: true,
      status: { kind: 'connected' },
      shared: false,
    });
    const credential = await connect.fresh(by, done.connection);
    expect(credential.parts.api_key?.reveal()).toBe('sk-canary-0123456789abcdef');
    expect(credential).toMatchObject({ refreshable: false, refreshed: false, expiresAt: undefined });
    expect(people.audit.drafts.map((draft) => draft.name).slice(-2)).toEqual(['connection.started', 'connection.made']);
    expect(JSON.stringify(people.audit.drafts)).not.toContain('canary');
    const second = await connect.begin(by, { ...plain, provider: 'openai', name: 'work' });
    expect((await connect.completeWithKey(by, second.id, key('sk-0123456789abcdefghi'), 'browser')).connection.isDefault).toBe(false);
  });

  it('that does not look like one of the provider can be typed again', async () => {
    const { connect, by } = await openConnecting();
    const flow = await connect.begin(by, { ...plain, provider: 'openai' });
    for (const fields of [
      key(''),
      key('nope'),
      {},
      key('sk-0123456789abcdef\r\nX-Evil: 1'),
      { ...key('sk-0123456789abcdefghi'), extra: new Secret('x') },
    ])
      await expect(connect.completeWithKey(by, flow.id, fields, 'browser')).rejects.toEqual(fault('invalid_request'));
    expect((await connect.completeWithKey(by, flow.id, key('sk-0123456789abcdefghi'), 'browser')).connection.status.kind).toBe('connected');
  });

  it('completes its flow once, however many send it at once', async () => {
    const { connect, by, people } = await openConnecting();
    const flow = await connect.begin(by, { ...plain, provider: 'openai' });
    const tries = await Promise.allSettled(
      Array.from({ length: 20 }, () => connect.completeWithKey(by, flow.id, key('sk-0123456789abcdefghi'), 'browser')),
    );
    expect(tries.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
    const { items } = await connect.connections(by.organization, await people.identity.vaultsOf(by), { limit: 10 });
    expect(items).toHaveLength(1);
  });

  it('takes a name once, and replaces it only when asked to', async () => {
    const { connect, by } = await openConnecting();
    const first = await connect.begin(by, { ...plain, provider: 'openai' });
    const rival = await connect.begin(by, { ...plain, provider: 'openai' });
    const made = await connect.completeWithKey(by, first.id, key('sk-first-0123456789ab'), 'browser');
    await expect(connect.begin(by, { ...plain, provider: 'openai' })).rejects.toEqual(fault('connection_exists'));
    await expect(connect.completeWithKey(by, rival.id, key('sk-rival-0123456789ab'), 'browser')).rejects.toEqual(
      fault('connection_exists'),
    );
    const again = await connect.begin(by, { ...plain, provider: 'openai', force: true });
    const replaced = await connect.completeWithKey(by, again.id, key('sk-again-0123456789ab'), 'browser');
    expect(replaced.connection.id).toBe(made.connection.id);
    expect((await connect.fresh(by, replaced.connection)).parts.api_key?.reveal()).toBe('sk-again-0123456789ab');
  });

  it('is for the person who began, never for another, nor for an agent', async () => {
    const { connect, by, people } = await openConnecting();
    const eve = principalOf(await createTestUser(people, 'eve@example.com'));
    const flow = await connect.begin(by, { ...plain, provider: 'openai' });
    await expect(connect.completeWithKey(eve, flow.id, key('sk-0123456789abcdefghi'), 'browser')).rejects.toEqual(fault('forbidden'));
    const agent = { ...by, actors: [{ kind: 'agent', id: newId('agt') }] } as const;
    await expect(connect.begin(agent, { ...plain, provider: 'openai' })).rejects.toEqual(fault('forbidden'));
    await expect(connect.completeWithKey(agent, flow.id, key('sk-0123456789abcdefghi'), 'browser')).rejects.toEqual(fault('forbidden'));
  });

  it('is not taken for a flow that has run out', async () => {
    const { connect, by, people } = await openConnecting();
    const flow = await connect.begin(by, { ...plain, provider: 'openai' });
    await people.pass(16 * 60_000);
    await expect(connect.completeWithKey(by, flow.id, key('sk-0123456789abcdefghi'), 'browser')).rejects.toEqual(fault('link_ended'));
    expect((await connect.flow(by.organization, flow.id))?.state).toMatchObject({ kind: 'failed', code: 'link_ended' });
  });
});

describe('a code flow', () => {
  it('sends S256, state, callback and scopes, and redeems the code with the verifier', async () => {
    const given = await standing();
    const { address, state, flow } = await opened(given);
    const asked = Object.fromEntries(address.searchParams);
    expect(asked).toMatchObject({
      response_type: 'code',
      client_id: 'our-client',
      redirect_uri: `${testIssuer}/connect/callback`,
      scope: 'read write',
      code_challenge_method: 'S256',
    });
    const done = await given.connect.complete(given.by, given.session, callback({ state, code: 'c-1' }));
    expect(done.connection).toMatchObject({ kind: 'oauth2', scopes: ['read'], status: { kind: 'connected' } });
    expect(done.flow).toMatchObject({ id: flow.id, state: { kind: 'connected' } });
    const sent = given.provider.tokenRequests()[0]?.parameters;
    expect(sent).toMatchObject({ grant_type: 'authorization_code', code: 'c-1', client_id: 'our-client', client_secret: 'our-secret' });
    expect(sent?.code_verifier).toHaveLength(43);
    const credential = await given.connect.fresh(given.by, done.connection);
    expect(credential.parts.access_token?.reveal()).toBe('at-1');
    expect(credential.refreshable).toBe(true);
  });

  it('takes a state once', async () => {
    const given = await standing();
    const { state } = await opened(given);
    const tries = await Promise.allSettled(
      Array.from({ length: 20 }, () => given.connect.complete(given.by, given.session, callback({ state, code: 'c' }))),
    );
    expect(tries.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
    expect(given.provider.tokenRequests()).toHaveLength(1);
  });

  it('tells the session that brought it again what came of it, and makes nothing more', async () => {
    const given = await standing();
    const { state } = await opened(given);
    const back = () => given.connect.complete(given.by, given.session, callback({ state, code: 'c' }));
    const [first, again] = [await back(), await back()];
    expect(again.flow).toEqual(first.flow);
    expect(again.connection).toMatchObject({ id: first.connection.id, status: { kind: 'connected' } });
    expect(given.provider.tokenRequests()).toHaveLength(1);
  });

  it.each(['another session of the same person', 'another person'])('ends what it made when %s brings it again', async (who) => {
    const given = await standing();
    const { state } = await opened(given);
    const { connection } = await given.connect.complete(given.by, given.session, callback({ state, code: 'c' }));
    const eve = principalOf(await createTestUser(given.people, 'eve@example.com'));
    const [by, session] = who === 'another person' ? [eve, given.session] : [given.by, newId('ses')];
    const brought = () => given.connect.complete(by, session, callback({ state, code: 'c' }));
    await expect(brought()).rejects.toEqual(fault('link_ended'));
    expect((await given.connect.connection(given.by.organization, connection.id))?.status.kind).toBe('disconnected');
    expect(given.provider.seen.filter(({ path }) => path === '/revoke')).toHaveLength(1);
    const { events } = await given.people.audit.search(given.by.organization, { limit: 50 });
    expect(events.filter(({ name }) => name === 'connection.brought_again')).toHaveLength(1);
    await expect(brought()).rejects.toEqual(fault('link_ended'));
  });

  it('leaves alone what another flow has put in the place of what it made', async () => {
    const given = await standing();
    const { state } = await opened(given);
    await given.connect.complete(given.by, given.session, callback({ state, code: 'c' }));
    const { connection } = await connectByCode(given, { force: true });
    await expect(given.connect.complete(given.by, newId('ses'), callback({ state, code: 'c' }))).rejects.toEqual(fault('link_ended'));
    expect((await given.connect.connection(given.by.organization, connection.id))?.status.kind).toBe('connected');
  });

  it('refuses another session of the same person, and another person', async () => {
    const given = await standing();
    const eve = principalOf(await createTestUser(given.people, 'eve@example.com'));
    const first = await opened(given);
    await expect(given.connect.complete(given.by, newId('ses'), callback({ state: first.state, code: 'c' }))).rejects.toEqual(
      fault('forbidden'),
    );
    await expect(given.connect.complete(given.by, given.session, callback({ state: first.state, code: 'c' }))).rejects.toEqual(
      fault('link_ended'),
    );
    const state = new URL(await given.connect.authorizationUrl(given.by, given.session, first.flow.id)).searchParams.get('state') ?? '';
    await expect(given.connect.authorizationUrl(eve, given.session, first.flow.id)).rejects.toEqual(fault('forbidden'));
    await expect(given.connect.complete(eve, given.session, callback({ state, code: 'c' }))).rejects.toEqual(fault('forbidden'));
    expect(given.provider.tokenRequests()).toHaveLength(0);
  });

  it('refuses an unknown, missing or doubled state, and an earlier one', async () => {
    const given = await standing();
    const { state, flow } = await opened(given);
    await given.connect.authorizationUrl(given.by, given.session, flow.id);
    const doubled = callback({ state, code: 'c' });
    doubled.searchParams.append('state', 'other');
    for (const url of [
      callback({ code: 'c' }),
      callback({ state: '', code: 'c' }),
      callback({ state: 'x'.repeat(43), code: 'c' }),
      doubled,
      callback({ state, code: 'c' }),
    ])
      await expect(given.connect.complete(given.by, given.session, url)).rejects.toEqual(fault('link_ended'));
  });

  it.each([
    ['another issuer than the one known', { issuer: 'https://as.example' }, 'https://evil.example', 'upstream_sign_in_failed'],
    ['an empty issuer', {}, '', 'upstream_sign_in_failed'],
    ['an issuer of another origin, when none is known', {}, 'https://evil.example', 'upstream_sign_in_failed'],
  ] as const)('refuses an answer of %s', async (_name, oauth, iss, code) => {
    const given = await standing(oauth);
    const { state } = await opened(given);
    await expect(given.connect.complete(given.by, given.session, callback({ state, code: 'c', iss }))).rejects.toEqual(fault(code));
    expect(given.provider.tokenRequests()).toHaveLength(0);
  });

  it('takes the issuer it knows, and one on the origin it went to', async () => {
    const known = await standing({ issuer: 'https://as.example' });
    const one = await opened(known);
    await known.connect.complete(known.by, known.session, callback({ state: one.state, code: 'c', iss: 'https://as.example' }));
    const unknown = await standing();
    const two = await opened(unknown);
    await unknown.connect.complete(unknown.by, unknown.session, callback({ state: two.state, code: 'c', iss: unknown.provider.origin }));
  });

  it('says so when the person said no at the provider', async () => {
    const given = await standing();
    const { state, flow } = await opened(given);
    const answer = callback({ state, error: 'access_denied', error_description: '<script>' });
    await expect(given.connect.complete(given.by, given.session, answer)).rejects.toEqual(fault('cancelled'));
    const ended = await given.connect.flow(given.by.organization, flow.id);
    expect(ended?.state).toMatchObject({ kind: 'failed', code: 'cancelled' });
    expect(JSON.stringify(ended)).not.toContain('script');
    expect(given.people.audit.drafts.at(-1)).toMatchObject({ name: 'connection.failed', fields: { reason: 'cancelled' } });
  });

  it('ends when the definition changes on the way', async () => {
    const given = await standing();
    const { state, flow } = await opened(given);
    await given.register(localDefinition('https://elsewhere.example'));
    await expect(given.connect.complete(given.by, given.session, callback({ state, code: 'c' }))).rejects.toEqual(fault('link_ended'));
    await expect(given.connect.authorizationUrl(given.by, given.session, flow.id)).rejects.toEqual(fault('link_ended'));
  });

  it('needs a client of the organization, and says how to give one', async () => {
    const given = await standing();
    await expect(given.connect.begin(given.by, { ...plain, provider: 'local', flow: 'pkce' })).rejects.toEqual(fault('invalid_request'));
    expect(await given.connect.hasClient(given.by.organization, 'local')).toBe(false);
  });

  it('fails whole when the provider refuses the code', async () => {
    const given = await standing();
    const { state, flow } = await opened(given);
    given.provider.script = () => ({ status: 400, body: { error: 'invalid_grant', error_description: 'canary' } });
    await expect(given.connect.complete(given.by, given.session, callback({ state, code: 'c' }))).rejects.toEqual(
      fault('upstream_sign_in_failed'),
    );
    expect((await given.connect.flow(given.by.organization, flow.id))?.state.kind).toBe('failed');
  });
});

describe('a device flow', () => {
  it('shows the code, waits as told, and ends with the tokens', async () => {
    const answers = [
      { status: 400, body: { error: 'authorization_pending' } },
      { status: 400, body: { error: 'slow_down' } },
      { body: { access_token: 'dev-1', scope: 'read' } },
    ];
    const provider = await startScriptedProvider((request, count) =>
      request.path === '/device'
        ? {
            body: {
              device_code: 'dc',
              user_code: 'ABCD-EFGH',
              verification_uri: 'https://as.example/device',
              interval: 5,
              expires_in: 600,
            },
          }
        : (answers[count - 1] ?? { status: 500, body: '' }),
    );
    const { connect, by, people, register } = await openConnecting([provider.port]);
    await register(localDefinition(provider.origin));
    await giveClient({ connect, people, by }, 'local', { id: 'our-client', secret: undefined });
    const flow = await connect.begin(by, { ...plain, provider: 'local', flow: 'device_code' });
    expect(flow.state).toEqual({ kind: 'device', url: 'https://as.example/device', userCode: 'ABCD-EFGH' });
    const look = () => connect.flow(by.organization, flow.id);
    await Promise.all([look(), look(), look()]);
    expect(provider.tokenRequests()).toHaveLength(1);
    await people.pass(5_001);
    await look();
    expect(provider.tokenRequests()).toHaveLength(2);
    await people.pass(5_001);
    await look();
    await people.pass(5_000);
    await look();
    expect(provider.tokenRequests()).toHaveLength(3);
    expect((await look())?.state.kind).toBe('connected');
    expect(provider.tokenRequests()[0]?.parameters).toMatchObject({
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: 'dc',
      client_id: 'our-client',
    });
  });

  it('ends when the person says no', async () => {
    const provider = await startScriptedProvider((request) =>
      request.path === '/device'
        ? { body: { device_code: 'dc', user_code: 'ABCD', verification_uri: 'https://as.example/device' } }
        : { status: 400, body: { error: 'access_denied' } },
    );
    const { connect, people, by, register } = await openConnecting([provider.port]);
    await register(localDefinition(provider.origin));
    await giveClient({ connect, people, by }, 'local', { id: 'our-client', secret: undefined });
    const flow = await connect.begin(by, { ...plain, provider: 'local', flow: 'device_code' });
    expect((await connect.flow(by.organization, flow.id))?.state).toMatchObject({ kind: 'failed', code: 'cancelled' });
  });
});

describe('client credentials', () => {
  it('end at once with the organization’s client', async () => {
    const given = await standing();
    await giveClient(given, 'local', { id: 'svc', secret: new Secret('shh') });
    const flow = await given.connect.begin(given.by, { ...plain, provider: 'local', flow: 'client_credentials' });
    expect(flow.state.kind).toBe('connected');
    const made = flow.state.kind === 'connected' && (await given.connect.connection(given.by.organization, flow.state.connection));
    expect(made).toMatchObject({ status: { kind: 'needs_attention', reason: 'unconfirmed' } });
    expect(given.provider.tokenRequests()[0]?.parameters).toMatchObject({
      grant_type: 'client_credentials',
      scope: 'read write',
      client_id: 'svc',
    });
  });

  it('take a client that is typed for this connection alone', async () => {
    const given = await standing();
    const flow = await given.connect.begin(given.by, { ...plain, provider: 'local', flow: 'client_credentials' });
    expect(flow.state.kind).toBe('waiting');
    await expect(given.connect.completeWithKey(given.by, flow.id, { client_id: new Secret('x') }, 'browser')).rejects.toEqual(
      fault('invalid_request'),
    );
    const done = await given.connect.completeWithKey(
      given.by,
      flow.id,
      {
        client_id: new Secret('mine'),
        client_secret: new Secret('own'),
      },
      'browser',
    );
    expect(done.connection).toMatchObject({ kind: 'oauth2', account: { id: 'mine' } });
    expect(await given.connect.hasClient(given.by.organization, 'local')).toBe(false);
  });
});

describe('registering a client by itself', () => {
  it('happens once per provider and callback', async () => {
    const provider = await startScriptedProvider((request) =>
      request.path === '/register'
        ? {
            status: 201,
            body: { client_id: 'dyn-1', redirect_uris: [`${testIssuer}/connect/callback`], token_endpoint_auth_method: 'none' },
          }
        : { body: { access_token: 'at-1' } },
    );
    const { connect, by, session, register } = await openConnecting([provider.port]);
    await register(
      localDefinition(
        provider.origin,
        {},
        { flows: ['dcr_pkce'], registration_endpoint: `${provider.origin}/register`, client_authentication: 'none' },
      ),
    );
    for (const name of ['one', 'two']) {
      const flow = await connect.begin(by, { ...plain, provider: 'local', name, flow: 'dcr_pkce' });
      const address = new URL(await connect.authorizationUrl(by, session, flow.id));
      expect(address.searchParams.get('client_id')).toBe('dyn-1');
      await connect.complete(by, session, callback({ state: address.searchParams.get('state') ?? '', code: 'c' }));
    }
    expect(provider.seen.filter((one) => one.path === '/register')).toHaveLength(1);
  });
});

describe('a provider', () => {
  it('that needs an injector which is not built says so and refuses to connect', async () => {
    const { connect, by, register } = await openConnecting();
    await register({ ...localDefinition('https://as.example'), unsupported: 'it signs every request with a key of its own' });
    await expect(connect.begin(by, { ...plain, provider: 'local' })).rejects.toEqual(fault('provider_unsupported'));
    await expect(connect.begin(by, { ...plain, provider: 'no-such' })).rejects.toEqual(fault('provider_unknown'));
  });

  it('that changed reaches a connection only after its owner agreed', async () => {
    const given = await standing();
    const { connection } = await connectByCode(given.connecting);
    await given.register(localDefinition(given.provider.origin, { hosts: [{ host: 'api.local.test' }, { host: 'evil.local.test' }] }));
    await given.people.store.migrate();
    await expect(given.connect.fresh(given.by, connection)).rejects.toEqual(fault('needs_attention'));
    expect((await given.connect.connection(given.by.organization, connection.id))?.status).toMatchObject({
      kind: 'needs_attention',
      reason: 'provider_changed',
    });
    const eve = principalOf(await createTestUser(given.people, 'eve@example.com'));
    await expect(given.write((tx) => given.connect.accept(tx, eve, connection.id))).rejects.toEqual(fault('forbidden'));
    await given.write((tx) => given.connect.accept(tx, given.by, connection.id));
    expect((await given.connect.fresh(given.by, connection)).parts.access_token?.reveal()).toBe('at-1');
  });
});
