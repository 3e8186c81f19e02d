import { describe, expect, test } from 'vitest';
import type { Alteration } from '#broker';
import { isFault, Secret } from '#kernel';
import { connectionTokens } from './fields.ts';
import { parseRequestHead } from './head.ts';
import { alter, withoutParameters } from './inject.ts';
import { defaultLimits } from './limits.ts';
import { tunnelledTarget } from './target.ts';

const nothing: Alteration = { clear: { headers: [], query: [], cookies: [] }, set: [], replace: [] };

interface Change {
  readonly clear?: Partial<Alteration['clear']>;
  readonly set?: Alteration['set'];
  readonly replace?: Alteration['replace'];
}

function altered(first: string, fields: string, change: Change): { origin: string; fields: string } {
  const raw = Buffer.from(`${first} HTTP/1.1\r\nHost: a.test\r\n${fields}\r\n`, 'latin1');
  const head = parseRequestHead(raw, raw.length, defaultLimits);
  const target = tunnelledTarget(head, { host: 'a.test', port: 443 });
  const alteration = { ...nothing, ...change, clear: { ...nothing.clear, ...change.clear } };
  const result = alter(head, target, connectionTokens(head), alteration, () => true);
  let text = '';
  for (let i = 0; i < result.fields.length; i += 2) text += `${result.fields[i]}: ${result.fields[i + 1]}|`;
  return { origin: result.origin, fields: text };
}

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'passed';
  } catch (error) {
    return isFault(error) ? error.code : String(error);
  }
}

const header = (name: string, value: string) => ({ slot: 'header', name, value: new Secret(value) }) as const;
const query = (name: string, value: string) => ({ slot: 'query', name, value: new Secret(value) }) as const;
const cookie = (name: string, value: string) => ({ slot: 'cookie', name, value: new Secret(value) }) as const;
const path = (value: string) => ({ slot: 'path', value: new Secret(value) }) as const;
type Slots = Alteration['replace'][number]['slots'];
const replacing = (slots: Slots) => ({ replace: [{ placeholder: 'ghp_PLACE', value: new Secret('real/+value'), slots }] });

describe('an injected header', () => {
  test('stands once, in place of every client value, whatever its case and its hyphens', () => {
    const { fields } = altered('GET /', 'AUTHORIZATION: a\r\nAuthorization: b\r\nX-Api-Key: c\r\nX_Api_Key: c\r\nAccept: d\r\n', {
      clear: { headers: ['authorization', 'x-api-key'] },
      set: [header('authorization', 'Basic xyz'), header('x-one', '1'), header('x-two', '2')],
    });
    expect(fields).toBe('Host: a.test|Accept: d|authorization: Basic xyz|x-one: 1|x-two: 2|');
  });

  test('replaces a client value that nobody listed', () => {
    expect(altered('GET /', 'X-Key: mine\r\n', { set: [header('x-key', 'real')] }).fields).toBe('Host: a.test|x-key: real|');
  });

  test('goes as UTF-8, and is refused when it would break the line', () => {
    expect(altered('GET /', '', { set: [header('x', 'é')] }).fields).toContain(`x: ${Buffer.from('é').toString('latin1')}|`);
    for (const value of ['a\r\nHost: b', 'a\nb', 'a\0b']) {
      expect(codeOf(() => altered('GET /', '', { set: [header('x', value)] }))).toBe('credential_unavailable');
    }
  });

  test('survives a Connection that names it', () => {
    expect(altered('GET /', 'Connection: authorization\r\nAuthorization: x\r\n', { set: [header('authorization', 'y')] }).fields).toBe(
      'Host: a.test|authorization: y|',
    );
  });
});

describe('an injected query parameter', () => {
  test('replaces every spelling of its name and leaves the others byte for byte', () => {
    const { origin } = altered('GET /p%2Fq?a=%2f&KEY=1&k%65y=2&b=c+d&key&&key[]=3;key=4&e=', '', { set: [query('key', 'v&1')] });
    expect(origin).toBe('/p%2Fq?a=%2f&b=c+d&&e=&key=v%261');
  });

  test('starts a query where there is none', () => {
    expect(altered('GET /p', '', { set: [query('key', 'v')] }).origin).toBe('/p?key=v');
  });

  test('leaves a target alone that holds nothing to clear', () => {
    for (const target of ['/', '/?', '/a?b', '/a??=&;', '/%zz?%']) {
      expect(altered(`GET ${target}`, '', { clear: { query: ['key'] } }).origin).toBe(target);
    }
    expect(withoutParameters('key=1', new Set(['key']))).toBe('');
    expect(altered('GET /a?key=1', '', { clear: { query: ['key'] } }).origin).toBe('/a');
  });
});

