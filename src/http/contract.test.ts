import { beforeAll, describe, expect, it } from 'vitest';
import { type Client, createClient, type RouteName } from '#api';
import { isFault } from '#kernel';
import { localDefinition } from '../../test/support/connecting.ts';
import {
  type ActiveAgent,
  agentOf,
  openServing,
  post,
  proving,
  type Serving,
  type SignedIn,
  signedIn,
} from '../../test/support/serving.ts';

let serving: Serving;
let owner: SignedIn;
let worker: ActiveAgent;
let person: Client;
let agent: Client;

function clientOf(evidence: (method: string, path: string, body: string | undefined) => Record<string, string>, local: boolean): Client {
  return createClient({
    send: async ({ method, path, headers, body }) => {
      const answer = await serving.send({
        method,
        path,
        headers: { ...headers, ...evidence(method, path, body) },
        local,
        ...(body === undefined ? {} : { body }),
      });
      return { status: answer.status, headers: answer.headers as Record<string, string>, body: answer.text };
    },
  });
}

beforeAll(async () => {
  serving = await openServing();
  owner = await signedIn(serving);
  worker = await agentOf(serving, owner.user);
  person = clientOf(() => ({}), true);
  agent = clientOf((method, path, body) => ({ authorization: proving(serving, worker.keys, method, path, body) }), false);
  await serving.people.store.records
    .in(owner.user.organization)
    .write((tx) => serving.connect.registerProvider(tx, owner.session.principal, localDefinition('https://login.local.test')));
  const flow = await person.call('connection_begin', { body: { provider: 'local', flow: 'api_key' } });
  await person.call('connection_key', { params: { flow: flow.id }, body: { fields: { api_key: 'key-abcdef' } } });
  await post(serving, owner, `/connect/${flow.id}/allow`);
});

describe('the typed client against the server', () => {
  const lists = [
    'agent_list',
    'provider_list',
    'connection_list',
    'permission_list',
    'confirmation_list',
    'run_list',
    'event_list',
    'key_list',
    'session_list',
  ] as const satisfies readonly RouteName[];

  it.each(lists)('understands what %s answers', async (name) => {
    const answer = (await person.call(name)) as { readonly items: readonly unknown[] };
    expect(answer.items).toBeInstanceOf(Array);
  });

  it('pages by cursor, each item once', async () => {
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page: { readonly items: readonly { readonly id: string }[]; readonly next?: string | undefined } = await person.call(
        'provider_list',
        {
          query: { limit: 3, ...(cursor === undefined ? {} : { cursor }) },
        },
      );
      expect(page.items.length).toBeLessThanOrEqual(3);
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.next;
    } while (cursor !== undefined);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toContain('local');
    expect(seen.length).toBeGreaterThan(3);
  });

  it('tells an agent what it may see: its own connections, its own permissions', async () => {
    expect((await agent.call('whoami')).agent?.handle).toBe('researcher');
    const { items } = await agent.call('connection_list');
    expect(items.map(({ provider, name }) => `${provider}/${name}`)).toEqual(['local/default']);
    expect((await agent.call('connection_get', { params: { connection: 'local/default' } })).status.kind).toBe('connected');
    expect((await agent.call('permission_list')).items).toEqual([]);
  });

  it('explains a call before it is made, and after a permission was given', async () => {
    const ask = () =>
      agent.call('permission_explain', { body: { agent: 'researcher', method: 'GET', url: 'https://api.local.test/things' } });
    expect(await ask()).toMatchObject({
      effect: 'deny',
      provider: 'local',
      connection: 'default',
      command: expect.stringContaining('gatehouse policy allow researcher local'),
    });
    const by = owner.session.principal;
    const reach = { classes: [], operations: [], patterns: [{ methods: ['GET'], path: '/things' }], everything: false };
    await serving.people.store.records.in(owner.user.organization).write((tx) =>
      serving.policy.give(tx, by, {
        effect: 'allow',
        agent: worker.agent.id,
        owner: undefined,
        target: { kind: 'provider', id: 'local' },
        reach,
        level: undefined,
        passCredential: false,
        expiresAt: undefined,
      }),
    );
    expect(await ask()).toMatchObject({ effect: 'allow', permission: expect.stringMatching(/^prm_/) });
    const unknown = await agent.call('permission_explain', { body: { agent: 'researcher', method: 'GET', url: 'https://unknown.test/' } });
    expect(unknown).toMatchObject({ effect: 'allow', reason: 'no_connection' });
  });

  it('throws the server’s own faults by code', async () => {
    const code = async (asked: Promise<unknown>) =>
      asked.then(
        () => 'none',
        (error: unknown) => (isFault(error) ? error.code : String(error)),
      );
    expect(await code(person.call('agent_get', { params: { agent: 'nobody' } }))).toBe('agent_unknown');
    expect(await code(person.call('connection_get', { params: { connection: 'local/nothing' } }))).toBe('connection_unknown');
    expect(await code(person.call('provider_get', { params: { provider: 'nothing' } }))).toBe('provider_unknown');
    expect(await code(person.call('connection_begin', { body: { provider: 'local', flow: 'api_key' } }))).toBe('connection_exists');
    expect(await code(person.call('provider_remove', { params: { provider: 'github' } }))).toBe('forbidden');
    expect(
      await code(
        person.call('permission_give', {
          body: { provider: 'local', reach: { classes: [], operations: [], patterns: [], everything: false } },
        }),
      ),
    ).toBe('invalid_request');
    expect(await code(agent.call('agent_list'))).toBe('forbidden');
  });

  it('verifies the trail, and shows who did what', async () => {
    expect(await person.call('event_verify')).toMatchObject({ holds: true, breaks: [] });
    const { items } = await person.call('event_list', { query: { name: 'agent.confirmed' } });
    expect(items).toMatchObject([{ subject: `user:${owner.user.id}`, fields: { agent: worker.agent.id } }]);
  });

  it('ends a session of one’s own and no other’s', async () => {
    const { items } = await person.call('session_list');
    const [session] = items;
    expect(await person.call('session_end', { params: { session: session?.id ?? '' } })).toEqual({});
    expect((await serving.send({ path: '/v1/whoami', headers: { cookie: owner.cookie } })).status).toBe(401);
  });

  it('describes itself to people only', async () => {
    expect((await serving.send({ path: '/v1/openapi.json' })).status).toBe(401);
    expect((await serving.send({ path: '/v1/openapi.json', local: true })).json().openapi).toBe('3.1.0');
  });
});
