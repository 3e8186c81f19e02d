import { expect, test } from 'vitest';
import { parseHost } from './hosts.ts';

test.each([
  'api.github.com',
  'API.GitHub.com',
  'localhost',
  'xn--bcher-kva.example',
  '_dmarc.example.com',
  'a-b.c1',
  '1password.com',
  '3.14.example',
])('%s is a name', (text) => expect(parseHost(text)).toEqual({ kind: 'name', name: text.toLowerCase() }));

test.each(['127.0.0.1', '8.8.8.8', '::1', '[::1]', '[2606:4700::1111]'])('%s is an address', (text) =>
  expect(parseHost(text)?.kind).toBe('address'),
);

test.each([
  '2130706433',
  '0x7f000001',
  '0x7f.1',
  '127.1',
  '0177.0.0.1',
  '127.0.0.01',
  '127.0.0.1.',
  'example.com.',
  '.example.com',
  'a..b',
  'bücher.example',
  '①②⑦.0.0.1',
  '１２７.0.0.1',
  'example.0x10',
  'example.1',
  '[127.0.0.1]',
  '[example.com]',
  '[::1',
  '::1]',
  '[fe80::1%25eth0]',
  'fe80::1%eth0',
  'user@example.com',
  'example.com:443',
  'example.com/',
  'exam ple.com',
  'example.com\u0000',
  '%31%32%37.0.0.1',
  '*.example.com',
  '-x.example',
  'x-.example',
  '',
  '.',
  'a'.repeat(64),
  `${'a.'.repeat(127)}ab`,
])('%j is refused', (text) => expect(parseHost(text)).toBeUndefined());
