import { expect, it } from 'vitest';
import { TokenMask } from './token-mask.ts';

/** The text with its tokens hidden, the same in slices of every small size. */
function hidden(text: string): string {
  const results = [text.length, 1, 2, 3, 7].map((size) => {
    const bytes = Buffer.from(text, 'latin1');
    const mask = new TokenMask();
    for (let at = 0; at < bytes.length; at += size) mask.push(bytes.subarray(at, at + size));
    return bytes.toString('latin1');
  });
  expect(new Set(results).size, text).toBe(1);
  return results[0] as string;
}

it.each([
  [
    '{"access_token":"canary-1","token_type":"bearer","expires_in":3600}',
    '{"access_token":"********","token_type":"bearer","expires_in":3600}',
  ],
  ['{ "a": {"refresh_token" :\n "can\\"ry"}, "b": "access_token" }', '{ "a": {"refresh_token" :\n "*******"}, "b": "access_token" }'],
  ['[{"id_token":"a.b.c"},{"id_token":"d"}]', '[{"id_token":"*****"},{"id_token":"*"}]'],
  ['{"access\\u005ftoken":"canary"}', '{"access\\u005ftoken":"******"}'],
  ['{"access_token":null,"scope":"x"}', '{"access_token":null,"scope":"x"}'],
  ['{"access_token":"","x":"y","note":"access_token"}', '{"access_token":"","x":"y","note":"access_token"}'],
  ['access_token=canary&scope=x&refresh_token=r%2B1', 'access_token=******&scope=x&refresh_token=*****'],
  ['{"next":"https://a.test/?access_token=canary&x=1"}', '{"next":"https://a.test/?access_token=******&x=1"}'],
  ['{"my_access_token":"kept"}&other_access_token=kept', '{"my_access_token":"kept"}&other_access_token=kept'],
  ['{"error":"invalid_grant"}', '{"error":"invalid_grant"}'],
])('hides the tokens of %s and nothing else', (text, wanted) => expect(hidden(text)).toBe(wanted));
