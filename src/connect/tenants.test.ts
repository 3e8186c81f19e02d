import { describe, expect, it } from 'vitest';
import { type FaultCode, Secret } from '#kernel';
import { giveClient, localDefinition, openConnecting, startScriptedProvider } from '../../test/support/connecting.ts';
import { testIssuer } from '../../test/support/people.ts';
import { catalogueFolder, loadCatalogue } from './catalogue.ts';
import type { BeginConnection } from './contract.ts';
import type { HostEntry } from './provider.ts';
import { hostFieldOf, hostsAt, isPinned, typedHosts } from './tenants.ts';

const fault = (code: FaultCode, fields?: object) =>
  expect.objectContaining({ code, ...(fields ? { details: expect.objectContaining({ fields }) } : {}) });
const secrets = (fields: Record<string, string>) =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, new Secret(value)]));
const plain = { name: 'default', force: false, allow: [] } as const;
const catalogue = loadCatalogue(catalogueFolder());

function shipped(id: string) {
  const provider = catalogue.get(id);
  if (provider === undefined) throw new Error(`no ${id}`);
  return provider;
}

/** Suffixes whose names are all the provider's, and how that is known. */
const wholly: Readonly<Record<string, string>> = {
  '*.googleapis.com': 'every name below it is a service that Google runs; customers get none',
};

describe('the shipped catalogue', () => {
  it("says of every suffix whose the names below it are, and why where they are all the provider's", () => {
    const suffixes = [...catalogue.values()].flatMap((provider) => provider.hosts.filter((entry) => entry.host.startsWith('*.')));
    expect(suffixes.length).toBeGreaterThan(10);
    for (const { host, tenant } of suffixes) expect([host, tenant]).toEqual([host, wholly[host] === undefined]);
    for (const host of Object.keys(wholly))
      expect(
        suffixes.some((entry) => entry.host === host),
        host,
      ).toBe(true);
  });

  it('asks for the host of the account wherever a credential would go to a tenant, and nowhere else', () => {
    for (const provider of catalogue.values())
      for (const auth of provider.auth) {
        const asks = provider.hosts.some((entry) => entry.tenant === true && !(entry.inject === 'site' && auth.kind === 'oauth2'));
        expect([provider.id, auth.kind, hostFieldOf(provider, auth.kind) !== undefined]).toEqual([provider.id, auth.kind, asks]);
      }
    expect(hostFieldOf(shipped('zendesk'), 'api_key')).toEqual({
      name: 'host',
      label: 'Your host name',
      secret: false,
      help: expect.stringContaining('acme.zendesk.com'),
    });
  });
});

describe('a host that a person names', () => {
  const typed = (id: string, text: string) => typedHosts(shipped(id), 'api_key', new Secret(text));

  it.each([
    ['zendesk', 'acme.zendesk.com', ['acme.zendesk.com']],
    ['zendesk', '  acme.zendesk.com ', ['acme.zendesk.com']],
    ['algolia', 'a1-dsn.algolia.net, a1-1.algolianet.com', ['a1-dsn.algolia.net', 'a1-1.algolianet.com']],
    ['pinecone', 'docs-abc.svc.aped-1.pinecone.io docs-abc.svc.aped-1.pinecone.io', ['docs-abc.svc.aped-1.pinecone.io']],
  ])('of %s is taken: %s', (id, text, hosts) => {
    expect(typed(id, text)).toEqual({ hosts, problems: {} });
  });

  it.each([
    '',
    ' , ',
    'zendesk.com',
    '.zendesk.com',
    '*.zendesk.com',
    'acme.*.zendesk.com',
    'evilzendesk.com',
    'acme.evilzendesk.com',
    'acme.zendesk.com.evil.com',
    'acme.zendesk.com.',
    'acme..zendesk.com',
    '-acme.zendesk.com',
    'ACME.zendesk.com',
    'https://acme.zendesk.com',
    'acme.zendesk.com/api',
    'acme.zendesk.com:443',
    'user@acme.zendesk.com',
    'acme.zendesk.com%2eevil.com',
    'acme.zendesk.com#.evil.com',
    'acme.zendesk.com\n',
    'acme.zendesk.com\tb.zendesk.com',
    'acmé.zendesk.com',
    'acme.zendesk\u3002com',
    `${'a'.repeat(64)}.zendesk.com`,
    `${'a.'.repeat(130)}zendesk.com`,
    'acme.freshdesk.com',
    'acme.zendesk.com evil.com',
    Array.from({ length: 33 }, (_, at) => `a${at}.zendesk.com`).join(' '),
  ])('is refused: %j', (text) => {
    expect(typed('zendesk', text)).toEqual({ hosts: [], problems: { '/fields/host': expect.any(String) } });
  });

  it("is not asked for where all hosts are the provider's own", () => {
    expect(typed('openai', 'evil.example')).toEqual({ hosts: [], problems: {} });
    expect(typedHosts(shipped('google'), 'oauth2', undefined)).toEqual({ hosts: [], problems: {} });
  });
});

