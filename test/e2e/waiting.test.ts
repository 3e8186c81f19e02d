import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect } from 'vitest';
import { kinds, newDatabase } from '../support/databases.ts';
import { execute, freePort, gatehouse, until } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { startRedis } from '../support/redis.ts';
import { makeRelay } from '../support/relay.ts';

type Env = Readonly<Record<string, string>>;

const folders: string[] = [];
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

async function settingsOf(more: Env): Promise<Env> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-waiting-'));
  folders.push(folder);
  for (const name of ['home', 'runtime']) mkdirSync(join(folder, name), { mode: 0o700 });
  writeFileSync(join(folder, 'master.key'), randomBytes(32).toString('hex'), { mode: 0o600 });
  return {
    PATH: process.env.PATH ?? '',
    HOME: folder,
    XDG_RUNTIME_DIR: join(folder, 'runtime'),
    GATEHOUSE_HOME: join(folder, 'home'),
    GATEHOUSE_PORT: String(await freePort()),
    GATEHOUSE_PROXY_PORT: String(await freePort()),
    GATEHOUSE_MASTER_KEY_FILE: join(folder, 'master.key'),
    ...more,
  };
}

function serve(env: Env) {
  const [program, ...first] = gatehouse;
  const child = spawn(program, [...first, 'serve'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (said += part.toString()));
  return { said: () => said, child };
}

async function health(env: Env, path: string): Promise<Readonly<Record<string, unknown>>> {
  const from = performance.now();
  const answer = await fetch(`http://127.0.0.1:${env.GATEHOUSE_PORT}/health${path}`);
  return { status: answer.status, took: performance.now() - from, ...((await answer.json()) as object), code: answer.status };
}

const readyLine = /gatehouse is ready|the set-up link is in a file/;

describe.each(kinds)('a $name that comes after the server', (kind) => {
  testWith(...kind.needs)(
    'is waited for, with a line that says so; while it hangs readiness says so in time, and liveness does not ask it',
    async () => {
      const { url, schema } = await newDatabase(kind);
      const real = new URL(url);
      const relay = await makeRelay({ host: real.hostname, port: Number(real.port || (kind.name === 'postgresql' ? 5432 : 3306)) });
      real.port = String(relay.port);
      real.hostname = '127.0.0.1';
      const env = await settingsOf({
        GATEHOUSE_DATABASE_URL: real.href,
        GATEHOUSE_DATABASE_SCHEMA: schema,
        GATEHOUSE_PUBLIC_URL: 'https://gatehouse.example.test',
      });
      const server = serve(env);
      await until(() => server.said().includes('waiting for the database'), 60_000, server.said);
      await relay.open();
      await until(() => readyLine.test(server.said()), 60_000, server.said);
      expect(await health(env, '/ready')).toMatchObject({
        code: 200,
        status: 'ready',
        database: 'connected',
        ephemera: 'connected',
        sealed_store: 'connected',
        migrations: 'current',
      });
      relay.hang();
      await sleep(600);
      const hung = await health(env, '/ready');
      expect(hung).toMatchObject({ code: 503, reason: 'database', database: 'unreachable', migrations: 'unknown' });
      expect(hung.took).toBeLessThan(3_500);
      for (const path of ['', '/live']) {
        const alive = await health(env, path);
        expect([alive.code, Number(alive.took) < 1_000]).toEqual([200, true]);
      }
      server.child.kill('SIGKILL');
      await relay.close();
    },
    120_000,
  );

  testWith(...kind.needs)('is given up after GATEHOUSE_WAIT_SECONDS', async () => {
    const { url, schema } = await newDatabase(kind);
    const nowhere = new URL(url);
    nowhere.port = String(await freePort());
    const env = await settingsOf({
      GATEHOUSE_DATABASE_URL: nowhere.href,
      GATEHOUSE_DATABASE_SCHEMA: schema,
      GATEHOUSE_PUBLIC_URL: 'https://gatehouse.example.test',
      GATEHOUSE_WAIT_SECONDS: '2',
    });
    for (const command of ['serve', 'migrate']) {
      const ended = await execute([...gatehouse, command], { env });
      expect([command, ended.code]).toEqual([command, 9]);
      expect(ended.stdout + ended.stderr).toContain('waiting for the database');
    }
  });
});

testWith('redis-server')(
  'a Redis that comes after the server is waited for, and named by readiness when it is away',
  async () => {
    const redis = await startRedis();
    const relay = await makeRelay({ host: '127.0.0.1', port: redis.port });
    const env = await settingsOf({ GATEHOUSE_REDIS_URL: `redis://127.0.0.1:${relay.port}`, GATEHOUSE_VAULT_BACKEND: 'redis' });
    const server = serve(env);
    await until(() => server.said().includes('waiting for redis'), 60_000, server.said);
    await relay.open();
    await until(() => readyLine.test(server.said()), 60_000, server.said);
    expect(await health(env, '/ready')).toMatchObject({ code: 200, sealed_store: 'connected' });
    await relay.close();
    await sleep(600);
    expect(await health(env, '/ready')).toMatchObject({
      code: 503,
      reason: 'ephemera',
      database: 'connected',
      ephemera: 'unreachable',
      sealed_store: 'unreachable',
      migrations: 'current',
    });
    server.child.kill('SIGKILL');
  },
  120_000,
);
