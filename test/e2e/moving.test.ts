import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { execute, freePort, gatehouse, type ServerProcess, startServer, until } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { must } from '../support/person.ts';
import { startRedis } from '../support/redis.ts';
import { makeWorld, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await makeWorld();
});
afterAll(() => world?.close());

/** Another machine, in all but the keys: folders and ports of its own. */
async function elsewhere(name: string) {
  const folder = join(world.folder, name);
  for (const part of ['home', 'runtime']) mkdirSync(join(folder, part), { recursive: true, mode: 0o700 });
  const ports = { GATEHOUSE_PORT: String(await freePort()), GATEHOUSE_PROXY_PORT: String(await freePort()) };
  return { ...world.site.env, ...ports, GATEHOUSE_HOME: join(folder, 'home'), XDG_RUNTIME_DIR: join(folder, 'runtime') };
}

type Env = Awaited<ReturnType<typeof elsewhere>>;

const command = (env: Env, ...parameters: readonly string[]) => execute([...gatehouse, ...parameters], { env, cwd: env.GATEHOUSE_HOME });
const call = () => [process.execPath, '-e', `fetch('${world.api}/echo').then((a) => console.log(a.status))`];
const health = async (env: Env, path: string) => {
  const answer = await fetch(`http://127.0.0.1:${env.GATEHOUSE_PORT}${path}`);
  return { status: answer.status, body: (await answer.json()) as { status?: string; reason?: string; code?: string } };
};

/** Starts a server of a paused installation. */
async function startPaused(env: Env): Promise<ServerProcess> {
  return await startServer(env, env.GATEHOUSE_HOME, [], () => {}, [], /gatehouse is paused/);
}

describe('a copy of an installation that is being served', () => {
  let env: Env;
  let server: ServerProcess;
  beforeAll(async () => {
    env = await elsewhere('copy');
    expect((await world.run(call())).stdout).toBe('200\n');
    const copied = must(await world.site.command(['db', 'copy', '--to', `sqlite:${env.GATEHOUSE_HOME}`, '--json']));
    const { rows, tables } = JSON.parse(copied.stdout) as { rows: number; tables: { table: string; rows: number; sha256: string }[] };
    expect(rows).toBeGreaterThan(20);
    expect(tables.find(({ table }) => table === 'connections')).toMatchObject({ rows: 1, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
    server = await startPaused(env);
  }, 120_000);
  afterAll(async () => void (await server?.stop()));

  test('lives, is not ready, and refuses everything else', async () => {
    expect(await health(env, '/health/live')).toMatchObject({ status: 200, body: { status: 'paused' } });
    expect(await health(env, '/health/ready')).toMatchObject({ status: 503, body: { reason: 'paused' } });
    for (const path of ['/', '/v1/whoami', '/v1/runs', '/setup', '/v1/relay', '/nothing'])
      expect(await health(env, path)).toMatchObject({ status: 503, body: { code: 'paused' } });
    const run = await command(env, 'run', '--', ...call());
    expect([run.code, run.stderr]).toEqual([9, expect.stringContaining('gatehouse resume')]);
    expect(world.upstream.seen.filter(({ url }) => url === '/echo')).toHaveLength(1);
  }, 60_000);

  test('goes on by itself once it is resumed; older sessions and runs have ended, and the connection opens', async () => {
    const outcome = JSON.parse(must(await command(env, 'resume', '--json')).stdout) as { resumed: boolean; sessions: number; runs: number };
    expect(outcome.resumed).toBe(true);
    expect(outcome.sessions).toBeGreaterThan(0);
    await until(() => server.output().includes('gatehouse is ready'), 30_000);
    expect(await command(env, 'run', '--', ...call())).toMatchObject({ code: 0, stdout: '200\n' });
    expect(world.upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${world.canary}`);
    const cookies = await world.site.browser.open(`http://localhost:${env.GATEHOUSE_PORT}/`);
    expect(cookies.text).toContain('Sign in');
    const told = JSON.parse(must(await command(env, 'log', '--name', 'installation.resumed', '--json')).stdout) as { items: unknown[] };
    expect(told.items).toHaveLength(1);
    expect(must(await command(env, 'resume')).stdout).toContain('not paused');
  }, 60_000);

  test('is refused as a target from then on: it holds what is its own', async () => {
    const again = await world.site.command(['db', 'copy', '--to', `sqlite:${env.GATEHOUSE_HOME}`]);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('holds data already')]);
  });
});

test('the original went on, unpaused, and a dry run made nothing', async () => {
  const home = join(world.folder, 'never');
  const told = must(await world.site.command(['db', 'copy', '--to', `sqlite:${home}`, '--dry-run']));
  expect(told.stdout).toContain('nothing was changed');
  expect(existsSync(home)).toBe(false);
  expect((await world.run(call())).stdout).toBe('200\n');
}, 60_000);

test('an operator pauses an installation: the next server waits', async () => {
  const env = await elsewhere('paused');
  must(await world.site.command(['db', 'copy', '--to', `sqlite:${env.GATEHOUSE_HOME}`]));
  must(await command(env, 'resume'));
  expect(JSON.parse(must(await command(env, 'pause', '--json')).stdout)).toEqual({ paused: true, changed: true });
  expect(JSON.parse(must(await command(env, 'pause', '--json')).stdout)).toEqual({ paused: true, changed: false });
  const server = await startPaused(env);
  expect(await server.stop()).toBe(0);
}, 60_000);

testWith('redis-server')(
  'sealed values are moved to Redis, and a server with that setting opens them',
  async () => {
    const redis = await startRedis();
    const env = { ...(await elsewhere('vault')), GATEHOUSE_REDIS_URL: `redis://127.0.0.1:${redis.port}`, GATEHOUSE_EPHEMERA: 'sql' };
    must(await world.site.command(['db', 'copy', '--to', `sqlite:${env.GATEHOUSE_HOME}`]));
    must(await command(env, 'resume'));
    expect((await command(env, 'vault', 'move', '--to', 'elsewhere')).code).toBe(1);
    expect(must(await command(env, 'vault', 'move', '--to', 'redis', '--dry-run')).stdout).toContain('1 values would be moved');
    expect(JSON.parse(must(await command(env, 'vault', 'move', '--to', 'redis', '--json')).stdout)).toMatchObject({
      outcome: 'moved',
      values: 1,
    });
    const refused = await command(env, 'serve');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('vault move --to database')]);
    const server = await startServer({ ...env, GATEHOUSE_VAULT_BACKEND: 'redis' }, env.GATEHOUSE_HOME);
    const before = world.upstream.seen.length;
    expect(await command(env, 'run', '--', ...call())).toMatchObject({ code: 0, stdout: '200\n' });
    expect(world.upstream.seen.slice(before).at(-1)?.headers.authorization).toBe(`Bearer ${world.canary}`);
    await server.stop();
  },
  60_000,
);

test.each(['nothing', 'redis://localhost', 'postgres://', ''])('--to %s is refused, without being repeated', async (to) => {
  const refused = await world.site.command(['db', 'copy', '--to', to]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).not.toContain(`${to || 'undefined'} `);
});