describe('a pin', () => {
  const entry = (host: string, tenant?: boolean): HostEntry => ({ host, port: 443, ...(tenant === undefined ? {} : { tenant }) });
  const pinned = { hosts: ['acme.zendesk.com'] };

  it('holds for the very name, not for one below or above it', () => {
    const at = (host: string) => isPinned(pinned, entry('*.zendesk.com', true), host);
    expect(at('acme.zendesk.com')).toBe(true);
    for (const host of ['evil.zendesk.com', 'x.acme.zendesk.com', 'zendesk.com', 'acme.zendesk.com.', 'ACME.zendesk.com'])
      expect(at(host), host).toBe(false);
  });

  it("is needed below a suffix that says nothing, and not at exact names or where all names are the provider's", () => {
    expect(isPinned({ hosts: [] }, entry('*.acme.dev'), 'a.acme.dev')).toBe(false);
    expect(isPinned({ hosts: [] }, entry('*.acme.dev', false), 'a.acme.dev')).toBe(true);
    expect(isPinned({ hosts: [] }, entry('api.acme.dev'), 'api.acme.dev')).toBe(true);
  });

  it('stands in place of the suffix', () => {
    expect(hostsAt(entry('*.zendesk.com', true), ['acme.zendesk.com', 'acme.evilzendesk.com'])).toEqual(['acme.zendesk.com']);
    expect(hostsAt(entry('*.googleapis.com', false), ['acme.zendesk.com'])).toEqual(['*.googleapis.com']);
    expect(hostsAt(entry('api.acme.dev'), ['acme.zendesk.com'])).toEqual(['api.acme.dev']);
  });
});

describe('a definition', () => {
  const tenants = (origin: string, hosts: readonly object[], oauth = {}) => localDefinition(origin, { hosts }, oauth);

  it('may say tenant only of a suffix, and may not ask for host in its own words', async () => {
    const { connect } = await openConnecting();
    const judge = (changes: object) => connect.judgeProvider({ ...localDefinition('http://localhost:1'), ...changes });
    await expect(judge({ hosts: [{ host: 'api.local.test', tenant: true }] })).rejects.toEqual(
      fault('provider_invalid', { '/hosts/0/tenant': expect.any(String) }),
    );
    const asking = [{ kind: 'api_key', fields: [{ name: 'host', label: 'Host' }], inject: [{ kind: 'bearer', part: 'host' }] }];
    const own = { auth: asking, variables: [] };
    await expect(judge({ ...own, hosts: [{ host: '*.local.test' }] })).rejects.toEqual(
      fault('provider_invalid', { '/hosts/0': expect.any(String) }),
    );
    await expect(judge({ ...own, hosts: [{ host: '*.local.test', tenant: false }] })).resolves.toMatchObject({ id: 'local' });
  });

  it('that comes to have tenants cannot be agreed to without a host', async () => {
    const { connect, by, register, write } = await openConnecting();
    await register(tenants('http://localhost:1', [{ host: '*.local.test', tenant: false }]));
    const flow = await connect.begin(by, { ...plain, provider: 'local', flow: 'api_key' });
    const { connection } = await connect.completeWithKey(by, flow.id, secrets({ api_key: 'key-abcdef' }), 'browser');
    await register(tenants('http://localhost:1', [{ host: '*.local.test', tenant: true }]));
    await expect(write((tx) => connect.accept(tx, by, connection.id))).rejects.toEqual(fault('conflict'));
  });
});

