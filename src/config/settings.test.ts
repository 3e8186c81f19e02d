import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  envExample,
  foldersOf,
  isLoopback,
  productionProblems,
  productionRules,
  readSettings,
  settingLines,
  settingsFor,
  settingsReference,
  settingsTable,
} from '#config';
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

test('our own name wins over an alias, and that is said', () => {
  const { settings, sources, notices } = read({ GATEHOUSE_PORT: '9000', AUTHSOME_PORT: '9001' });
  expect([settings.port, sources.port.name]).toEqual([9000, 'GATEHOUSE_PORT']);
  expect(notices).toEqual(['AUTHSOME_PORT is not used, since GATEHOUSE_PORT is set']);
  expect(read({ GATEHOUSE_PORT: '9000', AUTHSOME_PORT: '9000' }).notices).toEqual([]);
  const folder = home();
  writeFileSync(join(folder, '.env'), 'GATEHOUSE_PORT=9000\n');
  expect(readSettings({ env: { GATEHOUSE_HOME: folder, AUTHSOME_PORT: '9001' }, aliases: true }).settings.port).toBe(9000);
});

test('two foreign names of one setting that differ are an error that names both, and no value', () => {
  const both = { AUTHSOME_PORT: '9000', SERVER_PORT: '9001', GATEHOUSE_COMPAT: 'authos' };
  const fields = fieldsOf(() => read(both));
  expect(Object.keys(fields)).toEqual(['AUTHSOME_PORT']);
  expect(fields.AUTHSOME_PORT).toContain('SERVER_PORT');
  expect(JSON.stringify(fields)).not.toMatch(/900/);
  expect(read({ ...both, SERVER_PORT: '9000' }).settings.port).toBe(9000);
  expect(read({ ...both, GATEHOUSE_PORT: '1' }).settings.port).toBe(1);
});

test('each alias sets what its system means by it', () => {
  const url = 'postgres://user:word@db/name';
  const read1 = (env: Record<string, string>) => read(env).settings;
  const authsome = {
    AUTHSOME_DATABASE_URL: url,
    AUTHSOME_REDIS_URL: 'redis://r',
    AUTHSOME_VAULT_BACKEND: 'redis',
    AUTHSOME_MASTER_KEY: 'k',
    AUTHSOME_BASE_URL: 'https://a.example',
    AUTHSOME_HOST: '::1',
    AUTHSOME_PORT: '1',
    AUTHSOME_ENV: 'production',
  };
  expect(read1(authsome)).toMatchObject({
    databaseUrl: url,
    redisUrl: 'redis://r',
    vaultBackend: 'redis',
    masterKey: 'k',
    publicUrl: 'https://a.example',
    host: '::1',
    port: 1,
    environment: 'production',
  });
  const authos = {
    DATABASE_URL: url,
    SERVER_HOST: '::1',
    SERVER_PORT: '1',
    BASE_URL: 'https://a.example',
    PLATFORM_OWNER_EMAIL: 'o@example.com',
    ENCRYPTION_KEY: 'k',
  };
  expect(read1({ ...authos, GATEHOUSE_COMPAT: 'authos' })).toMatchObject({
    databaseUrl: url,
    host: '::1',
    port: 1,
    publicUrl: 'https://a.example',
    ownerEmail: 'o@example.com',
    masterKey: 'k',
  });
  const quint = {
    AUTH_DATABASE_URL: url,
    REDIS_URL: 'redis://r',
    AUTH_PORT: '1',
    AUTH_SERVICE_URL: 'https://a.example',
    AUTH_MASTER_KEY: 'k',
  };
  expect(read1({ ...quint, GATEHOUSE_COMPAT: 'quint' })).toMatchObject({
    databaseUrl: url,
    redisUrl: 'redis://r',
    port: 1,
    publicUrl: 'https://a.example',
    masterKey: 'k',
  });
  for (const [system, env] of [
    ['quint', authos],
    ['authos', quint],
  ] as const)
    expect(read1({ ...env, GATEHOUSE_COMPAT: system })).toMatchObject({ port: 7300, masterKey: undefined, databaseUrl: undefined });
  // A client command reads none of them.
  const folder = home();
  const command = readSettings({ env: { ...authsome, GATEHOUSE_HOME: folder }, aliases: false }).settings;
  expect(command).toEqual({ ...read1({}), home: folder });
});

