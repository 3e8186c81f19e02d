import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isAmbiguous } from './ambiguous-path.ts';
import { loadCatalogue } from './catalogue.ts';
import { indexHosts } from './hosts.ts';
import { injectionsFor, matchCall } from './match.ts';
import { operationOf } from './operations.ts';

const catalogue = loadCatalogue();
const index = indexHosts(catalogue.values());

function first(host: string, method: string, path: string) {
  return matchCall(index, { host, port: 443, method, path })[0];
}

function operation(host: string, method: string, path: string) {
  return first(host, method, path)?.operation?.id;
}

describe('an operation', () => {
  it.each([
    ['GET', '/user', 'user.get'],
    ['GET', '/repos/o/r', 'repos.get'],
    ['DELETE', '/repos/o/r', 'repos.delete'],
    ['POST', '/repos/o/r/issues', 'issues.create'],
    ['POST', '/repos/o/r/hooks', 'hooks.mint'],
    ['GET', '/repos/o/r/hooks', 'hooks.mint'],
    ['GET', '/repos/o/r/contents/a/b/c.txt', 'repos.get'],
    ['POST', '/user/keys', 'keys.mint'],
    ['PUT', '/repos/o/r/collaborators/eve', 'members.mint'],
    ['GET', '/repos/o/r/actions/secrets', 'secrets.mint'],
  ])('of GitHub: %s %s is %s', (method, path, id) => {
    expect(operation('api.github.com', method, path)).toBe(id);
  });

  it('that mints a credential is recognised in every spelling a lenient upstream could read', () => {
    for (const path of [
      '/repos/o/r/HOOKS',
      '/repos/o/r/hooks/',
      '/repos/o/r/%68ooks',
      '/repos/o/r//hooks',
      '/repos/o/r/x/../hooks',
      '/repos/o/r/hooks;a=1',
    ])
      expect(operation('api.github.com', 'POST', path), path).toBe('hooks.mint');
  });

  it('is none for GraphQL, batches and what nobody described', () => {
    expect(first('api.github.com', 'POST', '/graphql')).toMatchObject({ operation: undefined, ambiguous: true });
    expect(first('api.linear.app', 'POST', '/graphql')?.operation).toBeUndefined();
    expect(first('api.github.com', 'GET', '/something/new')?.operation).toBeUndefined();
    expect(first('www.googleapis.com', 'POST', '/batch/drive/v3')?.operation).toBeUndefined();
  });

  it('of git lies on github.com, and none of the API does', () => {
    expect(operation('github.com', 'GET', '/o/r.git/info/refs')).toBe('git.discover');
    expect(operation('github.com', 'POST', '/o/r.git/git-upload-pack')).toBe('git.fetch');
    expect(operation('github.com', 'POST', '/o/r.git/git-receive-pack')).toBe('git.push');
    expect(operation('github.com', 'GET', '/user')).toBeUndefined();
    expect(operation('api.github.com', 'POST', '/o/r.git/git-receive-pack')).toBeUndefined();
  });

  it('that moves money or writes to a person is not a mere write', () => {
    expect(first('api.stripe.com', 'POST', '/v1/refunds')?.operation?.classes).toEqual(['move-money']);
    expect(first('api.stripe.com', 'POST', '/v1/customers/c/balance_transactions')?.operation?.classes).toEqual(['move-money']);
    expect(first('slack.com', 'POST', '/api/chat.postMessage')?.operation?.classes).toEqual(['message-a-person']);
    expect(first('api.sendgrid.com', 'POST', '/v3/mail/send')?.operation?.classes).toEqual(['message-a-person']);
    expect(first('api.openai.com', 'POST', '/v1/organization/admin_api_keys')?.operation?.classes).toEqual(['mint-credential']);
  });
});

describe('the tree of patterns', () => {
  const entries = [...catalogue.values()].flatMap((provider) => provider.hosts.map((entry) => [provider, entry] as const));
  const segments = [
    ...new Set([...catalogue.values()].flatMap((one) => one.operations.flatMap((op) => op.match.flatMap((m) => m.path.split('/'))))),
  ];
  const segment = fc.oneof(
    fc.constantFrom(...segments.map((text) => text.replaceAll('*', 'x'))),
    fc.constantFrom('a', 'V1', 'x:batchUpdate', ''),
  );

  it('finds what looking at every pattern finds', () => {
    const method = fc.constantFrom('GET', 'POST', 'DELETE', 'PUT');
    fc.assert(
      fc.property(fc.constantFrom(...entries), method, fc.array(segment, { maxLength: 7 }), ([provider, entry], verb, parts) => {
        const path = `/${parts.filter((part, at) => part !== '' || at === parts.length - 1).join('/')}`;
        if (isAmbiguous(verb, path)) return;
        expect(operationOf(provider, entry, verb, path, true)).toEqual(operationOf(provider, entry, verb, path, false));
      }),
      { numRuns: 3000 },
    );
  });

  it('and does so for every operation of the catalogue', () => {
    for (const [provider, entry] of entries)
      for (const { match } of provider.operations)
        for (const { path: pattern, methods } of match)
          for (const path of [
            pattern.replaceAll('**', 'a/b').replaceAll('*', 'x'),
            pattern.replaceAll('*', 'Y').toUpperCase(),
            `${pattern.replaceAll('*', 'z')}/`,
          ]) {
            const verb = methods[0] ?? 'PATCH';
            expect(operationOf(provider, entry, verb, path, true), path).toEqual(operationOf(provider, entry, verb, path, false));
          }
  });
});

describe('a path', () => {
  it.each([
    '/a/%2e%2e/b',
    '/a/%2E/b',
    '/a%2Fb',
    '/a%5cb',
    '/a//b',
    '/a/../b',
    '/a/..',
    '/a\\b',
    '/a;x=1/b',
    '/a%3bx',
    '/%61dmin',
    '/%2561',
    '/a%00',
    '/a%zz',
    '/a%',
    '*',
    'a',
    '/a b',
    '/ä',
    '/a#b',
  ])('%s could be read in two ways', (path) => {
    expect(isAmbiguous('GET', path)).toBe(true);
  });

  it.each([
    '/',
    '/a/b/',
    '/a%20b',
    '/a%3Ab',
    '/v1/models/gemini:generate',
    '/a/.well-known/b',
    '/a/...',
    '/a%E2%82%AC',
    '/a/~b/(c)',
    '/a/b@c,d',
  ])('%s has one reading', (path) => {
    expect(isAmbiguous('GET', path)).toBe(false);
  });

  it('and a method in small letters is not a method', () => {
    expect(isAmbiguous('get', '/a')).toBe(true);
    expect(isAmbiguous('GET POST', '/a')).toBe(true);
  });
});

describe('what to inject', () => {
  it('differs between the API and git of one provider', () => {
    const api = first('api.github.com', 'GET', '/user');
    const git = first('github.com', 'GET', '/o/r.git/info/refs');
    if (api === undefined || git === undefined) throw new Error('unclaimed');
    expect(injectionsFor(api.provider, api.entry, 'oauth2')).toEqual([{ kind: 'bearer', part: 'access_token' }]);
    expect(injectionsFor(git.provider, git.entry, 'oauth2')).toEqual([
      { kind: 'basic', username: 'x-access-token', password: '{access_token}' },
    ]);
    expect(injectionsFor(git.provider, git.entry, 'api_key')).toEqual([
      { kind: 'basic', username: 'x-access-token', password: '{api_key}' },
    ]);
    expect(injectionsFor(git.provider, git.entry, 'other')).toEqual([]);
  });
});