test('an injected cookie joins the others and replaces its namesakes', () => {
  const { fields } = altered('GET /', 'Cookie: a=1; s=mine\r\ncookie: s=again; b=2\r\n', { set: [cookie('s', 'real')] });
  expect(fields).toBe('Host: a.test|Cookie: a=1; b=2; s=real|');
  expect(altered('GET /', 'Cookie: s=mine\r\n', { clear: { cookies: ['s'] } }).fields).toBe('Host: a.test|');
  expect(codeOf(() => altered('GET /', '', { set: [cookie('s', 'a;b')] }))).toBe('credential_unavailable');
});

test('an injected path replaces the whole path and keeps the query', () => {
  expect(altered('GET /botX/send?a=%2f', '', { set: [path('/bot123:abc/send')] }).origin).toBe('/bot123:abc/send?a=%2f');
  for (const bad of ['bot', '/a b', '/a\r\nb', '/a?b', '/a#b', '/é']) {
    expect(codeOf(() => altered('GET /', '', { set: [path(bad)] }))).toBe('credential_unavailable');
  }
});

describe('a placeholder', () => {
  test('is replaced in the slots the provider names', () => {
    expect(altered('GET /', 'X-Key: k=ghp_PLACE\r\n', replacing(['header'])).fields).toContain('X-Key: k=real/+value|');
    expect(altered('GET /?k=ghp_PLACE', '', replacing(['query'])).origin).toBe('/?k=real%2F%2Bvalue');
    expect(altered('GET /ghp_PLACE/x', '', replacing(['path'])).origin).toBe('/real%2F%2Bvalue/x');
    expect(altered('GET /', 'Cookie: k=ghp_PLACE\r\n', replacing(['cookie'])).fields).toContain('Cookie: k=real/+value|');
  });

  test('brings nothing of the program’s own through its slot', () => {
    const change = { ...replacing(['header', 'cookie']), clear: { headers: ['authorization', 'cookie'] } };
    const fields = 'Authorization: Bearer own\r\nAuthorization: Bearer ghp_PLACE\r\nCookie: a=own\r\nCookie: b=own; c=ghp_PLACE; d=own\r\n';
    expect(altered('GET /', fields, change).fields).toBe('Host: a.test|Authorization: Bearer real/+value|Cookie: c=real/+value|');
    expect(altered('GET /', fields, { ...change, ...replacing(['query']) }).fields).toBe('Host: a.test|');
  });

  test('is replaced inside Basic', () => {
    const { fields } = altered('GET /', `Authorization: Basic ${btoa('me:ghp_PLACE')}\r\n`, replacing(['header']));
    expect(fields).toContain(`Authorization: Basic ${btoa('me:real/+value')}|`);
  });

  test('anywhere else is refused', () => {
    expect(codeOf(() => altered('GET /', 'X: ghp_PLACE\r\n', replacing(['query'])))).toBe('placeholder_misplaced');
    expect(codeOf(() => altered('GET /', `X: Basic ${btoa('me:ghp_PLACE')}\r\n`, replacing(['query'])))).toBe('placeholder_misplaced');
    expect(codeOf(() => altered('GET /?ghp_PLACE', '', replacing(['path'])))).toBe('placeholder_misplaced');
    expect(codeOf(() => altered('GET /ghp_PLACE', '', replacing(['query'])))).toBe('placeholder_misplaced');
    expect(codeOf(() => altered('GET /', 'Cookie: a=ghp_PLACE\r\n', replacing(['header'])))).toBe('placeholder_misplaced');
  });
});

test('fields that end here do not pass, and Connection cannot take away what frames the message', () => {
  const hop =
    'Connection: close, X-A\r\nX-A: 1\r\nKeep-Alive: 1\r\nTE: gzip\r\nProxy-Anything: 1\r\nGatehouse-Connection: w\r\nUpgrade: h2c\r\n';
  expect(altered('GET /', hop, {}).fields).toBe('Host: a.test|');
  for (const name of ['Host', 'Content-Length', 'transfer-encoding']) {
    expect(codeOf(() => altered('GET /', `Connection: ${name}\r\n`, {}))).toBe('bad_framing');
  }
});
