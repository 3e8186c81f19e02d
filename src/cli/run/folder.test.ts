import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Secret } from '#kernel';
import { testAuthority } from '../../../test/support/certificates.ts';
import { testWith } from '../../../test/support/need.ts';
import { pemBlocks, systemAuthorities } from './bundle.ts';
import { findProgram, makeRunFolder } from './folder.ts';
import { javaOptions } from './java.ts';

const proxy = { host: '127.0.0.1', port: 4000, credential: new Secret('child') };
const authorityPem = testAuthority('example.test').pem;

test('the bundle holds the system authorities and the run authority, in a folder of the owner alone', () => {
  const folder = makeRunFolder({ PATH: process.env.PATH });
  folder.fill({ authorityPem, proxy, now: Date.now() });
  const blocks = pemBlocks(readFileSync(folder.files.bundle, 'utf8'));
  expect(blocks.length).toBe(systemAuthorities({}).length + 1);
  expect(blocks.at(-1)).toBe(pemBlocks(authorityPem)[0]);
  expect(statSync(folder.path).mode & 0o777).toBe(0o700);
  folder.remove();
  expect(existsSync(folder.path)).toBe(false);
});

test('authorities that the parent names stay trusted, each once', () => {
  const folder = makeRunFolder({});
  folder.fill({ authorityPem, proxy, now: 0 });
  expect(
    systemAuthorities({ SSL_CERT_FILE: folder.files.authority, CURL_CA_BUNDLE: folder.files.authority, NODE_EXTRA_CA_CERTS: '/no/such' }),
  ).toEqual(pemBlocks(authorityPem));
  folder.remove();
});

testWith('keytool')('Java reads the trust store', () => {
  const folder = makeRunFolder({ PATH: process.env.PATH });
  folder.fill({ authorityPem, proxy, now: Date.UTC(2026, 0, 1) });
  const told = execFileSync('keytool', ['-list', '-keystore', folder.files.javaStore, '-storetype', 'JKS', '-storepass', 'changeit'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  expect(told).toContain('trustedCertEntry');
  expect(statSync(folder.files.javaOptions).mode & 0o777).toBe(0o600);
  folder.remove();
});

test('the Java options name the proxy with its credential, and no other secret', () => {
  const text = javaOptions(proxy, '/s.jks', '/a.jar');
  expect(text).toContain('-Dhttps.proxyPort=4000\n');
  expect(text.match(/child/g)).toHaveLength(2);
});

test('a program is found as a shell finds it', () => {
  expect(findProgram('sh', '/nowhere:/bin')).toBe(join('/bin', 'sh'));
  expect(findProgram('no-such-program', '/bin')).toBeUndefined();
  expect(findProgram('/bin/sh', undefined)).toBe('/bin/sh');
});
