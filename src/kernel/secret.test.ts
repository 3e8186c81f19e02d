import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { newId, parseId, Secret } from '#kernel';

test('a secret prints as [secret] in every way a value turns into text', () => {
  const secret = new Secret('canary');
  expect(`${secret}`).toBe('[secret]');
  expect(JSON.stringify({ secret })).toBe('{"secret":"[secret]"}');
  expect(inspect({ secret })).not.toContain('canary');
  expect(String(secret)).toBe('[secret]');
  expect(secret.reveal()).toBe('canary');
});

test('an id has its prefix and 26 lower-case Crockford characters, and sorts by time', () => {
  const early = newId('agt', 1000);
  const late = newId('agt', 2000);
  expect(early).toMatch(/^agt_[0-9a-hjkmnp-tv-z]{26}$/);
  expect(early < late).toBe(true);
  expect(parseId('agt', late)).toBe(late);
  expect(parseId('agt', `${late}x`)).toBeUndefined();
  expect(parseId('usr', late)).toBeUndefined();
});
