import { expect, test } from 'vitest';
import { passingTrailers } from './fields.ts';

test('a trailer passes unless it frames, is a credential, is ours, or names another method, path or host', () => {
  const fields = ['X-Sum', 'Content-Length', 'X_Api_Key', 'Gatehouse-A', 'X-HTTP-Method-Override', 'x_original_url', 'X-Forwarded-Host'];
  const trailers = { pairs: fields.map((name) => [name, 'a'] as const), names: fields.map((name) => name.toLowerCase()) };
  expect(passingTrailers(trailers, ['x-api-key']).pairs).toEqual([['X-Sum', 'a']]);
});
