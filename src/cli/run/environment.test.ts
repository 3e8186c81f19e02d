import { expect, test } from 'vitest';
import { Secret } from '#kernel';
import { type ChildEnvironmentInput, childEnvironment, type Variables } from './environment.ts';
import { isSecretName, isSecretValue, isSecretVariable, masterKeysIn } from './recognised.ts';

const files = {
  bundle: '/run/b.pem',
  authority: '/run/a.pem',
  javaStore: '/run/s.jks',
  javaOptions: '/run/j.options',
  javaAgent: '/run/j.jar',
  wget: '/run/wgetrc',
  preload: '/run/pre load.cjs',
};

function made(parent: Variables, more: Partial<ChildEnvironmentInput> = {}) {
  const proxy = { host: '127.0.0.1', port: 4000, credential: new Secret('child') };
  return childEnvironment({ parent, provided: {}, pass: [], run: 'run_1', level: 'cooperative', proxy, files, java: false, ...more });
}

test('a provider variable is replaced by its placeholder, whatever the parent held', () => {
  const { env, replaced, removed } = made(
    { OPENAI_API_KEY: 'canary' },
    { provided: { OPENAI_API_KEY: 'placeholder-1', GROQ_API_KEY: 'placeholder-2' } },
  );
  expect(env).toMatchObject({ OPENAI_API_KEY: 'placeholder-1', GROQ_API_KEY: 'placeholder-2' });
  expect([replaced, removed]).toEqual([['OPENAI_API_KEY'], []]);
});

test('other recognised secrets are removed and named once; what is passed stays', () => {
  const { env, removed } = made(
    {
      STRIPE_SECRET: 'canary',
      DATABASE_URL: 'postgres://u:canary@h/d',
      PLAIN: 'x',
      HOME_TOKEN: 'canary',
      KEPT_TOKEN: 'kept',
      EMPTY_TOKEN: '',
    },
    { pass: ['KEPT_TOKEN'] },
  );
  expect(removed).toEqual(['DATABASE_URL', 'HOME_TOKEN', 'STRIPE_SECRET']);
  expect(env).toMatchObject({ PLAIN: 'x', KEPT_TOKEN: 'kept', EMPTY_TOKEN: '' });
  expect(JSON.stringify(env)).not.toContain('canary');
});

test('a provider variable that is passed keeps its own value', () => {
  const { env } = made({ OPENAI_API_KEY: 'own' }, { provided: { OPENAI_API_KEY: 'placeholder' }, pass: ['OPENAI_API_KEY'] });
  expect(env.OPENAI_API_KEY).toBe('own');
});

test('nothing of ours is handed on but the marks of the run, not even when passed', () => {
  const { env } = made(
    { GATEHOUSE_MASTER_KEY: 'canary', GATEHOUSE_HOME: '/x', AUTHSOME_MASTER_KEY: 'canary' },
    { pass: ['GATEHOUSE_MASTER_KEY', 'AUTHSOME_MASTER_KEY'] },
  );
  expect(Object.keys(env).filter((name) => /^(GATEHOUSE|AUTHSOME)_/.test(name))).toEqual(['GATEHOUSE_RUN', 'GATEHOUSE_RUN_LEVEL']);
});

test('authorities and proxies that the machine already names are replaced in every spelling', () => {
  const other = '/etc/ssl/other.pem';
  const { env } = made({
    SSL_CERT_FILE: other,
    REQUESTS_CA_BUNDLE: other,
    NODE_EXTRA_CA_CERTS: other,
    https_proxy: 'http://old',
    HTTP_PROXY: 'http://old',
    No_Proxy: '*',
    npm_config_https_proxy: 'http://old',
  });
  expect(JSON.stringify(env)).not.toMatch(/old|other/);
  const url = 'http://gatehouse:child@127.0.0.1:4000';
  expect(env).toMatchObject({
    HTTPS_PROXY: url,
    https_proxy: url,
    http_proxy: url,
    ALL_PROXY: url,
    NO_PROXY: 'localhost,127.0.0.1,::1',
    SSL_CERT_FILE: '/run/b.pem',
    NODE_USE_ENV_PROXY: '1',
  });
  expect(env.No_Proxy).toBeUndefined();
});

test('options of Node and settings of git that were there before stay', () => {
  const { env } = made({
    NODE_OPTIONS: '--max-old-space-size=200',
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'user.name',
    GIT_CONFIG_VALUE_0: 'Ada',
  });
  expect(env.NODE_OPTIONS).toBe('--max-old-space-size=200 --require "/run/pre load.cjs"');
  expect(env).toMatchObject({
    GIT_CONFIG_COUNT: '3',
    GIT_CONFIG_KEY_0: 'user.name',
    GIT_CONFIG_KEY_1: 'http.proxy',
    GIT_CONFIG_KEY_2: 'http.proxyAuthMethod',
  });
});

test('Java options are set only where there is a Java', () => {
  expect(made({}).env.JAVA_TOOL_OPTIONS).toBeUndefined();
  expect(made({}, { java: true }).env.JAVA_TOOL_OPTIONS).toContain('/run/j.options');
});

test('names that hold secrets are recognised, and names that only sound alike are not', () => {
  for (const name of [
    'GITHUB_TOKEN',
    'my_api_key',
    'AWS_SECRET_ACCESS_KEY',
    'AWS_SESSION_TOKEN',
    'PGPASSWORD',
    'SECRET_KEY_BASE',
    'NPM_CONFIG__AUTH',
    'GOOGLE_APPLICATION_CREDENTIALS',
    'STRIPE_KEY',
  ]) {
    expect([name, isSecretName(name)]).toEqual([name, true]);
  }
  for (const name of [
    'PATH',
    'PWD',
    'OLDPWD',
    'TOKENIZERS_PARALLELISM',
    'AWS_REGION',
    'AWS_CA_BUNDLE',
    'XDG_SESSION_ID',
    'SSH_AUTH_SOCK',
    'KEYBOARD',
    'MONKEY',
    'AUTHOR',
    'LS_COLORS',
  ]) {
    expect([name, isSecretName(name)]).toEqual([name, false]);
  }
});

test('values that are secrets are recognised whatever their name', () => {
  for (const value of [
    'ghp_0123456789abcdefABCD',
    'sk-proj-0123456789abcdef',
    'AKIA0123456789ABCDEF',
    'xoxb-1234567890-abcdefgh',
    'postgres://user:pass@host/db',
    '-----BEGIN EC PRIVATE KEY-----\nx',
    'eyJhbGciOiJI.eyJzdWIiOiIx.sig',
  ]) {
    expect([value, isSecretValue(value)]).toEqual([value, true]);
  }
  for (const value of ['hello', 'https://example.com/path', 'postgres://host/db', '/usr/bin', 'sk-short'])
    expect([value, isSecretValue(value)]).toEqual([value, false]);
  expect(isSecretVariable('GITHUB_TOKEN', '')).toBe(false);
});

test('a master key in the environment is found under each of its names', () => {
  expect(masterKeysIn({ GATEHOUSE_MASTER_KEY: 'x', AUTHSOME_MASTER_KEY: 'y', OTHER: 'z' })).toEqual([
    'GATEHOUSE_MASTER_KEY',
    'AUTHSOME_MASTER_KEY',
  ]);
  expect(masterKeysIn({ GATEHOUSE_MASTER_KEY: '' })).toEqual([]);
});