test('a name that has no setting yet is reported, and only of the system that is named', () => {
  const stray = { JWT_KID: 'x', AUTH_APP_TOKEN_TTL_DAYS: '1', AUTHSOME_SOMETHING: 'x' };
  expect(read(stray).notices).toEqual(['AUTHSOME_SOMETHING is not supported yet, and is not used']);
  expect(read({ ...stray, GATEHOUSE_COMPAT: 'authos' }).notices).toHaveLength(2);
  expect(read({ ...stray, GATEHOUSE_COMPAT: 'quint' }).notices.join()).toContain('AUTH_APP_TOKEN_TTL_DAYS');
  expect(read(stray, false).notices).toEqual([]);
});

test('what Kubernetes sets for its services is ignored, with one line', () => {
  const links = {
    GATEHOUSE_PORT: 'tcp://10.96.0.7:7300',
    GATEHOUSE_SERVICE_HOST: '10.96.0.7',
    GATEHOUSE_SERVICE_PORT: '7300',
    GATEHOUSE_SERVICE_PORT_HTTP: '7300',
    GATEHOUSE_PORT_7300_TCP: 'tcp://10.96.0.7:7300',
    GATEHOUSE_PORT_7300_TCP_PROTO: 'tcp',
    GATEHOUSE_PORT_7300_TCP_PORT: '7300',
    GATEHOUSE_PORT_7300_TCP_ADDR: '10.96.0.7',
    GATEHOUSE_PROXY_PORT: 'tcp://[fd00::1]:7301',
    GATEHOUSE_POSTGRES_SERVICE_HOST: '10.96.0.8',
    AUTHSOME_PORT: 'tcp://10.96.0.9:80',
  };
  const { settings, notices } = read(links);
  expect([settings.port, settings.proxyPort]).toEqual([7300, 7301]);
  expect(notices).toEqual([expect.stringMatching(/^ignored 11 variables .* GATEHOUSE_PORT;/)]);
  expect(fieldsOf(() => read({ GATEHOUSE_PORT: 'tcp://not an address' })).GATEHOUSE_PORT).toBeDefined();
  expect(fieldsOf(() => read({ GATEHOUSE_PORT_TYPO: '1' })).GATEHOUSE_PORT_TYPO).toBeDefined();
});

test('PORT of a hosting platform is the last name that counts, and never one of a file', () => {
  expect(read({ PORT: '8080' }).settings.port).toBe(8080);
  expect(read({ PORT: '8080' }, false).settings.port).toBe(7300);
  expect(read({ PORT: '8080', GATEHOUSE_PORT: '1' })).toMatchObject({ settings: { port: 1 }, notices: [] });
  expect(read({ PORT: '8080', AUTHSOME_PORT: '2' })).toMatchObject({ settings: { port: 2 } });
  const folder = home();
  writeFileSync(join(folder, '.env'), 'PORT=8080\n');
  expect(readSettings({ env: { GATEHOUSE_HOME: folder }, aliases: true }).settings.port).toBe(7300);
});

