import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compilePattern, couldMatchPattern, matchPattern } from './pattern.ts';

const matches = (path: string, target: string, methods: readonly string[] = [], method = 'GET') =>
  matchPattern(compilePattern({ methods: [...methods], path }), method, target);
const could = (path: string, target: string, methods: readonly string[] = [], method = 'GET') =>
  couldMatchPattern(compilePattern({ methods: [...methods], path }), method, target);

describe('a path pattern', () => {
  it.each([
    ['/repos', '/repos'],
    ['/', '/'],
    ['/repos/', '/repos/'],
    ['/repos/*', '/repos/octo'],
    ['/repos/*/issues', '/repos/octo/issues'],
    ['/repos/**', '/repos'],
    ['/repos/**', '/repos/'],
    ['/repos/**', '/repos/a/b/c'],
    ['/**', '/'],
    ['/**', '/anything/at/all'],
    ['/*/**', '/a'],
    ['/*/**', '/a/b'],
    ['/messages/*.json', '/messages/m1.json'],
    ['/documents/*:batchUpdate', '/documents/d1:batchUpdate'],
    ['/a%2Fb', '/a%2Fb'],
    ['/ü', '/ü'],
  ])('%s matches %s', (pattern, target) => {
    expect(matches(pattern, target)).toBe(true);
  });

  it.each([
    ['/repos', '/repos/'],
    ['/repos/', '/repos'],
    ['/repos', '/reposecret'],
    ['/repos', '/Repos'],
    ['/repos/*', '/repos'],
    ['/repos/*', '/repos/'],
    ['/repos/*', '/repos/a/b'],
    ['/repos/**', '/repository'],
    ['/repos/**', '/'],
    ['/repos/*/issues', '/repos//issues'],
    ['/*/**', '/'],
    ['/messages/*.json', '/messages/.json'],
    ['/messages/*.json', '/messages/a.jsonx'],
    ['/a/b', '/a%2Fb'],
    ['/a', 'a'],
    ['/a', ''],
    ['/**', '*'],
    ['/', ''],
  ])('%s does not match %s', (pattern, target) => {
    expect(matches(pattern, target)).toBe(false);
  });

  it('matches the listed methods, and any when none is listed', () => {
    expect(matches('/a', '/a', ['GET', 'HEAD'], 'HEAD')).toBe(true);
    expect(matches('/a', '/a', ['GET'], 'POST')).toBe(false);
    expect(matches('/a', '/a', [], 'BREW')).toBe(true);
    expect(matches('/a', '/a', ['GET'], 'get')).toBe(false);
  });

  it.each(['/a/**/b', '/a*', '/a*b', '/**b', '/***', '/*a*', 'a', ''])('refuses %s', (path) => {
    expect(() => compilePattern({ methods: [], path })).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  });
});

describe('a path pattern that forbids', () => {
  it.each([
    ['/repos/secret', '/repos/s%65cret'],
    ['/repos/secret', '/repos/s%2565cret'],
    ['/repos/secret', '/REPOS/Secret'],
    ['/repos/secret', '//repos///secret/'],
    ['/repos/secret', '/repos/./x/../secret'],
    ['/repos/secret', '/repos/%2e%2e/repos/secret'],
    ['/repos/secret', '/repos%2fsecret'],
    ['/repos/secret', '/repos\\secret'],
    ['/repos/secret', '/repos;v=1/secret;x'],
    ['/repos/s%65cret', '/repos/secret'],
    ['/', '//'],
    ['/', '/;a'],
    ['/ü', '/%C3%BC'],
  ])('%s also catches %s', (pattern, target) => {
    expect(could(pattern, target)).toBe(true);
  });

  it('catches a method in another case', () => {
    expect(could('/a', '/a', ['DELETE'], 'delete')).toBe(true);
  });

  it('leaves other paths alone', () => {
    expect(could('/repos/secret', '/repos/secrets')).toBe(false);
    expect(could('/', '/a')).toBe(false);
    expect(could('/a', '/%zz')).toBe(false);
  });
});

const segment = fc.stringMatching(/^[a-zA-Z0-9._~%-]{1,8}$/);

describe('for all paths', () => {
  it('a path matches itself as a pattern, with every segment replaced by *, and under any of its prefixes', () => {
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 6 }), fc.nat(), fc.nat(), (segments, which, length) => {
        const path = `/${segments.join('/')}`;
        const starred = segments.map((text, i) => (i === which % segments.length ? '*' : text));
        const prefix = segments.slice(0, length % segments.length);
        expect(matches(path, path)).toBe(true);
        expect(matches(`/${starred.join('/')}`, path)).toBe(true);
        expect(matches(`/${[...prefix, '**'].join('/')}`, path)).toBe(true);
        expect(matches(`/${[...segments, 'more'].join('/')}`, path)).toBe(false);
      }),
    );
  });

  it('whatever matches could match', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(segment, fc.constant('*')), { minLength: 1, maxLength: 5 }), fc.string(), (segments, target) => {
        const pattern = `/${segments.join('/')}`;
        if (matches(pattern, `/${target}`)) expect(could(pattern, `/${target}`)).toBe(true);
      }),
    );
  });
});