describe('a flow of a provider with tenants', () => {
  async function standing(oauth = {}) {
    const provider = await startScriptedProvider(() => ({ body: { access_token: 'at-1', expires_in: 3600 } }));
    const connecting = await openConnecting([provider.port]);
    await connecting.register(localDefinition(provider.origin, { hosts: [{ host: '*.local.test', tenant: true }] }, oauth));
    const { connect, by } = connecting;
    const client = () => giveClient(connecting, 'local', { id: 'our-client', secret: new Secret('our-secret') });
    const begin = (more: Partial<BeginConnection> = {}) => connect.begin(by, { ...plain, provider: 'local', ...more });
    return { ...connecting, provider, client, begin };
  }

  it('with a key tells everything that is wrong at once, then pins the host and keeps it out of the credential', async () => {
    const { connect, by, begin, people } = await standing();
    const flow = await begin({ flow: 'api_key' });
    await expect(connect.completeWithKey(by, flow.id, secrets({ api_key: 'nope', host: 'a.evil.test' }), 'browser')).rejects.toEqual(
      fault('invalid_request', { '/fields/host': expect.stringContaining('local.test'), '/fields/api_key': expect.any(String) }),
    );
    await expect(connect.completeWithKey(by, flow.id, secrets({ api_key: 'key-abcdef' }), 'browser')).rejects.toEqual(
      fault('invalid_request', { '/fields/host': 'this is needed' }),
    );
    const { connection } = await connect.completeWithKey(
      by,
      flow.id,
      secrets({ api_key: 'key-abcdef', host: 'acme.local.test' }),
      'browser',
    );
    expect(connection.hosts).toEqual(['acme.local.test']);
    const credential = await connect.fresh(by, connection);
    expect(credential.hosts).toEqual(['acme.local.test']);
    expect(Object.keys(credential.parts)).toEqual(['api_key']);
    const row = await people.store.records
      .in(by.organization)
      .read((tx) => tx.db.selectFrom('connections').select('pinned_json').executeTakeFirstOrThrow());
    expect(JSON.parse(row.pinned_json)).toMatchObject({ hosts: ['acme.local.test'], origins: ['https://acme.local.test:443'] });
    expect(people.audit.drafts.at(-1)).toMatchObject({ name: 'connection.made', fields: { hosts: ['acme.local.test'] } });
  });

  it('of a provider with exact hosts still knows no field of that name', async () => {
    const { connect, by } = await openConnecting();
    const flow = await connect.begin(by, { ...plain, provider: 'openai' });
    await expect(
      connect.completeWithKey(by, flow.id, secrets({ api_key: 'sk-0123456789abcdefghi', host: 'evil.example' }), 'browser'),
    ).rejects.toEqual(fault('invalid_request', { '/fields': expect.any(String) }));
  });

  it('that leaves for the provider asks before, and pins what was named when the browser comes back', async () => {
    const { connect, by, session, client, begin, provider } = await standing();
    await client();
    const flow = await begin({ flow: 'pkce' });
    const leave = (host?: string) => connect.authorizationUrl(by, session, flow.id, host === undefined ? undefined : secrets({ host }));
    await expect(leave()).rejects.toEqual(fault('invalid_request', { '/fields/host': 'this is needed' }));
    await expect(leave('a.evil.test')).rejects.toEqual(fault('invalid_request', { '/fields/host': expect.any(String) }));
    const state = new URL(await leave('acme.local.test')).searchParams.get('state') ?? '';
    const callback = new URL(`${testIssuer}/connect/callback?code=c&state=${state}`);
    const { connection } = await connect.complete(by, session, callback);
    expect(connection).toMatchObject({ kind: 'oauth2', hosts: ['acme.local.test'] });
    expect(provider.tokenRequests()).toHaveLength(1);
  });

  it('pins the host of the attempt that came back, not of an earlier one', async () => {
    const { connect, by, session, client, begin } = await standing();
    await client();
    const flow = await begin({ flow: 'pkce' });
    const stateAt = async (host: string) =>
      new URL(await connect.authorizationUrl(by, session, flow.id, secrets({ host }))).searchParams.get('state') ?? '';
    const first = await stateAt('first.local.test');
    const second = await stateAt('second.local.test');
    const back = (state: string) => connect.complete(by, session, new URL(`${testIssuer}/connect/callback?code=c&state=${state}`));
    await expect(back(first)).rejects.toEqual(fault('link_ended'));
    expect((await back(second)).connection.hosts).toEqual(['second.local.test']);
  });

  it('as the client itself waits for the host also when the client is known', async () => {
    const { connect, by, client, begin, provider } = await standing();
    await client();
    const flow = await begin({ flow: 'client_credentials' });
    expect(flow.state.kind).toBe('waiting');
    expect(provider.tokenRequests()).toHaveLength(0);
    await expect(connect.completeWithKey(by, flow.id, {}, 'browser')).rejects.toEqual(
      fault('invalid_request', { '/fields/host': 'this is needed' }),
    );
    const { connection } = await connect.completeWithKey(by, flow.id, secrets({ host: 'acme.local.test' }), 'browser');
    expect(connection.hosts).toEqual(['acme.local.test']);
  });

  it('with a device is refused: no page of ours could ask', async () => {
    const { client, begin, provider } = await standing();
    await client();
    await expect(begin({ flow: 'device_code' })).rejects.toEqual(fault('invalid_request'));
    expect(provider.seen).toHaveLength(0);
  });

  it('asks again when the connection is replaced', async () => {
    const { connect, by, begin } = await standing();
    const connected = async (host: string, force: boolean) => {
      const flow = await begin({ flow: 'api_key', force });
      return (await connect.completeWithKey(by, flow.id, secrets({ api_key: 'key-abcdef', host }), 'browser')).connection;
    };
    const before = await connected('one.local.test', false);
    const after = await connected('two.local.test', true);
    expect([after.id, after.hosts]).toEqual([before.id, ['two.local.test']]);
    const [seen] = await connect.candidates(by.organization, [after.vault], 'local');
    expect(seen?.hosts).toEqual(['two.local.test']);
  });
});
