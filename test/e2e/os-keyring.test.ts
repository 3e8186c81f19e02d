import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { execute, freePort, gatehouse, startServer } from '../support/installation.ts';
import { hasProgram, testWith } from '../support/need.ts';
import { type SecretService, secretServiceNeeds, startSecretService } from '../support/secret-service.ts';

const testWithKeyring = testWith(...secretServiceNeeds);
const folder = mkdtempSync(join(tmpdir(), 'gatehouse-keyring-'));
let service: SecretService | undefined;

beforeAll(async () => {
  if (secretServiceNeeds.every(hasProgram)) service = await startSecretService();
});
afterAll(() => {
  service?.close();
  rmSync(folder, { recursive: true, force: true });
});

const config = join(folder, 'config');

/** One server of an installation in `home`; each has a state folder and ports of its own. */
async function environment(home: string, more: Readonly<Record<string, string>> = {}): Promise<Readonly<Record<string, string>>> {
  const runtime = mkdtempSync(join(folder, 'runtime-'));
  return {
    PATH: process.env.PATH ?? '',
    HOME: folder,
    XDG_CONFIG_HOME: config,
    XDG_RUNTIME_DIR: runtime,
    DBUS_SESSION_BUS_ADDRESS: service?.bus ?? '',
    GATEHOUSE_HOME: join(folder, home),
    GATEHOUSE_PORT: String(await freePort()),
    GATEHOUSE_PROXY_PORT: String(await freePort()),
    GATEHOUSE_MASTER_KEY_IN: 'keyring',
    ...more,
  };
}

const serve = async (home: string, more: Readonly<Record<string, string>>) =>
  execute([...gatehouse, 'serve'], { env: await environment(home, more), cwd: folder });

const keptFor = (account: string) => service?.ask('lookup', 'service', 'gatehouse', 'username', account) ?? Promise.resolve('');
const idsIn = (kept: string) => (JSON.parse(kept) as { readonly keys: readonly { readonly id: string }[] }).keys.map(({ id }) => id);

describe('master keys in the keyring of the operating system', () => {
  testWithKeyring('one is made for an empty store, however many start at once, and opens it after a restart', async () => {
    const servers = await Promise.all([1, 2, 3].map(async () => startServer(await environment('home'), folder)));
    for (const server of servers) expect(await server.stop()).toBe(0);
    const kept = await keptFor(join(folder, 'home'));
    expect(idsIn(kept)).toHaveLength(1);
    const again = await startServer(await environment('home'), folder);
    expect(await again.stop()).toBe(0);
    expect(await keptFor(join(folder, 'home'))).toBe(kept);
    expect(existsSync(join(config, 'gatehouse', 'master.key'))).toBe(false);
  });

  testWithKeyring('ten processes that each add a key add ten, wherever each has its configuration', async () => {
    const given = { production: false, storeIsEmpty: true, osAccount: 'adding', dataFolder: join(folder, 'adding') };
    const program = (number: number) => `
      import { loadKeyring } from '#vault';
      const keyring = await loadKeyring(${JSON.stringify({ ...given, defaultFile: join(folder, `config-${number}`, 'master.key') })});
      const id = await keyring.add();
      process.stdout.write(keyring.find(id).id);`;
    const env = await environment('adding');
    const done = await Promise.all(
      Array.from({ length: 10 }, (_, number) =>
        execute([process.execPath, '--conditions=gatehouse-source', '--input-type=module', '-e', program(number)], {
          env,
          cwd: process.cwd(),
        }),
      ),
    );
    expect(done.map(({ code, stderr }) => [code, stderr])).toEqual(done.map(() => [0, '']));
    const ids = idsIn(await keptFor('adding'));
    expect(ids).toHaveLength(11);
    expect(ids).toEqual(expect.arrayContaining(done.map(({ stdout }) => stdout)));
  });

  testWithKeyring('without a keyring nothing starts, and no file stands in for it', async () => {
    mkdirSync(join(folder, 'nobody'));
    const ended = await serve('none', { DBUS_SESSION_BUS_ADDRESS: `unix:path=${join(folder, 'nobody', 'bus')}` });
    expect([ended.code, ended.stdout]).toEqual([1, expect.not.stringContaining('is ready')]);
    expect(ended.stderr).toContain('The keyring of the operating system is not there, or is locked');
    expect(ended.stderr).toContain('GATEHOUSE_MASTER_KEY_IN=file');
    expect(existsSync(join(config, 'gatehouse', 'master.key'))).toBe(false);
  });

  testWithKeyring('a file or a value beside it is refused, with both names', async () => {
    const ended = await serve('two', { GATEHOUSE_MASTER_KEY_FILE: join(folder, 'master.key') });
    expect([ended.code, ended.stderr]).toEqual([
      1,
      expect.stringContaining('GATEHOUSE_MASTER_KEY_FILE and GATEHOUSE_MASTER_KEY_IN=keyring'),
    ]);
  });
});
