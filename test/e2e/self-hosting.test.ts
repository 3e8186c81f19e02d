import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { createBrowser } from '../support/browser.ts';
import { type Ended, execute, freePort, gatehouse, owner } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { ownNeeds, ownServer } from '../support/own-server.ts';
import { must } from '../support/person.ts';
import { startRedis } from '../support/redis.ts';
import { temporaryFolder } from '../support/store.ts';

type Variables = Readonly<Record<string, string>>;

interface Block {
  /** Where it is run. */
  readonly on: 'names' | 'install' | 'first' | 'second' | 'each';
  readonly text: string;
}

/** The commands of the guide, in order. */
function commandsOfGuide(): readonly Block[] {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'guides', 'self-hosting.md'), 'utf8');
  return [...page.matchAll(/```sh (\w+)\n([\s\S]*?)```/g)].map(([, on, text]) => ({ on: on as Block['on'], text: text as string }));
}

interface Machine {
  readonly home: string;
  readonly port: string;
  run(text: string): Promise<Ended>;
}

/** A user with a home of their own, and `gatehouse` among the commands. Ports differ, for both are on one machine. */
async function machine(name: string, names: Variables): Promise<Machine> {
  const folder = join(temporaryFolder(), name);
  const [home, runtime, bin] = ['home', 'runtime', 'bin'].map((part) => join(folder, part)) as [string, string, string];
  for (const part of [home, runtime, bin]) mkdirSync(part, { recursive: true, mode: 0o700 });
  const command = join(bin, 'gatehouse');
  writeFileSync(command, `#!/bin/sh\nexec ${gatehouse.map((part) => `'${part}'`).join(' ')} "$@"\n`);
  chmodSync(command, 0o755);
  const [port, proxyPort] = [String(await freePort()), String(await freePort())];
  const own = { GATEHOUSE_HOST: '127.0.0.1', GATEHOUSE_PORT: port, GATEHOUSE_PROXY_PORT: proxyPort };
  const env = { ...names, ...own, PATH: `${bin}:${process.env.PATH}`, HOME: home, XDG_RUNTIME_DIR: runtime };
  return { home, port, run: (text) => execute(['sh', '-eu', '-c', text], { env, cwd: home, timeout: 120_000 }) };
}

const machines: Machine[] = [];
afterAll(async () => {
  for (const one of machines) await one.run('gatehouse stop');
});

testWith(
  ...ownNeeds.postgresql,
  'redis-server',
  'redis-cli',
  'psql',
  'openssl',
  'curl',
  'tar',
)(
  'the commands of the guide, in order, make an installation of two servers that is healthy, also after its upgrade',
  async () => {
    const { database, port } = await ownServer('postgresql');
    const redis = await startRedis();
    const names = {
      NAME: 'gatehouse.example.test',
      BALANCER: '127.0.0.1',
      DATABASE: `127.0.0.1:${port}`,
      DATABASE_ADMIN: database.url,
      DATABASE_PASSWORD: 'word-of-the-database',
      REDIS: `127.0.0.1:${redis.port}`,
      REDIS_ADMIN: `redis://127.0.0.1:${redis.port}`,
      REDIS_PASSWORD: 'word-of-redis',
    };
    const [first, second] = [await machine('first', names), await machine('second', names)];
    machines.push(first, second);
    for (const { on, text } of commandsOfGuide()) {
      if (on === 'names') {
        const given = [...text.matchAll(/^export (\w+)=/gm)].map(([, name]) => name);
        expect(given).toEqual(Object.keys(names));
      } else if (on !== 'install') {
        for (const one of on === 'each' ? [first, second] : [on === 'first' ? first : second]) {
          const { stdout } = must(await one.run(text));
          await doWhatAPersonDoes(stdout, first, second);
        }
      }
    }
    for (const one of [first, second]) {
      const health = must(await one.run(`curl -fsS http://localhost:${one.port}/health`));
      expect(JSON.parse(health.stdout)).toMatchObject({ status: 'ok' });
      expect(must(await one.run('gatehouse status')).stdout).toContain('answers');
      for (const file of ['.gatehouse/.env', '.config/gatehouse/master.key']) expect(statSync(join(one.home, file)).mode & 0o077).toBe(0);
    }
    expect(readdirSync(join(first.home, 'backups')).filter((name) => name.endsWith('.age'))).toHaveLength(1);
    expect((await redis.admin.call('ACL', 'LIST')) as string[]).toContainEqual(expect.stringContaining('user gatehouse on'));
  },
  240_000,
);

/** Opens the link of the first administrator, and carries the settings over. */
async function doWhatAPersonDoes(printed: string, first: Machine, second: Machine): Promise<void> {
  const link = /https:\/\/\S+\/setup\?token=\S+/.exec(printed)?.[0];
  if (link !== undefined) {
    const browser = createBrowser({ through: () => `http://127.0.0.1:${first.port}` });
    const page = await browser.open(link);
    expect((await browser.submit(page, '/setup', owner)).status).toBe(200);
  }
  const settings = join(first.home, 'settings.tar');
  if (!readdirSync(first.home).includes('settings.tar')) return;
  copyFileSync(settings, join(second.home, 'settings.tar'));
  rmSync(settings);
}
