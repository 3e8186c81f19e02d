import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FaultCode } from '#kernel';
import { localDefinition, openConnecting } from '../../test/support/connecting.ts';
import { parseDefinition } from './definition.ts';
import { asDefinition, readHost } from './importing.ts';

const fault = (code: FaultCode) => expect.objectContaining({ code });
const definition = (changes: object = {}, oauth: object = {}) =>
  localDefinition('https://as.example', changes as Record<string, unknown>, oauth as Record<string, unknown>);
const fields = (input: unknown): Record<string, string> => {
  try {
    parseDefinition(asDefinition(input), { shipped: false });
    return {};
  } catch (error) {
    return { ...(error as { details: { fields?: Record<string, string> } }).details.fields };
  }
};

describe('a definition of an organization', () => {
  it('is found, listed, matched and removed', async () => {
    const { connect, by, register, write } = await openConnecting();
    await register(definition());
    expect(await connect.provider(by.organization, 'local')).toMatchObject({ source: 'organization', name: 'Local' });
    const listed = await connect.providers(by.organization, { text: 'local', limit: 10 });
    expect(listed.items.map((provider) => provider.id)).toEqual(['local']);
    expect((await connect.claims(by.organization, 'api.local.test', 443)).map((provider) => provider.id)).toEqual(['local']);
    await write((tx) => connect.removeProvider(tx, by, 'local'));
    await expect(connect.provider(by.organization, 'local')).rejects.toEqual(fault('provider_unknown'));
    expect(await connect.claims(by.organization, 'api.local.test', 443)).toEqual([]);
    await expect(write((tx) => connect.removeProvider(tx, by, 'github'))).rejects.toEqual(fault('provider_unknown'));
  });

  it('cannot take the id of a shipped one', async () => {
    const { connect, register } = await openConnecting();
    await expect(register(definition({ id: 'github' }))).rejects.toEqual(fault('provider_exists'));
    await expect(connect.judgeProvider(definition({ id: 'github' }))).rejects.toEqual(fault('provider_exists'));
  });

  it('cannot claim a host, port and path of another, but a path of its own', async () => {
    const { register } = await openConnecting();
    await expect(register(definition({ hosts: [{ host: 'api.github.com' }] }))).rejects.toMatchObject({
      code: 'provider_invalid',
      details: { fields: { '/hosts/0': expect.stringContaining('github') } },
    });
    await register(definition({ hosts: [{ host: 'api.github.com', path: '/mcp' }] }));
    await expect(register(definition({ id: 'second', hosts: [{ host: 'api.github.com', path: '/mcp' }] }))).rejects.toEqual(
      fault('provider_invalid'),
    );
    await register(definition({ id: 'second', hosts: [{ host: 'api.github.com', port: 8443 }] }));
  });

  it('pages by id', async () => {
    const { connect, by } = await openConnecting();
    const one = await connect.providers(by.organization, { limit: 5 });
    const two = await connect.providers(by.organization, { limit: 5, cursor: one.next ?? '' });
    expect(one.items).toHaveLength(5);
    expect((two.items[0]?.id ?? '') > (one.items[4]?.id ?? '')).toBe(true);
  });

  it.each([
    ['an address as host', { hosts: [{ host: '10.0.0.1' }] }, {}, '/hosts/0/host'],
    ['a host in brackets', { hosts: [{ host: '[::1]' }] }, {}, '/hosts/0/host'],
    ['a number as host', { hosts: [{ host: '2130706433' }] }, {}, '/hosts/0/host'],
    ['a star without its dot', { hosts: [{ host: '*github.com' }] }, {}, '/hosts/0/host'],
    ['a star inside', { hosts: [{ host: 'api.*.com' }] }, {}, '/hosts/0/host'],
    ['every name of the world', { hosts: [{ host: '*.com' }] }, {}, '/hosts/0/host'],
    ['a suffix where anybody can have a name', { hosts: [{ host: '*.github.io' }] }, {}, '/hosts/0/host'],
    ['capitals', { hosts: [{ host: 'API.example.com' }] }, {}, '/hosts/0/host'],
    ['a trailing dot', { hosts: [{ host: 'api.example.com.' }] }, {}, '/hosts/0/host'],
    ['a path with dots', { hosts: [{ host: 'api.example.com', path: '/a/' }] }, {}, '/hosts/0/path'],
    ['clear text to a token endpoint', {}, { token_endpoint: 'http://as.example/t' }, '/auth/0/token_endpoint'],
    ['a user name in an endpoint', {}, { token_endpoint: 'https://u:p@as.example/t' }, '/auth/0/token_endpoint'],
    ['a scheme that runs code', {}, { authorization_endpoint: 'javascript:alert(1)' }, '/auth/0/authorization_endpoint'],
    ['a framing header', {}, { inject: [{ kind: 'header', name: 'Host', part: 'access_token' }] }, '/auth/0/inject/0/name'],
    [
      'a header name with a line break',
      {},
      { inject: [{ kind: 'header', name: 'X\r\nY', part: 'access_token' }] },
      '/auth/0/inject/0/name',
    ],
    ['a part that no credential has', {}, { inject: [{ kind: 'bearer', part: 'password' }] }, '/auth/0/inject/0'],
    ['a flow without its endpoint', {}, { token_endpoint: undefined }, '/auth/0/token_endpoint'],
    ['an unknown member', { surprise: true }, {}, '/'],
  ] as const)('is refused for %s', (_name, changes, oauth, pointer) => {
    expect(Object.keys(fields(definition(changes, oauth)))).toContain(pointer);
  });

  it('may lie on loopback, where the operator has to open it as well', () => {
    const local = definition(
      { hosts: [{ host: 'localhost', port: 8443 }] },
      { token_endpoint: 'http://localhost:1/t', authorization_endpoint: 'http://127.0.0.1:1/a' },
    );
    expect(fields(local)).toEqual({});
  });

  it('takes only patterns that cannot be made slow', () => {
    const withPattern = (pattern: string) =>
      definition({
        auth: [{ kind: 'api_key', fields: [{ name: 'api_key', label: 'Key', pattern }], inject: [{ kind: 'bearer', part: 'api_key' }] }],
        variables: [],
      });
    for (const pattern of ['(a+)+$', '^(a|aa)+$', 'a*a*a*b', '(', '(?=x)y', '\\1'])
      expect(Object.keys(fields(withPattern(pattern))), pattern).toContain('/auth/0/fields/0/pattern');
    for (const pattern of ['^sk-[a-z0-9]{20,}$', '^(a|b)_[0-9]+$', '^x{3}$']) expect(fields(withPattern(pattern)), pattern).toEqual({});
  });

  it('never makes the parser throw anything but a fault', () => {
    fc.assert(
      fc.property(fc.anything(), (input) => {
        try {
          parseDefinition(asDefinition(input), { shipped: false });
        } catch (error) {
          expect(error).toMatchObject({ code: 'provider_invalid' });
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('a definition of another broker’s kind', () => {
  const foreign = `{
    // an OAuth provider, as others write it
    "name": "acme",
    "display_name": "Acme",
    "auth_type": "oauth2",
    "flow": "pkce",
    "host_url": "api.acme.dev",
    "docs": "https://acme.dev/docs",
    "oauth": {
      "authorization_url": "https://acme.dev/authorize",
      "token_url": "https://acme.dev/token",
      "device_authorization_url": "https://acme.dev/device",
      "scopes": ["read", "write"],
    },
    "export": { "env": { "access_token": "ACME_TOKEN" } },
  }`;

  it('is imported, comments and trailing commas and all', async () => {
    const { connect, by, write } = await openConnecting();
    const provider = await write((tx) => connect.registerProvider(tx, by, foreign));
    expect(provider).toMatchObject({
      id: 'acme',
      name: 'Acme',
      hosts: [{ host: 'api.acme.dev', port: 443 }],
      auth: [{ kind: 'oauth2', flows: ['pkce', 'device_code'], token_endpoint: 'https://acme.dev/token', scopes: ['read', 'write'] }],
      variables: [{ name: 'ACME_TOKEN', part: 'access_token' }],
    });
  });

  it('with a key, its header, prefix and pattern', () => {
    const imported = parseDefinition(
      asDefinition({
        name: 'keyed',
        hosts: ['https://api.keyed.dev/v1'],
        api_key: { header_name: 'X-Api-Key', header_prefix: 'Token', key_pattern: '^k_[a-z]+$' },
        export: ['KEYED_API_KEY'],
      }),
      { shipped: false },
    );
    expect(imported).toMatchObject({
      hosts: [{ host: 'api.keyed.dev', path: '/v1' }],
      auth: [
        {
          kind: 'api_key',
          fields: [{ name: 'api_key', pattern: '^k_[a-z]+$' }],
          inject: [{ kind: 'header', name: 'X-Api-Key', prefix: 'Token ' }],
        },
      ],
      variables: [{ name: 'KEYED_API_KEY', part: 'api_key' }],
    });
  });

  it.each([
    ['*github.com', 'github.com or *.github.com'],
    ['regex:.*\\.github\\.com$', '*.github.com'],
    ['^api\\.github\\.com$', 'use api.github.com'],
    ['regex:(api|www)\\.acme\\.dev', 'acme.dev'],
    ['api.*.acme.dev', 'acme.dev'],
    ['.*', 'the exact host names'],
  ])('is refused for the unsafe host %s, with the safe form proposed', (host, proposal) => {
    expect(fields({ name: 'x', host_url: host, api_key: {} })['/hosts/0']).toContain(proposal);
  });

  it('reads plain hosts, ports, paths and label suffixes', () => {
    expect(readHost('https://API.acme.dev:8443/v1/')).toEqual({ host: 'api.acme.dev', port: 8443, path: '/v1' });
    expect(readHost('*.acme.dev')).toEqual({ host: '*.acme.dev' });
    expect(readHost('127.0.0.1')).toHaveProperty('unsafe');
    expect(readHost('user@acme.dev')).toHaveProperty('unsafe');
  });

  it('that is no JSON is refused', () => {
    expect(fields('{"name": ')).toHaveProperty('/');
  });
});
