import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Secret } from '#kernel';
import { type Brokering, brokerOver, openBrokering } from '../../test/support/brokering.ts';
import { localDefinition, startScriptedProvider } from '../../test/support/connecting.ts';
import type { Allowed, Verdict } from './contract.ts';

const fields = (host: string, key = 'zendesk-canary-0123456789') => ({ email: 'ada@acme.example', api_key: key, host });

async function withZendesk(more: Parameters<typeof openBrokering>[0] = {}) {
  const given = await openBrokering(more);
  const connection = await given.connectKey('zendesk', fields('acme.zendesk.com'));
  await given.permit(connection);
  const ask = (host: string, headers: readonly (readonly [string, string])[] = []) =>
    given.decide({ host, path: '/api/v2/tickets.json', headers });
  return { ...given, connection, ask };
}

function allowed(verdict: Verdict): Allowed {
  if (verdict.kind !== 'allow') throw new Error(`refused: ${JSON.stringify(verdict)}`);
  return verdict;
}

const others = [
  'evil.zendesk.com',
  'x.acme.zendesk.com',
  'evil-acme.zendesk.com',
  'acmezendesk.com',
  'zendesk.com',
  'acme.zendesk.com.evil.com',
  'acme.zendesk.com.',
  'acme.evilzendesk.com',
];

describe('a connection at a provider that has a host for each customer', () => {
  test('is used at its own host', async () => {
    const { broker, run, ask, connection } = await withZendesk();
    expect(await broker.admit(run, { host: 'acme.zendesk.com', port: 443 })).toEqual({ kind: 'intercept' });
    const verdict = allowed(await ask('acme.zendesk.com'));
    expect(verdict.connection?.id).toBe(connection.id);
    expect(verdict.alteration.set).toHaveLength(1);
  });

  test.each(others)('is neither intercepted nor injected at %s', async (host) => {
    const { broker, run, ask } = await withZendesk();
    await ask('acme.zendesk.com');
    expect(await broker.admit(run, { host, port: 443 })).toEqual({ kind: 'blind' });
    const verdict = allowed(await ask(host));
    expect(verdict.connection).toBeUndefined();
    expect([verdict.alteration.set, verdict.alteration.replace, verdict.scrub]).toEqual([[], [], []]);
  });

  test('leaves the hosts of others to the setting for hosts without a connection', async () => {
    const { broker, run, ask } = await withZendesk({ broker: { otherHosts: 'deny' } });
    for (const host of others) {
      expect(await broker.admit(run, { host, port: 443 }), host).toMatchObject({ kind: 'refuse', code: 'host_refused' });
      expect(await ask(host), host).toMatchObject({ kind: 'deny', code: 'host_refused' });
    }
  });

  test('is not reached at another host by naming it, nor by its placeholder', async () => {
    const { ask, startRun, broker, call } = await withZendesk();
    for (const name of ['default', 'zendesk/default']) {
      const verdict = allowed(await ask('evil.zendesk.com', [['Gatehouse-Connection', name]]));
      expect([verdict.connection, verdict.alteration.set]).toEqual([undefined, []]);
    }
    const { started, run } = await startRun({ connections: { zendesk: 'default' } });
    const placeholder = Object.entries(started.variables).find(([name]) => name.startsWith('ZENDESK'))?.[1] ?? '';
    expect(placeholder).toMatch(/^gatehouse-placeholder-/);
    const stolen = { ...call({ host: 'evil.zendesk.com', path: '/api/v2/x', headers: [['Authorization', `Bearer ${placeholder}`]] }), run };
    expect(await broker.decide(stolen)).toMatchObject({ kind: 'deny', code: 'placeholder_misplaced' });
  });

  test('is chosen by the host where there are several accounts, and never lent to another', async () => {
    const { connectKey, permit, ask } = await withZendesk();
    const second = await connectKey('zendesk', fields('other.zendesk.com', 'other-canary-0123456789'), 'other');
    await permit(second);
    const basic = async (host: string) =>
      allowed(await ask(host))
        .alteration.set.map((one) => one.value.reveal())
        .join();
    const keyOf = async (host: string) => Buffer.from((await basic(host)).replace('Basic ', ''), 'base64').toString();
    expect(await keyOf('acme.zendesk.com')).toContain('zendesk-canary');
    expect(await keyOf('other.zendesk.com')).toContain('other-canary');
    expect(await ask('acme.zendesk.com', [['Gatehouse-Connection', 'other']])).toMatchObject({ kind: 'deny', code: 'connection_unknown' });
  });

  test('that is replaced by one of another host is used at the old host no more', async () => {
    const { connect, by, ask, broker, run } = await withZendesk();
    allowed(await ask('acme.zendesk.com'));
    const flow = await connect.begin(by, { provider: 'zendesk', name: 'default', flow: 'api_key', force: true, allow: [] });
    const typed = Object.entries(fields('new.zendesk.com')).map(([name, value]) => [name, new Secret(value)] as const);
    await connect.completeWithKey(by, flow.id, Object.fromEntries(typed), 'browser');
    expect(allowed(await ask('acme.zendesk.com')).connection).toBeUndefined();
    expect(await broker.admit(run, { host: 'acme.zendesk.com', port: 443 })).toEqual({ kind: 'blind' });
    expect(allowed(await ask('new.zendesk.com')).connection).toBeDefined();
  });
});

