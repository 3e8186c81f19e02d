import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { systemClock } from '#kernel';
import { type Database, type Kind, kinds, newDatabase, openOn } from '../support/databases.ts';
import { freePort, type ServerProcess, startServer, until } from '../support/installation.ts';
import { hasProgram, testWith } from '../support/need.ts';
import { must } from '../support/person.ts';
import { spoiledWire } from '../support/wire.ts';
import { makeWorld, type World } from '../support/world.ts';

interface Place {
  readonly name: string;
  readonly kind: Kind;
  /** Nothing that one server announces reaches the other. */
  readonly muted: boolean;
}

const places: readonly Place[] = [
  ...kinds.map((kind) => ({ name: kind.name, kind, muted: false })),
  ...kinds.filter(({ name }) => name === 'postgresql').map((kind) => ({ name: `${kind.name}, without push`, kind, muted: true })),
];

/** Servers on one database server, under the production rules: their own TLS, an https URL, a given master key. */
describe.each(places)('two servers on one $name', ({ kind, muted }) => {
  const test = testWith(...kind.needs);
  let database: Database;
  let world: World;
  let second: ServerProcess;
  let other: Readonly<Record<string, string>>;

  beforeAll(async () => {
    if (!kind.needs.every(hasProgram)) return;
    database = muted ? await withoutPush(await newDatabase(kind)) : await newDatabase(kind);
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

  /** Goes on calling until there is a file `last`; prints when, and the status. */
  const callsFrom = (first: string, last: string) => `
    const { existsSync, writeFileSync } = require('node:fs');
    const call = () => fetch('${world.api}/echo?going').then((a) => a.status, () => 0).then((status) => {
      console.log(Date.now(), status);
      writeFileSync('${first}', '');
      if (!existsSync('${last}')) setTimeout(call, 50);
    });
    call();`;

  /** Reads a stream to its end; prints when each part came, and when it ended. */
  const streamFrom = (first: string) => `
    const { writeFileSync } = require('node:fs');
    (async () => {
      try {
        for await (const part of (await fetch('${world.api}/sse/400/50')).body) {
          console.log(Date.now(), 'part');
          writeFileSync('${first}', '');
        }
      } catch {}
      console.log(Date.now(), 'end');
    })();`;

  test('what the owner takes away is refused by every server, and what is under way is cut, within a second', async () => {
    const file = (name: string) => join(world.folder, name);
    const node = (script: string, env: Readonly<Record<string, string>>) => world.run([process.execPath, '-e', script], { env });
    const calls = node(callsFrom(file('call'), file('last-call')), other);
    const streams = [node(streamFrom(file('stream')), {}), node(streamFrom(file('other-stream')), other)];
    await until(() => ['call', 'stream', 'other-stream'].every((name) => existsSync(file(name))), 30_000);
    must(await world.site.command(['agent', 'suspend', 'default']));
    const told = Date.now();
    await sleep(2_000);
    writeFileSync(file('last-call'), '');
    const lines = linesOf((await calls).stdout);
    expect(lines.some(([, status]) => status === '200')).toBe(true);
    expect(lines.filter(([at, status]) => at > told + 1_000 && status === '200')).toEqual([]);
    expect(lines.some(([at]) => at > told + 1_000)).toBe(true);
    for (const stream of await Promise.all(streams)) {
      const [last, end] = linesOf(stream.stdout).slice(-2);
      expect([last?.[1], end?.[1]]).toEqual(['part', 'end']);
      expect(end?.[0]).toBeLessThan(told + 1_000);
    }
  }, 60_000);
});

function linesOf(text: string): readonly (readonly [number, string])[] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([at = '', what = '']) => [Number(at), what]);
}

async function withoutPush(database: Database): Promise<Database> {
  const wire = await spoiledWire(Number(new URL(database.url).port), { sign: /listen "gatehouse_/, effect: 'mute' });
  return { ...database, url: wire.over(database.url) };
}
