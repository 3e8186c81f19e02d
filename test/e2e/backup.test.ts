import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateIdentity } from 'age-encryption';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { execute, freePort, gatehouse, startServer, until } from '../support/installation.ts';
import { must } from '../support/person.ts';
import { temporaryFolder } from '../support/store.ts';
import { makeWorld, type World } from '../support/world.ts';

const passphrase = 'plum orbit lantern 94 mist';
let world: World;
let folder: string;
beforeAll(async () => {
  world = await makeWorld();
  folder = join(world.folder, 'archives');
}, 120_000);
afterAll(() => world?.close());

/** Another machine, in all but the keys. */
async function elsewhere(more: Readonly<Record<string, string>> = {}) {
  const place = temporaryFolder();
  for (const part of ['home', 'runtime']) mkdirSync(join(place, part), { recursive: true, mode: 0o700 });
  const ports = { GATEHOUSE_PORT: String(await freePort()), GATEHOUSE_PROXY_PORT: String(await freePort()) };
  const folders = { GATEHOUSE_HOME: join(place, 'home'), XDG_RUNTIME_DIR: join(place, 'runtime') };
  return { ...world.site.env, ...ports, ...folders, GATEHOUSE_BACKUP_PASSPHRASE: passphrase, ...more };
}

type Env = Awaited<ReturnType<typeof elsewhere>>;

const command = (env: Env, ...parameters: readonly string[]) => execute([...gatehouse, ...parameters], { env, cwd: env.GATEHOUSE_HOME });
const own = (...parameters: readonly string[]) => world.site.command(parameters, { env: { GATEHOUSE_BACKUP_PASSPHRASE: passphrase } });
const call = () => [process.execPath, '-e', `fetch('${world.api}/echo').then((a) => console.log(a.status))`];

async function newest(): Promise<string> {
  if (!existsSync(folder)) must(await own('backup', '--to', folder));
  return join(folder, readdirSync(folder).sort().at(-1) ?? '');
}

test('a backup of a server that runs, restored elsewhere, starts paused and, once resumed, opens', async () => {
  const told = JSON.parse(must(await own('backup', '--to', folder, '--json')).stdout) as {
    archive: { path: string; verified: string; rows: number; master_keys: string[] };
  };
  expect(told.archive).toMatchObject({ verified: 'content', master_keys: [expect.stringMatching(/^mk_[0-9a-f]{16}$/)] });
  expect(readFileSync(told.archive.path).includes(world.canary)).toBe(false);
  const env = await elsewhere();
  const looked = must(await command(env, 'restore', told.archive.path, '--dry-run'));
  expect(looked.stdout).toContain(`${told.archive.rows} rows`);
  expect(existsSync(join(env.GATEHOUSE_HOME, 'gatehouse.db'))).toBe(false);
  const restored = JSON.parse(must(await command(env, 'restore', told.archive.path, '--json')).stdout) as object;
  expect(restored).toMatchObject({ dry_run: false, rows: told.archive.rows, missing_keys: [] });
  const server = await startServer(env, env.GATEHOUSE_HOME, [], () => {}, [], /gatehouse is paused/);
  try {
    expect((await command(env, 'run', '--', ...call())).code).toBe(9);
    must(await command(env, 'resume'));
    await until(() => server.output().includes('gatehouse is ready'), 30_000);
    const before = world.upstream.seen.length;
    expect(await command(env, 'run', '--', ...call())).toMatchObject({ code: 0, stdout: '200\n' });
    expect(world.upstream.seen.slice(before).at(-1)?.headers.authorization).toBe(`Bearer ${world.canary}`);
    expect(must(await command(env, 'log', 'verify')).stdout).toContain('holds');
  } finally {
    await server.stop();
  }
}, 120_000);