test('what is printed says by which name a value came, where it is not our own', () => {
  const lines = settingLines(read({ AUTHSOME_PORT: '9000', GATEHOUSE_HOST: '::1' }));
  const from = (name: string) => lines.find((line) => line.name === name)?.from;
  expect(['GATEHOUSE_PORT', 'GATEHOUSE_HOST', 'GATEHOUSE_AUDIT'].map(from)).toEqual([
    'environment: AUTHSOME_PORT',
    'environment',
    'default',
  ]);
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

test('lists are parsed part by part, and a malformed part names the form', () => {
  const { settings } = read({
    GATEHOUSE_ALLOW_PRIVATE: 'api.internal:443=10.0.0.0/8, db.internal:5432=fd00::/8',
    GATEHOUSE_UPSTREAM_CA: 'api.internal=/etc/ca.pem',
    GATEHOUSE_RESOLVE: 'api.internal=10.1.2.3',
    GATEHOUSE_HOSTS: 'a.example, b.example',
  });
  expect(settings.allowPrivate).toEqual([
    { host: 'api.internal', port: 443, cidr: '10.0.0.0/8' },
    { host: 'db.internal', port: 5432, cidr: 'fd00::/8' },
  ]);
  expect(settings.upstreamCa).toEqual([{ host: 'api.internal', file: '/etc/ca.pem' }]);
  expect(settings.resolve).toEqual([{ host: 'api.internal', address: '10.1.2.3' }]);
  expect(settings.hosts).toEqual(['a.example', 'b.example']);
  const fields = fieldsOf(() => read({ GATEHOUSE_UPSTREAM_CA: 'none', GATEHOUSE_RESOLVE: 'none' }));
  expect(fields.GATEHOUSE_UPSTREAM_CA).toContain('host=/path');
  expect(fields.GATEHOUSE_RESOLVE).toContain('host=address');
});

test('a secret may come from a file named by NAME_FILE, and a file that cannot be read is an error', () => {
  const file = join(home(), 'key');
  writeFileSync(file, 'from-the-file\n');
  const given = read({ AUTHSOME_MASTER_KEY_FILE: file });
  expect(given.settings.masterKey).toBe('from-the-file');
  expect(given.sources.masterKey.from).toBe('file');
  expect(fieldsOf(() => read({ AUTHSOME_MASTER_KEY_FILE: join(file, 'none') })).AUTHSOME_MASTER_KEY_FILE).toContain('cannot be read');
});

test('a backend that is not part of this version is refused, not ignored', () => {
  const fields = fieldsOf(() =>
    read({ GATEHOUSE_REDIS_URL: 'memcached://x', GATEHOUSE_DATABASE_URL: 'oracle://x', GATEHOUSE_VAULT_BACKEND: 's3' }),
  );
  expect(Object.keys(fields).sort()).toEqual(['GATEHOUSE_DATABASE_URL', 'GATEHOUSE_REDIS_URL', 'GATEHOUSE_VAULT_BACKEND']);
});

test('production asks for an https public URL and for what survives a restart', () => {
  expect(Object.keys(productionProblems(read({ GATEHOUSE_EPHEMERA: 'memory' }).settings))).toEqual([
    'GATEHOUSE_EPHEMERA',
    'GATEHOUSE_PUBLIC_URL',
  ]);
  expect(Object.keys(productionProblems(read({ GATEHOUSE_PUBLIC_URL: 'http://gatehouse.example.com' }).settings))).toEqual([
    'GATEHOUSE_PUBLIC_URL',
  ]);
  expect(productionProblems(read({ GATEHOUSE_PUBLIC_URL: 'https://gatehouse.example.com/' }).settings)).toEqual({});
});

test('production asks for a password of Redis, in its URL or apart', () => {
  const url = { GATEHOUSE_PUBLIC_URL: 'https://gatehouse.example.com' };
  const problems = (more: Record<string, string>) => Object.keys(productionProblems(read({ ...url, ...more }).settings));
  for (const open of ['redis://r:6379', 'redis://user@r:6379', 'unix:/run/redis.sock', 'redis+cluster://a,b'])
    expect(problems({ GATEHOUSE_REDIS_URL: open })).toEqual(['GATEHOUSE_REDIS_PASSWORD']);
  expect(problems({ GATEHOUSE_REDIS_URL: 'redis+sentinel://user:word@a:1,b:2/main/0' })).toEqual([]);
  expect(problems({ GATEHOUSE_REDIS_URL: 'redis://r:6379', GATEHOUSE_REDIS_PASSWORD: 'word' })).toEqual([]);
});

test('where Redis is can be said in single settings, which make the same URL', () => {
  const url = (env: Record<string, string>) => read(env).settings.redisUrl;
  expect(url({})).toBeUndefined();
  expect(url({ GATEHOUSE_REDIS_HOSTS: 'cache' })).toBe('redis://cache/0');
  expect(url({ GATEHOUSE_REDIS_HOSTS: '[::1]:6380', GATEHOUSE_REDIS_TLS: 'yes', GATEHOUSE_REDIS_DATABASE: '3' })).toBe(
    'rediss://[::1]:6380/3',
  );
  const sentinels = { GATEHOUSE_REDIS_MODE: 'sentinel', GATEHOUSE_REDIS_HOSTS: 'a:1, b', GATEHOUSE_REDIS_PRIMARY: 'my main' };
  expect(url(sentinels)).toBe('redis+sentinel://a:1,b/my%20main/0');
  expect(url({ GATEHOUSE_REDIS_MODE: 'cluster', GATEHOUSE_REDIS_HOSTS: 'a,b:7001' })).toBe('redis+cluster://a,b:7001');
  expect(url({ GATEHOUSE_REDIS_SOCKET: '/run/redis.sock', GATEHOUSE_REDIS_DATABASE: '2' })).toBe('unix:/run/redis.sock?db=2');
});

test.each([
  ['GATEHOUSE_REDIS_URL', { GATEHOUSE_REDIS_URL: 'redis://a', GATEHOUSE_REDIS_HOSTS: 'b' }],
  ['GATEHOUSE_REDIS_HOSTS', { GATEHOUSE_REDIS_TLS: 'yes' }],
  ['GATEHOUSE_REDIS_HOSTS', { GATEHOUSE_REDIS_HOSTS: 'a b' }],
  ['GATEHOUSE_REDIS_SOCKET', { GATEHOUSE_REDIS_SOCKET: '/s', GATEHOUSE_REDIS_HOSTS: 'a' }],
  ['GATEHOUSE_REDIS_SOCKET', { GATEHOUSE_REDIS_SOCKET: 'relative' }],
  ['GATEHOUSE_REDIS_MODE', { GATEHOUSE_REDIS_HOSTS: 'a,b' }],
  ['GATEHOUSE_REDIS_MODE', { GATEHOUSE_REDIS_MODE: 'cluster', GATEHOUSE_REDIS_SOCKET: '/s' }],
  ['GATEHOUSE_REDIS_PRIMARY', { GATEHOUSE_REDIS_MODE: 'sentinel', GATEHOUSE_REDIS_HOSTS: 'a,b' }],
  ['GATEHOUSE_REDIS_PRIMARY', { GATEHOUSE_REDIS_HOSTS: 'a', GATEHOUSE_REDIS_PRIMARY: 'main' }],
  ['GATEHOUSE_REDIS_DATABASE', { GATEHOUSE_REDIS_MODE: 'cluster', GATEHOUSE_REDIS_HOSTS: 'a', GATEHOUSE_REDIS_DATABASE: '1' }],
  ['GATEHOUSE_REDIS_DATABASE', { GATEHOUSE_REDIS_HOSTS: 'a', GATEHOUSE_REDIS_DATABASE: '-1' }],
  ['GATEHOUSE_REDIS_TLS', { GATEHOUSE_REDIS_SOCKET: '/s', GATEHOUSE_REDIS_TLS: 'yes' }],
  ['GATEHOUSE_REDIS_FAILOVER_SECONDS', { GATEHOUSE_REDIS_FAILOVER_SECONDS: '31' }],
])('%s is refused where single settings of Redis do not fit together', (name, env) => {
  expect(Object.keys(fieldsOf(() => read(env)))).toEqual([name]);
});

test('keys and sessions are never kept in the data folder', () => {
  const folders = foldersOf('/data', { HOME: '/home/me' });
  expect(folders).toMatchObject({
    home: '/data',
    config: '/home/me/.config/gatehouse',
    state: '/data/run',
    masterKey: '/home/me/.config/gatehouse/master.key',
  });
  expect(foldersOf('/data', { XDG_CONFIG_HOME: '/c', XDG_RUNTIME_DIR: '/r' })).toMatchObject({
    config: '/c/gatehouse',
    serverSocket: '/r/gatehouse/gatehouse.sock',
  });
});

test('the reference names every setting, who reads it, and what is unsafe', () => {
  const page = settingsReference();
  for (const key of [...settingsFor('server'), ...settingsFor('command'), ...settingsFor('test')])
    expect(page).toContain(settingsTable[key].env);
  expect(page).toMatch(/GATEHOUSE_AUDIT.*unsafe/);
});