describe('what a run is told and trusts', () => {
  const dnsName = (name: string) => `\x82${String.fromCharCode(name.length)}${name}`;
  const permits = (started: Brokering['started'], name: string) =>
    new X509Certificate(started.authorityPem).raw.toString('latin1').includes(dnsName(name));

  test('is the pinned host, not the suffix, and nothing of a provider without connection', async () => {
    const { startRun, connectKey } = await withZendesk();
    await connectKey('pinecone', { api_key: `pcsk_${'a'.repeat(20)}`, host: 'docs-abc.svc.us-1.pinecone.io' });
    const { started } = await startRun();
    expect(started.connections).toEqual(
      expect.arrayContaining([
        { provider: 'zendesk', name: 'default', hosts: ['acme.zendesk.com'] },
        { provider: 'pinecone', name: 'default', hosts: ['api.pinecone.io', 'docs-abc.svc.us-1.pinecone.io'] },
      ]),
    );
    for (const name of ['acme.zendesk.com', 'docs-abc.svc.us-1.pinecone.io', 'api.pinecone.io', 'googleapis.com'])
      expect(permits(started, name), name).toBe(true);
    for (const name of ['zendesk.com', 'pinecone.io', 'svc.us-1.pinecone.io', 'myshopify.com', 'my.salesforce.com'])
      expect(permits(started, name), name).toBe(false);
  });

  test('is nothing below a tenant suffix before there is a connection', async () => {
    const { started } = await openBrokering();
    expect(permits(started, 'zendesk.com')).toBe(false);
    expect(new X509Certificate(started.authorityPem).raw.toString('latin1')).not.toContain('zendesk');
  });
});

describe('an exact host beside a tenant suffix', () => {
  test('belongs to every connection of the provider; the names below belong to who named them', async () => {
    const given = await openBrokering();
    const connection = await given.connectKey('pinecone', { api_key: `pcsk_${'a'.repeat(20)}`, host: 'docs-abc.svc.us-1.pinecone.io' });
    await given.permit(connection);
    const at = async (host: string) => allowed(await given.decide({ host, path: '/indexes' })).connection?.id;
    expect(await at('api.pinecone.io')).toBe(connection.id);
    expect(await at('docs-abc.svc.us-1.pinecone.io')).toBe(connection.id);
    expect(await at('evil-xyz.svc.us-1.pinecone.io')).toBeUndefined();
  });

  test('that claims only some paths leaves the rest of them to who named the host', async () => {
    const given = await openBrokering();
    const auth = [{ kind: 'api_key', fields: [{ name: 'api_key', label: 'Key' }], inject: [{ kind: 'bearer', part: 'api_key' }] }];
    const hosts = [{ host: 'api.mixed.test', path: '/v1' }, { host: '*.mixed.test' }];
    await given.register(localDefinition('http://localhost:1', { id: 'mixed', hosts, auth, variables: [] }));
    await given.permit(await given.connectKey('mixed', { api_key: 'key-of-mixed', host: 'acme.mixed.test' }));
    const ask = (path: string) => given.decide({ host: 'api.mixed.test', path });
    expect(allowed(await ask('/v1/things')).connection?.provider).toBe('mixed');
    expect(await ask('/other')).toMatchObject({ kind: 'need', code: 'connection_needed' });
  });
});

describe('a renewal after 401', () => {
  test('does not bring the credential of an account that took the place of the one that was asked', async () => {
    let tokens = 0;
    const provider = await startScriptedProvider(() => ({ body: { access_token: `token-${tokens++}-0123456789`, expires_in: 3600 } }));
    const given = await openBrokering({ ports: [provider.port] });
    await given.register(localDefinition(provider.origin, { hosts: [{ host: '*.local.test' }] }));
    const { connect, by, broker, people } = given;
    const connected = async (host: string, force: boolean) => {
      const flow = await connect.begin(by, { provider: 'local', name: 'default', flow: 'client_credentials', force, allow: [] });
      const typed = { host: new Secret(host), client_id: new Secret('id'), client_secret: new Secret('secret') };
      return (await connect.completeWithKey(by, flow.id, typed, 'browser')).connection;
    };
    await given.permit(await connected('one.local.test', false));
    await people.pass(120_000);
    const verdict = allowed(await given.decide({ host: 'one.local.test', path: '/' }));
    expect(verdict.refreshable).toBe(true);
    await connected('two.local.test', true);
    expect(await broker.renew(verdict)).toBeUndefined();
    const other = brokerOver(given, given.policy);
    expect(allowed(await other.decide(given.call({ host: 'one.local.test', path: '/' }))).connection).toBeUndefined();
  });
});
