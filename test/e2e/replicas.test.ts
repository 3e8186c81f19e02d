import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { systemClock } from '#kernel';
import { kinds, newDatabase, openOn } from '../support/databases.ts';
import { freePort, type ServerProcess, startServer, until } from '../support/installation.ts';
import { hasProgram, testWith } from '../support/need.ts';
import { must } from '../support/person.ts';
import { makeWorld, type World } from '../support/world.ts';

/** Servers on one database server, under the production rules: their own TLS, an https URL, a given master key. */
describe.each(kinds)('two servers on one $name', (kind) => {
  const test = testWith(...kind.needs);
  let database: Awaited<ReturnType<typeof newDatabase>>;
  let world: World;
  let second: ServerProcess;
  let other: Readonly<Record<string, string>>;

  beforeAll(async () => {
    if (!kind.needs.every(hasProgram)) return;
    database = await newDatabase(kind);
    const port = await freePort();
    world = await makeWorld({
      env(authority, folder) {
        const issued = authority.issue('gatehouse.example.test');
        const file = (name: string, text: string) => {
          writeFileSync(join(folder, name), text, { mode: 0o600 });
          return join(folder, name);
        };
        return {
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
    const folder = join(world.folder, 'second');
    for (const name of ['home', 'runtime']) mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
    other = { XDG_RUNTIME_DIR: join(folder, 'runtime'), GATEHOUSE_HOME: join(folder, 'home') };
    const ports = { GATEHOUSE_PORT: String(await freePort()), GATEHOUSE_PROXY_PORT: String(await freePort()) };
    second = await startServer({ ...world.site.env, ...other, ...ports }, folder);
  }, 120_000);
  afterAll(async () => {
    await second?.stop();
    await world?.close();
  });

  const call = (path: string) => [process.execPath, '-e', `fetch('${world.api}${path}').then((a) => console.log(a.status))`];

  test('each serves runs, with one set of data keys, and appends to an audit chain of its own', async () => {
    expect(await world.run(call('/echo?first'))).toMatchObject({ code: 0, stdout: '200\n' });
    expect(await world.run(call('/echo?second'), { env: other })).toMatchObject({ code: 0, stdout: '200\n' });
    const sent = world.upstream.seen.filter(({ url }) => url?.startsWith('/echo?'));
    expect(sent.map(({ headers }) => headers.authorization)).toEqual(Array(2).fill(`Bearer ${world.canary}`));
    const store = await openOn(database, systemClock);
    const rows = await store.records.platform('test').read(async ({ db }) => ({
      keys: await db.selectFrom('data_keys').select('scope').where('scope', '=', 'platform').execute(),
      writers: await db.selectFrom('events').select('writer').distinct().where('name', '=', 'call.allowed').execute(),
    }));
    expect([rows.keys.length, rows.writers.length]).toEqual([1, 2]);
    expect(must(await world.site.command(['log', 'verify'])).stdout).toMatch(/^holds: \d+ events by 2 writers/m);
  }, 60_000);

  test('searches find the same as on SQLite', async () => {
    const found = async (...parameters: readonly string[]) => {
      const { items } = JSON.parse(must(await world.site.command([...parameters, '--json'])).stdout) as { items: readonly unknown[] };
      return items.length;
    };
    expect(await found('agent', 'list', '--search', 'DID:KEY:Z')).toBe(1);
    expect(await found('agent', 'list', '--search', 'nobody')).toBe(0);
    expect(await found('connections', 'list', '--search', 'EXAMPLE')).toBe(1);
    expect(await found('log', '--name', 'call.*', '--search', 'ECHO.get')).toBeGreaterThan(0);
    expect(await found('log', '--search', 'n%thing')).toBe(0);
  }, 60_000);

  test('what the owner takes away on one is refused by the other within a second', async () => {
    const [first, last] = [join(world.folder, 'first-call'), join(world.folder, 'last-call')];
    const script = `
      const { existsSync, writeFileSync } = require('node:fs');
      const call = () => fetch('${world.api}/echo?going').then((a) => a.status, () => 0).then((status) => {
        console.log(Date.now(), status);
        writeFileSync('${first}', '');
        if (!existsSync('${last}')) setTimeout(call, 50);
      });
      call();`;
    const going = world.run([process.execPath, '-e', script], { env: other });
    await until(() => existsSync(first), 20_000);
    must(await world.site.command(['agent', 'suspend', 'default']));
    const told = Date.now();
    await sleep(2_000);
    writeFileSync(last, '');
    const lines = (await going).stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number) as [number, number]);
    expect(lines.some(([, status]) => status === 200)).toBe(true);
    expect(lines.filter(([at, status]) => at > told + 1_000 && status === 200)).toEqual([]);
    expect(lines.some(([at]) => at > told + 1_000)).toBe(true);
  }, 60_000);
});
