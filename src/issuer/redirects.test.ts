import { describe, expect, it } from 'vitest';
import { isLocal, redirectFlaw, redirectSource, verifyRedirect } from './redirects.ts';

describe('a redirect URI', () => {
  const registered = [
    'https://app.example/cb',
    'https://app.example/cb?a=1',
    'http://127.0.0.1/cb',
    'http://[::1]:1/cb',
    'com.example.app:/cb',
  ];

  it.each([
    'https://app.example/cb',
    'https://app.example/cb?a=1',
    'http://127.0.0.1/cb',
    'http://127.0.0.1:49152/cb',
    'http://[::1]:5/cb',
    'http://[::1]/cb',
    'com.example.app:/cb',
  ])('%s is one of its client', (uri) => {
    expect(verifyRedirect(uri, registered)).toBe(uri);
  });

  it.each([
    'https://app.example/cb/',
    'https://app.example/CB',
    'https://app.example:443/cb',
    'https://app.example/cb?a=2',
    'https://app.example/cb#x',
    'https://app.example.evil.example/cb',
    'https://user@app.example/cb',
    'https://app.example/x/../cb',
    'http://app.example/cb',
    'http://127.0.0.1:49152/other',
    'http://127.0.0.1:99999/cb',
    'http://127.0.0.1:5@evil.example/cb',
    'http://127.0.0.1.evil.example/cb',
    'http://127.0.0.1:5',
    'http://localhost:5/cb',
    'http://127.0.0.2:5/cb',
    'https://127.0.0.1:5/cb',
    'COM.example.app:/cb',
    '',
  ])('%s is none of its client', (uri) => {
    expect(verifyRedirect(uri, registered)).toBeUndefined();
  });

  it.each([
    'https://app.example/cb',
    'https://app.example/cb?a=1',
    'http://localhost:8080/cb',
    'http://127.0.0.1/cb',
    'http://[::1]/cb',
    'com.example.app:/cb',
  ])('%s can be registered', (uri) => {
    expect(redirectFlaw(uri)).toBeUndefined();
  });

  it.each([
    'http://app.example/cb',
    'https://app.example/cb#x',
    'https://*.example/cb',
    'https://user:word@app.example/',
    'javascript:alert(1)',
    'data:text/html,x',
    'app:/cb',
    '/cb',
    'https://app.example/ä',
    'https://app.example/a b',
  ])('%s cannot', (uri) => {
    expect(redirectFlaw(uri)).toBeDefined();
  });

  it('is local where any program of the machine could take it', () => {
    const uris = ['https://app.example/', 'http://localhost:1/', 'http://127.0.0.1/', 'com.example.app:/cb'];
    expect(uris.map(isLocal)).toEqual([false, true, true, true]);
  });

  it('is named to the browser by what a policy can hold', () => {
    const uris = ['https://app.example:8443/cb;x', 'http://127.0.0.1:5/cb', 'http://[::1]:5/cb', 'com.example.app:/cb'];
    expect(uris.map(redirectSource)).toEqual(['https://app.example:8443', 'http://127.0.0.1:5', 'http:', 'com.example.app:']);
  });
});
