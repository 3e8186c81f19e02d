import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadCatalogue } from '#connect';
import { execute, freePort, until } from '../support/installation.ts';

const root = join(import.meta.dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-built-'));

/** The package is built in a copy, so that a `dist/` of the clone stays as it is. */
beforeAll(async () => {
  for (const name of ['src', 'providers', 'tools', 'package.json', 'tsconfig.json', 'tsconfig.build.json'])
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
