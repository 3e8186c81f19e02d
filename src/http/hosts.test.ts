import { describe, expect, it } from 'vitest';
import { createHosts, isLoopbackAddress } from './hosts.ts';

const hosts = createHosts('https://gatehouse.example.com', ['gatehouse.internal', 'other.internal:8443']);

describe('names and origins', () => {
  it.each([
    'gatehouse.example.com',
    'GATEHOUSE.example.com',
    'gatehouse.internal:7300',
    'other.internal:8443',
    'localhost:7300',
    '[::1]:7300',
  ])('answers to %s', (host) => expect(() => hosts.check(host)).not.toThrow());

  it.each([
    undefined,
    '',
    'evil.example.com',
    'gatehouse.example.com.evil.com',
    'evil-gatehouse.example.com',
    'gatehouse.example.com@evil.com',
    'other.internal:9999',
    'localhost.evil.com:7300',
    '127.0.0.1.evil.com',
    'localhost:7300, evil.com',
  ])('refuses the name %s', (host) => expect(() => hosts.check(host)).toThrow(/does not answer to that host/));

  it.each([
    ['https://gatehouse.example.com', '127.0.0.1:7300'],
    ['https://localhost:7300', 'localhost:7300'],
    [undefined, 'localhost:7300'],
  ])('takes the origin %s when called as %s', (origin, host) =>
    expect(() => hosts.checkOrigin({ host, ...(origin === undefined ? {} : { origin }) })).not.toThrow(),
  );

  it.each([
    'null',
    'https://evil.example.com',
    'http://localhost:8080',
    'https://gatehouse.example.com.evil.com',
    'chrome-extension://abc',
    'http://gatehouse.example.com:81',
    'file://',
  ])('refuses the origin %s', (origin) => expect(() => hosts.checkOrigin({ host: 'localhost:7300', origin })).toThrow(/another site/));

  it('takes plain http from a page only where the public URL is plain http', () => {
    const called = { host: 'localhost:7300', origin: 'http://localhost:7300' };
    expect(() => createHosts('http://localhost:7300', []).checkOrigin(called)).not.toThrow();
    expect(() => hosts.checkOrigin(called)).toThrow(/over plain http/);
    for (const origin of ['HTTP://localhost:7300', 'http://gatehouse.example.com'])
      expect(() => hosts.checkOrigin({ ...called, origin })).toThrow(expect.objectContaining({ code: 'origin_refused' }));
  });

  it('takes an unsafe request by cookie only with a sign from the browser that it is our own page', () => {
    expect(() => hosts.checkSameSite({ 'sec-fetch-site': 'same-origin' })).not.toThrow();
    expect(() => hosts.checkSameSite({ origin: 'https://gatehouse.example.com' })).not.toThrow();
    for (const site of ['cross-site', 'same-site', 'none']) expect(() => hosts.checkSameSite({ 'sec-fetch-site': site })).toThrow();
    expect(() => hosts.checkSameSite({})).toThrow();
  });

  it('offers the URLs by which a request may have been signed, as a signer writes them', () => {
    expect(hosts.targets('localhost:7300', '/v1/whoami?a=b', false)).toEqual([
      'https://gatehouse.example.com/v1/whoami?a=b',
      'http://localhost:7300/v1/whoami?a=b',
    ]);
    expect(hosts.targets('x:443', '/', true)[1]).toBe('https://x/');
    expect(hosts.targets('a b', '/', false)).toHaveLength(1);
  });

  it.each([
    ['127.0.0.1', true],
    ['127.9.9.9', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['10.0.0.1', false],
    ['128.0.0.1', false],
    ['127.0.0.1.evil', false],
    [undefined, false],
  ])('knows whether %s is this machine', (address, expected) => expect(isLoopbackAddress(address)).toBe(expected));
});
