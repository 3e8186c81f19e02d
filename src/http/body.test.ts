import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { isFault } from '#kernel';
import { formOf, jsonOf, judge } from './body.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const thrown = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    if (isFault(error)) return error;
  }
  throw new Error('nothing was thrown');
};

describe('bodies', () => {
  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"'])('takes JSON as %s', (type) =>
    expect(jsonOf(type, bytes('{"a":1}'))).toEqual({ a: 1 }),
  );

  it.each([undefined, 'text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'application/json; charset=utf-16'])(
    'does not take JSON as %s',
    (type) => expect(thrown(() => jsonOf(type, bytes('{"a":1}'))).code).toBe('unsupported_media_type'),
  );

  it('takes an absent body for an empty object', () => expect(jsonOf(undefined, bytes(''))).toEqual({}));

  it.each(['{', '{"a":1}x', 'undefined', '\u{feff}', '{"a":"\u0001"}'])('refuses malformed JSON without quoting it: %j', (text) => {
    const fault = thrown(() => jsonOf('application/json', bytes(text)));
    expect(fault.code).toBe('invalid_request');
    expect(fault.message).toBe('The body is not valid JSON');
  });

  it('refuses bytes that are not UTF-8', () =>
    expect(thrown(() => jsonOf('application/json', Uint8Array.of(0x22, 0xff, 0x22))).code).toBe('invalid_request'));

  it('gives the last of a repeated form field, and all of a list', () => {
    const form = formOf('application/x-www-form-urlencoded', bytes('a=1&a=2&b[]=3&b[]=4&__proto__=5'));
    expect(form).toMatchObject({ a: '2', 'b[]': ['3', '4'] });
    expect(Object.getPrototypeOf(form)).toBeNull();
  });

  it('tells what is wrong by JSON pointer', () => {
    const schema = z.object({ a: z.object({ 'b/~c': z.int() }), d: z.string() });
    const fault = thrown(() => judge(schema, { a: { 'b/~c': 'x' } }, ''));
    expect(Object.keys(fault.details.fields ?? {})).toEqual(['/a/b~1~0c', '/d']);
  });
});
