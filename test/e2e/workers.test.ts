import { randomBytes } from 'node:crypto';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test as plainTest } from 'vitest';
import { kinds, newDatabase } from '../support/databases.ts';
import { execute, freePort, gatehouse, until } from '../support/installation.ts';
import { hasProgram, testWith } from '../support/need.ts';
import { must } from '../support/person.ts';
import { makeWorld, type World } from '../support/world.ts';

const workers = 3;
const [kind] = kinds;
if (kind === undefined) throw new Error('there is no database server to try');

describe(`a service of ${workers} workers on ${kind.name}`, () => {
  const test = testWith(...kind.needs);
  let world: World;
  let authority: string;
  let port: number;

  beforeAll(async () => {
    if (!kind.needs.every(hasProgram)) return;
    const database = await newDatabase(kind);
    port = await freePort();
    world = await makeWorld({
      env(issuer, folder) {
        const issued = issuer.issue('gatehouse.example.test');
        authority = issuer.pem;
        const file = (name: string, text: string) => {
          writeFileSync(join(folder, name), text, { mode: 0o600 });
          return join(folder, name);
        };
        return {
          GATEHOUSE_WORKERS: String(workers),
          GATEHOUSE_DATABASE_URL: database.url,
          GATEHOUSE_DATABASE_SCHEMA: database.schema,
          GATEHOUSE_PORT: String(port),
          GATEHOUSE_PUBLIC_URL: `https://gatehouse.example.test:${port}`,
          GATEHOUSE_MASTER_KEY_FILE: file('master.key', randomBytes(32).toString('hex')),
          GATEHOUSE_TLS_CERT: file('tls.crt', issued.cert),
          GATEHOUSE_TLS_KEY: file('tls.key', issued.key),
        };
      },
    });
    await until(
      () => world.site.output().includes('every worker serves'),
      60_000,
      () => world.site.output(),
    );
  }, 180_000);
  afterAll(() => world?.close());

  /** Processes that served at some time, oldest first. */
  const served = () => [...world.site.output().matchAll(/"worker":\d+,"pid":(\d+),"msg":"a worker serves"/g)].map(([, pid]) => Number(pid));
  const lives = (pid: number) => existsSync(`/proc/${pid}`);
  const living = () => served().filter(lives);

  /** Asks for health over kept-alive connections, several at once, until told to stop. */
  function askAll(): { stop(): Promise<readonly string[]> } {
    const agent = new Agent({ keepAlive: true, maxSockets: 8, ca: authority });
    let going = true;
    const answers: string[] = [];
    const ask = () =>
      new Promise<string>((resolve) => {
        const where = { host: '127.0.0.1', port, servername: 'gatehouse.example.test', path: '/health/ready', agent };
        request({ ...where, headers: { host: `gatehouse.example.test:${port}` } }, (answer) => {
          answer.resume();
          answer.on('end', () => resolve(String(answer.statusCode)));
        })
          .on('error', (error) => resolve(error.message))
          .end();
      });
    const loops = Array.from({ length: 8 }, async () => {
      while (going) answers.push(await ask());
    });
    return {
      async stop() {
        going = false;
        await Promise.all(loops);
        agent.destroy();
        return answers;
      },
    };
  }

  /** A program in a run that calls the API, several calls at once, until the file is there. */
  function callAll(last: string) {
    const script = `
      const { existsSync } = require('node:fs');
      const answers = {};
      const loop = async (n) => {
        for (let call = 0; !existsSync('${last}'); call++) {
          const answer = await fetch('${world.api}/echo?' + n + '-' + call).then(async (a) => { await a.text(); return a.status; }, (e) => String(e.cause?.code ?? e));
          answers[answer] = (answers[answer] ?? 0) + 1;
        }
      };
      Promise.all([1, 2, 3, 4].map(loop)).then(() => console.log(JSON.stringify(answers)));`;
    return world.run([process.execPath, '-e', script], { timeout: 240_000 });
  }

  test('starts the first alone, then the others; one gives the set-up link and one migrates', () => {
    expect(living()).toHaveLength(workers);
    expect(world.site.output().match(/the set-up link is in a file/g)).toHaveLength(1);
    expect(world.site.output().match(/migrating the database/g)).toHaveLength(1);
  });

  test('restarted one by one under load, it loses no call', async () => {
    const before = living();
    const last = join(world.folder, 'last-call');
    const calling = callAll(last);
    await until(() => world.upstream.seen.length > 20, 60_000);
    const asking = askAll();
    for (let times = 0; times < 2; times++)
      expect(JSON.parse(must(await world.site.command(['restart', '--json'], { timeout: 200_000 })).stdout)).toEqual({
        restarted: true,
        workers,
      });
    const answers = await asking.stop();
    writeFileSync(last, '');
    const calls = JSON.parse((await calling).stdout) as Readonly<Record<string, number>>;
    expect(Object.keys(calls)).toEqual(['200']);
    expect(calls['200']).toBeGreaterThan(100);
    expect(answers.filter((answer) => answer !== '200')).toEqual([]);
    expect(answers.length).toBeGreaterThan(100);
    expect(living()).toHaveLength(workers);
    expect(served()).toHaveLength(3 * workers);
    expect(before.some(lives)).toBe(false);
  }, 300_000);

  test('a worker that is killed is replaced while the others serve', async () => {
    const [victim = 0] = living();
    process.kill(victim, 'SIGKILL');
    await until(() => !lives(victim), 60_000);
    await until(() => living().length === workers, 60_000);
    expect(living()).not.toContain(victim);
    expect(world.site.output()).toMatch(/"how":"SIGKILL","msg":"a worker ended, and is replaced"/);
    const script = `fetch('${world.api}/echo?after').then((a) => console.log(a.status))`;
    expect(await world.run([process.execPath, '-e', script])).toMatchObject({ code: 0, stdout: '200\n' });
  }, 120_000);

  test('one that ends again and again is waited for longer each time', async () => {
    const waits = () =>
      [...world.site.output().matchAll(/"ms":(\d+),"msg":"a worker is started after a wait"/g)].map(([, ms]) => Number(ms));
    for (let times = 0; times < 3; times++) {
      await until(() => living().length === workers, 60_000);
      const newest = served().at(-1) ?? 0;
      process.kill(newest, 'SIGKILL');
      await until(() => !lives(newest), 60_000);
      await until(() => living().length === workers, 60_000);
    }
    expect(waits()).toEqual([500, 1_000, 2_000]);
  }, 180_000);

  test('a restart whose first new worker cannot start leaves the old ones alone', async () => {
    await until(() => living().length === workers, 60_000);
    const before = living();
    const file = join(world.site.home, '.env');
    writeFileSync(file, 'GATEHOUSE_NO_SUCH_SETTING=1\n');
    process.kill(world.site.pid() as number, 'SIGHUP');
    await until(() => world.site.output().includes('the workers were not restarted'), 60_000);
    rmSync(file);
    expect(living()).toEqual(before);
    const asking = askAll();
    await sleep(300);
    expect(new Set(await asking.stop())).toEqual(new Set(['200']));
  }, 120_000);

  test('told to stop it ends every worker, and exits with 0', async () => {
    const all = living();
    expect(await world.site.stop('SIGTERM')).toBe(0);
    expect(all.some(lives)).toBe(false);
    expect(world.site.output()).toMatch(/"msg":"every worker has ended"}\s*$/);
    const { code, stderr } = await world.site.command(['restart']);
    expect([code, stderr]).toEqual([9, expect.stringContaining('no server runs')]);
  }, 120_000);

  test('told while it starts, it restarts once it has started, and stops without waiting for the rest', async () => {
    const from = served().length;
    await world.site.start();
    process.kill(world.site.pid() as number, 'SIGHUP');
    await until(() => served().length >= from + 2 * workers, 120_000);
    await world.site.stop();
    await world.site.start();
    expect(await world.site.stop('SIGTERM')).toBe(0);
    expect(living()).toEqual([]);
  }, 240_000);

  test('killed itself, it leaves no worker behind', async () => {
    await world.site.start();
    await until(() => living().length === workers, 60_000);
    const all = living();
    await world.site.stop('SIGKILL');
    await until(() => !all.some(lives), 20_000);
  }, 120_000);
});

describe('several workers', () => {
  const env = { PATH: process.env.PATH ?? '', HOME: join('/nonexistent', 'nobody') };

  plainTest('on SQLite are refused, and why is said', async () => {
    const { code, stderr } = await execute([...gatehouse, 'serve', '--workers', '2'], { env });
    expect([code, stderr]).toEqual([1, expect.stringContaining('SQLite has one writer')]);
    const checked = await execute([...gatehouse, 'config', 'check'], { env: { ...env, GATEHOUSE_WORKERS: '2' } });
    expect([checked.code, checked.stderr]).toEqual([1, expect.stringContaining('SQLite has one writer')]);
  });

  plainTest('are a number from 1 to 64', async () => {
    for (const count of ['0', '65', '1.5', 'many']) {
      expect(await execute([...gatehouse, 'serve', '--workers', count], { env })).toMatchObject({ code: 1 });
      const { code, stderr } = await execute([...gatehouse, 'config', 'check'], { env: { ...env, GATEHOUSE_WORKERS: count } });
      expect([code, stderr]).toEqual([1, expect.stringContaining('GATEHOUSE_WORKERS: give')]);
    }
  });
});