test('a wrong passphrase, a stranger’s key, a cut archive and a database that holds something are refused by a code', async () => {
  const path = await newest();
  const env = await elsewhere({ GATEHOUSE_BACKUP_PASSPHRASE: 'not the passphrase' });
  const codeOf = async (given: Env, ...parameters: readonly string[]) =>
    (JSON.parse((await command(given, ...parameters, '--json')).stdout) as { code?: string }).code;
  expect(await codeOf(env, 'restore', path)).toBe('backup_key_wrong');
  const stranger = join(env.GATEHOUSE_HOME, 'stranger.key');
  writeFileSync(stranger, await generateIdentity());
  expect(await codeOf(env, 'restore', path, '--identity', stranger)).toBe('backup_key_wrong');
  const cut = join(env.GATEHOUSE_HOME, 'cut.age');
  writeFileSync(cut, readFileSync(path).subarray(0, -100));
  const right = { ...env, GATEHOUSE_BACKUP_PASSPHRASE: passphrase };
  expect(await codeOf(right, 'restore', cut)).toBe('backup_damaged');
  expect(existsSync(join(env.GATEHOUSE_HOME, 'gatehouse.db'))).toBe(false);
  expect((JSON.parse((await own('restore', path, '--json')).stdout) as { code?: string }).code).toBe('store_not_empty');
  expect((await world.run(call())).stdout).toBe('200\n');
}, 120_000);

test('a restore that was killed is not served, and may be repeated', async () => {
  const path = await newest();
  const env = await elsewhere();
  const [program, ...first] = gatehouse;
  const { DatabaseSync } = await import('node:sqlite');
  const file = join(env.GATEHOUSE_HOME, 'gatehouse.db');
  const restoring = spawn(program, [...first, 'restore', path], { env, stdio: 'ignore' });
  const ended = new Promise((resolve) => restoring.once('exit', (_code, signal) => resolve(signal)));
  const standing = () => {
    try {
      const database = new DatabaseSync(file, { readOnly: true });
      const row = database.prepare(`select value from platform_facts where name = 'standing'`).get() as { value: string } | undefined;
      database.close();
      return row?.value;
    } catch {
      return undefined;
    }
  };
  while (standing() === undefined) await new Promise((resolve) => setImmediate(resolve));
  restoring.kill('SIGKILL');
  expect(await ended).toBe('SIGKILL');
  expect(standing()).toContain('incomplete');
  const served = await command(env, 'serve');
  expect([served.code, served.stderr]).toEqual([1, expect.stringContaining('has not ended')]);
  must(await command(env, 'restore', path));
  expect(standing()).toContain('paused');
}, 120_000);

test('without a passphrase or a key nothing is written, and what is wrong is said', async () => {
  const none = await world.site.command(['backup', '--to', join(world.folder, 'none')]);
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('GATEHOUSE_BACKUP_PASSPHRASE')]);
  const refused = (...parameters: readonly string[]) => own('backup', '--to', folder, ...parameters);
  for (const wrong of [
    ['--keep', 'forever'],
    ['--every', '0h'],
    ['--keep', '-1d'],
    ['--every', ''],
  ])
    expect((await refused(...wrong)).code).toBe(1);
  const recipient = await world.site.command(['backup', '--to', folder], { env: { GATEHOUSE_BACKUP_RECIPIENT: 'age1nonsense' } });
  expect(recipient.stderr).toContain('age-keygen');
  const short = await world.site.command(['backup', '--to', folder], { env: { GATEHOUSE_BACKUP_PASSPHRASE: 'short' } });
  expect(short.stderr).toContain('at least 12');
  expect((await own('backup')).code).toBe(1);
  const nowhere = await command(await elsewhere(), 'restore', '/nonexistent/archive.age');
  expect(nowhere.stderr).toContain('no archive');
}, 60_000);

test('--every goes on until it is told to stop, and --keep leaves the newest', async () => {
  const to = join(world.folder, 'often');
  mkdirSync(to);
  const old = 'gatehouse-20200101T000000Z.age';
  writeFileSync(join(to, old), 'x');
  const looked = must(await own('backup', '--to', to, '--keep', '7d', '--dry-run'));
  expect([looked.stdout, readdirSync(to)]).toEqual(['nothing was written\n', [old]]);
  const [program, ...first] = gatehouse;
  const env = { ...world.site.env, GATEHOUSE_BACKUP_PASSPHRASE: passphrase };
  const going = spawn(program, [...first, 'backup', '--to', to, '--keep', '7d', '--every', '1s'], { env, stdio: 'ignore' });
  const ended = new Promise((resolve) => going.once('exit', resolve));
  const whole = () => readdirSync(to).filter((name) => name.endsWith('.age'));
  await until(() => whole().length >= 2 && !whole().includes(old), 60_000);
  going.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(readdirSync(to).filter((name) => name.endsWith('.partial'))).toEqual([]);
}, 90_000);
