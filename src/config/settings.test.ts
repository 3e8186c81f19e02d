import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { envExample, isLoopback, productionRules, readSettings, settingLines } from '#config';
import { isFault } from '#kernel';

const home = () => mkdtempSync(join(tmpdir(), 'gatehouse-config-'));
const read = (env: Record<string, string>, aliases = true) => readSettings({ env: { GATEHOUSE_HOME: home(), ...env }, aliases });

function fieldsOf(action: () => unknown): Readonly<Record<string, string>> {
  try {
    action();
  } catch (error) {
    if (isFault(error, 'invalid_setting')) return error.details.fields ?? {};
    throw error;
  }
  return {};
}

test('defaults need no variable at all', () => {
  const { settings } = read({});
  expect(settings).toMatchObject({ host: '127.0.0.1', port: 7300, proxyPort: 7301, audit: 'before', otherHosts: 'blind' });
});

test('all problems are reported together, and none repeats the value', () => {
  const fields = fieldsOf(() => read({ GATEHOUSE_PORT: 'canary', GATEHOUSE_PUBLIC_URL: 'canary', GATEHOUSE_ALLOW_PRIVATE: 'canary' }));
  expect(Object.keys(fields).sort()).toEqual(['GATEHOUSE_ALLOW_PRIVATE', 'GATEHOUSE_PORT', 'GATEHOUSE_PUBLIC_URL']);
  expect(JSON.stringify(fields)).not.toContain('canary');
});

test('an unknown GATEHOUSE_ variable is an error that proposes the nearest name', () => {
  expect(fieldsOf(() => read({ GATEHOUSE_PROT: '1' })).GATEHOUSE_PROT).toContain('GATEHOUSE_PORT');
  expect(fieldsOf(() => read({ GATEHOUSE_TEST_ANYTHING: '1' }))).toEqual({});
});

test('a prefixed alias is always read, an unprefixed one only when GATEHOUSE_COMPAT says so', () => {
  expect(read({ AUTHSOME_PORT: '9000' }).settings.port).toBe(9000);
  expect(read({ SERVER_PORT: '9000' }).settings.port).toBe(7300);
  expect(read({ SERVER_PORT: '9000', GATEHOUSE_COMPAT: 'authos' }).settings.port).toBe(9000);
  expect(read({ AUTHSOME_PORT: '9000' }, false).settings.port).toBe(7300);
});

test('a stray DATABASE_URL of another program is never read', () => {
  expect(read({ DATABASE_URL: 'postgres://other' }).settings.databaseUrl).toBeUndefined();
});

test('the environment wins over .env of the data folder, and a missing --env-file is an error', () => {
  const folder = home();
  writeFileSync(join(folder, '.env'), 'GATEHOUSE_PORT=8000\nGATEHOUSE_PROXY_PORT=8001\n');
  const { settings, sources } = readSettings({ env: { GATEHOUSE_HOME: folder, GATEHOUSE_PORT: '9000' }, aliases: true });
  expect([settings.port, settings.proxyPort]).toEqual([9000, 8001]);
  expect(sources.proxyPort.from).toBe('.env');
  expect(fieldsOf(() => readSettings({ env: {}, envFile: join(folder, 'none'), aliases: true }))['--env-file']).toBeDefined();
});

test('what is printed masks secrets', () => {
  const lines = settingLines(read({ GATEHOUSE_MASTER_KEY: 'canary' }));
  expect(JSON.stringify(lines)).not.toContain('canary');
  expect(envExample()).toContain('# GATEHOUSE_PORT=7300');
});

test('the production rules turn on with anything that faces outward, and --dev cannot turn those off', () => {
  const rules = (env: Record<string, string>, dev = false) => productionRules(read(env).settings, dev);
  expect(rules({})).toBe(false);
  expect(rules({ GATEHOUSE_HOST: '0.0.0.0' }, true)).toBe(true);
  expect(rules({ GATEHOUSE_PUBLIC_URL: 'https://gatehouse.example.com' })).toBe(true);
  expect(rules({ GATEHOUSE_ENV: 'production' })).toBe(true);
  expect(rules({ GATEHOUSE_ENV: 'production' }, true)).toBe(false);
});

test('loopback is told from look-alikes', () => {
  expect(['localhost', '127.0.0.1', '127.9.9.9', '[::1]', '::1', 'a.localhost'].map(isLoopback)).toEqual(Array(6).fill(true));
  expect(['localhost.example.com', '128.0.0.1', '0.0.0.0', '::', '127.0.0.1.example.com'].map(isLoopback)).toEqual(Array(5).fill(false));
});
