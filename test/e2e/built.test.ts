import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadCatalogue } from '#connect';
import { migrations } from '../../src/store/migrations/index.ts';
import { execute, freePort, until } from '../support/installation.ts';

const root = join(import.meta.dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-built-'));

/** The package is built in a copy, so that a `dist/` of the clone stays as it is. */
beforeAll(async () => {
  for (const name of [
    'src',
    'providers',
    'tools',
    'skills',
    'LICENSE',
    'README.md',
    'package.json',
    'tsconfig.json',
    'tsconfig.build.json',
  ])
    await cp(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const { code, stdout, stderr } = await execute([process.execPath, '--conditions=gatehouse-source', join(folder, 'tools', 'build.ts')], {
    env: { PATH: process.env.PATH ?? '' },
    timeout: 110_000,
  });
  expect([code, stdout + stderr]).toEqual([0, 'built dist/\n']);
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the published package serves, and prints one set-up link', async () => {
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: folder,
    GATEHOUSE_PORT: String(await freePort()),
    GATEHOUSE_PROXY_PORT: String(await freePort()),
  };
  let printed = '';
  const ended = execute([process.execPath, join(folder, 'dist', 'bin', 'gatehouse.js'), 'serve'], {
    env,
    watch(output, child) {
      if (printed === '' && output.includes('/setup?token=')) child.kill('SIGTERM');
      printed = output.includes('/setup?token=') ? output : printed;
    },
  });
  await until(
    () => printed !== '',
    30_000,
    () => 'no link was printed',
  );
  expect((await ended).code).toBe(0);
  expect(printed.match(/setup\?token=/g)).toHaveLength(1);
});

test('the published package has the command line and the catalogue', async () => {
  const help = await execute([process.execPath, join(folder, 'dist', 'bin', 'gatehouse.js'), 'run', '--help'], { env: { HOME: folder } });
  expect([help.code, help.stdout]).toEqual([0, expect.stringContaining('gatehouse run -- python agent.py')]);
  // What `run --isolate` starts by its path.
  expect(existsSync(join(folder, 'dist', 'cli', 'run', 'enclosure.js'))).toBe(true);
});

test('the published package keeps every definition as the schema made it, in one file', () => {
  const kept = JSON.parse(readFileSync(join(folder, 'dist', 'bin', 'providers.json'), 'utf8'));
  const definitions = [...loadCatalogue().values()].map(({ source: _, digest: __, ...definition }) => definition);
  expect(kept).toEqual(definitions);
});

test('the published package carries the licence of everything that is in it', () => {
  const texts = readFileSync(join(folder, 'dist', 'licenses.txt'), 'utf8');
  for (const name of ['fastify', 'kysely', 'zod', 'undici', 'pino']) expect(texts).toMatch(new RegExp(`^${name} \\d\\S+, MIT\\n\\n`, 'm'));
});

test('the library of the published package opens an installation', async () => {
  const script = `import { createGatehouse } from ${JSON.stringify(join(folder, 'dist', 'bin', 'library.js'))};
    const gatehouse = await createGatehouse({ home: process.env.GATEHOUSE_HOME });
    console.log(typeof gatehouse.call);
    await gatehouse.close();`;
  const ended = await execute([process.execPath, '--input-type=module', '-e', script], {
    env: { HOME: folder, GATEHOUSE_HOME: join(folder, 'library') },
  });
  expect([ended.code, ended.stdout, ended.stderr]).toEqual([0, 'function\n', '']);
});

describe('installed from the packed archive', () => {
  // Beside the copy, not in it: npm installs into the nearest folder above that is a package.
  const user = mkdtempSync(join(tmpdir(), 'gatehouse-user-'));
  afterAll(() => rmSync(user, { recursive: true, force: true }));
  const command = (parameters: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    execute([process.execPath, join(user, 'node_modules', 'gatehouse', 'tools', 'gatehouse.mjs'), ...parameters], {
      env: { PATH: process.env.PATH ?? '', HOME: user, ...env },
      cwd: user,
    });
  /** How npm is set up here, which may be said by its environment. */
  const inherited = Object.fromEntries(Object.entries(process.env).filter((one): one is [string, string] => one[1] !== undefined));
  const npm = (parameters: readonly string[], cwd: string) => execute(['npm', ...parameters], { env: inherited, cwd, timeout: 110_000 });

  beforeAll(async () => {
    writeFileSync(join(user, 'package.json'), '{"private":true}');
    const packed = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', user], folder);
    expect([packed.code, packed.stderr]).toEqual([0, '']);
    const archive = /"filename": "([^"]+)"/.exec(packed.stdout)?.[1] ?? '';
    const installed = await npm(['install', '--ignore-scripts', '--prefer-offline', '--loglevel=error', join(user, archive)], user);
    expect([installed.code, installed.stderr]).toEqual([0, '']);
  }, 120_000);

  test('it brings no driver, no sources and no tests', async () => {
    const names = readdirSync(join(user, 'node_modules'));
    expect(names).toContain('gatehouse');
    for (const driver of ['pg', 'mysql2', 'ioredis', '@napi-rs']) expect(names).not.toContain(driver);
    expect(readdirSync(join(user, 'node_modules', 'gatehouse')).sort()).toEqual([
      'LICENSE',
      'README.md',
      'dist',
      'package.json',
      'providers',
      'skills',
      'tools',
    ]);
  });

  test('a resource server imports its verifier, and with it no driver and no framework', async () => {
    const script = `import { createVerifier } from 'gatehouse/verify';
      const verifier = createVerifier({ issuer: 'https://gatehouse.example.com', resource: 'https://api.example.com/' });
      console.log(verifier.metadataUrl);
      await verifier.close();`;
    const ended = await execute([process.execPath, '--input-type=module', '-e', script], { env: { HOME: user }, cwd: user });
    expect([ended.code, ended.stdout, ended.stderr]).toEqual([0, 'https://api.example.com/.well-known/oauth-protected-resource\n', '']);
    expect(existsSync(join(user, 'node_modules', 'gatehouse', 'dist', 'verify', 'index.d.ts'))).toBe(true);
    for (const name of ['express', 'hono', '@modelcontextprotocol']) expect(readdirSync(join(user, 'node_modules'))).not.toContain(name);
  });

  test('it runs', async () => {
    const { code, stdout } = await command(['run', '--help']);
    expect([code, stdout]).toEqual([0, expect.stringContaining('gatehouse run -- python agent.py')]);
  });

  test.each([
    ['pg', { GATEHOUSE_DATABASE_URL: 'postgres://someone@127.0.0.1:1/none' }],
    ['mysql2', { GATEHOUSE_DATABASE_URL: 'mysql://someone@127.0.0.1:1/none' }],
    ['ioredis', { GATEHOUSE_REDIS_URL: 'redis://someone:some-password@127.0.0.1:1' }],
    ['@napi-rs/keyring', { GATEHOUSE_MASTER_KEY_IN: 'keyring', GATEHOUSE_MASTER_KEY: '' }],
  ])('asked for what needs %s, it names the line that installs it', async (driver, setting) => {
    const { code, stdout, stderr } = await command(['serve'], {
      GATEHOUSE_PORT: String(await freePort()),
      GATEHOUSE_PROXY_PORT: String(await freePort()),
      GATEHOUSE_MASTER_KEY: randomBytes(32).toString('hex'),
      GATEHOUSE_PUBLIC_URL: 'https://gatehouse.example.com',
      ...setting,
    });
    expect(code).not.toBe(0);
    expect(stdout + stderr).toContain(`npm i ${driver}`);
  });

  test('so does migrate, and no word of a password is said', async () => {
    for (const scheme of ['postgres', 'mysql']) {
      const { code, stdout, stderr } = await command(['migrate'], {
        GATEHOUSE_DATABASE_URL: `${scheme}://someone:canary@127.0.0.1:1/none`,
      });
      expect([code, stdout + stderr]).toEqual([1, expect.stringMatching(/npm i (pg|mysql2)$/m)]);
      expect(stdout + stderr).not.toContain('canary');
    }
  });

  test('drivers that are there are loaded by nothing but a setting', async () => {
    for (const name of ['pg', 'mysql2', 'ioredis']) {
      const place = join(user, 'node_modules', name);
      mkdirSync(place);
      const exports = { '.': './index.js', './promise': './index.js' };
      writeFileSync(join(place, 'package.json'), JSON.stringify({ name, version: '99.0.0', type: 'module', exports }));
      writeFileSync(join(place, 'index.js'), `process.stdout.write('loaded ${name}\\n'); export class Redis {} export class Cluster {}`);
    }
    const made = await command(['migrate']);
    expect([made.code, made.stdout]).toEqual([0, `migrated: ${migrations.map(({ name }) => name).join(', ')}\n`]);
    const asked = await command(['migrate'], { GATEHOUSE_DATABASE_URL: 'postgres://someone@127.0.0.1:1/none' });
    expect(asked.stdout).toContain('loaded pg');
    expect(asked.stdout).not.toMatch(/loaded (mysql2|ioredis)/);
  });
});
