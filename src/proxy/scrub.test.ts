import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Secret } from '#kernel';
import { Scrubber, sieveFor, sieveOf } from './scrub.ts';

const secret = 'sk-Live_9f/8+x"Q=é7';

function scrub(text: string | Buffer, step: number, values: readonly string[] = [secret]): { out: Buffer; masked: number } {
  const bytes = Buffer.from(text as string);
  const scrubber = new Scrubber(sieveOf(values));
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += step) parts.push(Buffer.from(scrubber.push(Buffer.from(bytes.subarray(at, at + step)))));
  parts.push(scrubber.flush() ?? Buffer.alloc(0));
  return { out: Buffer.concat(parts), masked: scrubber.masked };
}

const raw = Buffer.from(secret, 'utf8');
const forms: Record<string, string> = {
  plain: secret,
  'percent-encoded': encodeURIComponent(secret),
  'percent-encoded in lower case': encodeURIComponent(secret).replace(/%../g, (pair) => pair.toLowerCase()),
  'percent-encoded throughout': raw.toString('hex').replace(/../g, (pair) => `%${pair}`),
  'form-encoded': new URLSearchParams({ a: secret }).toString().slice(2),
  'JSON-escaped': JSON.stringify(secret),
  'JSON-escaped with slashes': JSON.stringify(secret).replaceAll('/', '\\/'),
  'JSON-escaped to ASCII': JSON.stringify(secret).replace('é', '\\u00e9'),
  hexadecimal: raw.toString('hex'),
  'hexadecimal in upper case': raw.toString('hex').toUpperCase(),
  base64: raw.toString('base64'),
  base64url: raw.toString('base64url'),
  'base64 at offset 1': Buffer.concat([Buffer.from('u'), raw, Buffer.from('tail')]).toString('base64'),
  'base64 at offset 2': Buffer.concat([Buffer.from('u:'), raw, Buffer.from('x')]).toString('base64'),
  'base64url at offset 7': Buffer.concat([Buffer.from('user_a:'), raw]).toString('base64url'),
};

describe('an injected value does not come back, whatever its form', () => {
  for (const [name, form] of Object.entries(forms)) {
    test(`${name}, whole and split anywhere, with the length kept`, () => {
      const text = `{"echo": ${form}, "rest": true}\n`;
      for (const step of [1, 2, 3, 5, 7, 11, 1000]) {
        const { out, masked } = scrub(text, step);
        expect(masked).toBe(1);
        expect(out.length).toBe(Buffer.byteLength(text));
        expect(out.toString()).toContain('***');
        expect(out.toString().startsWith('{"echo": ')).toBe(true);
        expect(out.toString().endsWith(', "rest": true}\n')).toBe(true);
      }
    });
  }
});

test('a chunk that ends in nothing of a needle passes at once, so events are not delayed', () => {
  const scrubber = new Scrubber(sieveOf([secret]));
  const event = 'data: {"text":"hello"}\n\n';
  expect(scrubber.push(Buffer.from(event)).toString()).toBe(event);
  expect(scrubber.flush()).toBeUndefined();
});

test('only a tail that may begin a needle is held back', () => {
  const scrubber = new Scrubber(sieveOf([secret]));
  expect(scrubber.push(Buffer.from('abc sk-L')).toString()).toBe('abc ');
  expect(scrubber.push(Buffer.from('arge ')).toString()).toBe('sk-Large ');
});

test('text without a needle is never changed, however it is split', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 50 }), (bytes, step) => {
      const text = Buffer.from(bytes);
      const { out, masked } = scrub(text, step, ['a secret of thirty characters!']);
      return masked === 0 && out.equals(text);
    }),
  );
});

test('several secrets between any bytes are all masked, however they are split', () => {
  const values = ['AAAABBBB', 'AAAABBBBCCCC', 'token-1234'];
  const part = fc.oneof(fc.constantFrom(...values, 'AAAA', 'BBBB', 'tok'), fc.string({ maxLength: 5 }));
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), fc.integer({ min: 1, max: 30 }), (parts, step) => {
      const { out } = scrub(parts.join(''), step, values);
      return values.every((value) => !out.includes(value));
    }),
  );
});

test('the forms of a secret are made once', () => {
  const list = [new Secret('one-secret'), new Secret('two-secret')];
  expect(sieveFor(list)).toBe(sieveFor(list));
  const only = new Secret('one-secret');
  expect(sieveFor([only])).toBe(sieveFor([only]));
});
