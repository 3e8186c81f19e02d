import { existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callerOf, startRun } from '../support/calling.ts';
import { type HostileAgent, type HostileRun, hostileAgent, type Line, tunnelTo } from '../support/hostile.ts';
import { freePort, startServer, until } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { answers, must, withPerson } from '../support/person.ts';
import { makeWorld, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await makeWorld({
    extra: { slow: (_, response) => void setTimeout(() => response.end('{"slow":true}'), 4_000) },
  });
});
afterAll(() => world?.close());

const arrived = (path: string) => world.upstream.seen.filter((seen) => seen.url === path).length;

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}

describe('a server that is told to stop', () => {
  testWith('curl')('accepts nothing more, lets the call under way end, then exits with 0', async () => {
    const calling = world.run(['curl', '-sS', '-w', ' %{http_code}', `${world.api}/slow`]);
    await until(() => arrived('/slow') === 1, 20_000);
    const stopping = world.site.stop('SIGTERM');
    // Nobody new comes in meanwhile, by any of its ports.
    for (const port of [world.site.port, world.site.proxyPort]) await until(() => isRefused(port));
    expect(arrived('/slow')).toBe(1);
    const stopped = await stopping;
    expect(await calling).toMatchObject({ code: 0, stdout: '{"slow":true} 200' });
    expect(stopped).toBe(0);
    await world.site.start();
  });

  test('ends a call that does not end by itself at the deadline, and still exits with 0', async () => {
    await world.site.stop();
    const env = { ...world.site.env, GATEHOUSE_SHUTDOWN_SECONDS: '1' };
    const server = await startServer(env, world.site.folder);
    const calling = world.run(['curl', '-sS', '-N', `${world.api}/sse/600/100`]);
    await until(() => arrived('/sse/600/100') === 1, 20_000);
    const from = performance.now();
    expect(await server.stop('SIGTERM')).toBe(0);
    expect(performance.now() - from).toBeLessThan(5_000);
    expect((await calling).code).not.toBe(0);
    await world.site.start();
  });

  test('is waited for by a run that goes on where it was, with the placeholders it has', async () => {
    const [first, again] = [join(world.site.folder, 'first'), join(world.site.folder, 'again')];
    const script = `
      const { existsSync, writeFileSync } = require('node:fs');
      const headers = { authorization: 'Bearer ' + process.env.EXAMPLE_API_KEY };
      const ask = async (path) => (await fetch('${world.api}/' + path, { headers })).status;
      // How long a server takes to start is not what is asked here.
      const patient = (path, tries = 10) => ask(path).catch((error) => (tries > 0 ? patient(path, tries - 1) : Promise.reject(error)));
      const get = async (path) => console.log(path, await patient(path));
      get('before').then(async () => {
        writeFileSync('${first}', '');
        while (!existsSync('${again}')) await new Promise((next) => setTimeout(next, 50));
        await get('after');
        await get('later');
      });`;
    const going = world.run([process.execPath, '-e', script], { timeout: 240_000 });
    await until(() => existsSync(first), 20_000);
    await world.site.stop('SIGTERM');
    writeFileSync(again, '');
    // The call comes while there is no server.
    await sleep(500);
    await world.site.start();
    expect(await going).toMatchObject({ code: 0, stdout: 'before 200\nafter 200\nlater 200\n' });
    // The placeholder of the run means what it meant.
    const credentials = world.upstream.seen
      .filter(({ url }) => /^\/(before|after|later)$/.test(url))
      .map(({ headers }) => headers.authorization);
    expect(credentials).toEqual(Array(3).fill(`Bearer ${world.canary}`));
  });

  test('does not wait for tunnels in which nothing is under way', async () => {
    const agent = await hostileAgent(world.site, 'idle');
    const line = await tunnelTo(world.site, await agent.startRun(), `${world.host}:${world.upstream.port}`);
    expect(await world.site.stop('SIGTERM')).toBe(0);
    expect(await line.until('end')).toBe('');
    expect(world.site.output()).toMatch(/"msg":"stopped"}\s*$/);
    await world.site.start();
  });
});

test('an older program leaves the database of a newer one alone, and says so', async () => {
  await world.site.stop();
  const file = join(world.site.home, 'gatehouse.db');
  const database = new DatabaseSync(file);
  database.exec("insert into migrations (name, applied_at) values ('9999-later', 0)");
  try {
    const { code, stderr } = await world.site.command(['serve'], { timeout: 60_000 });
    expect([code, stderr]).toEqual([1, expect.stringContaining('made by a newer Gatehouse')]);
    expect(database.prepare('select name from migrations order by name').all().at(-1)).toMatchObject({ name: '9999-later' });
  } finally {
    database.exec("delete from migrations where name = '9999-later'");
    database.close();
    await world.site.start();
  }
});

describe('what an owner takes away', () => {
  let agent: HostileAgent;
  let run: HostileRun;
  let target: string;

  beforeAll(async () => {
    target = `${world.host}:${world.upstream.port}`;
    agent = await hostileAgent(world.site, 'checked');
    must(await withPerson(world.site, ['policy', 'allow', 'checked', 'example-api', 'everything'], [answers(world.site)]));
    run = await agent.startRun();
  });

  const get = (line: Line, path: string) => line.send(`GET ${path} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  const answered = async (line: Line, path: string) => {
    get(line, path);
    return line.until(/\}(\r\n0\r\n\r\n)?$/);
  };

  test('a denied path is refused at the next request of an open tunnel, and others are not', async () => {
    const line = await tunnelTo(world.site, run, target);
    expect(await answered(line, '/taken/away')).toMatch(/^HTTP\/1\.1 200 /);
    must(await world.site.command(['policy', 'deny', 'checked', 'example-api', 'GET /taken/*']));
    expect(await answered(line, '/taken/away')).toMatch(/^HTTP\/1\.1 403 [\s\S]*"source":"gatehouse"/);
    const other = await tunnelTo(world.site, run, target);
    expect(await answered(other, '/left')).toMatch(/^HTTP\/1\.1 200 /);
    expect(arrived('/taken/away')).toBe(1);
    for (const one of [line, other]) one.socket.destroy();
  });

  test('a suspended agent loses its open tunnels and streams, on this server and within a second on another', async () => {
    const [port, proxyPort] = [await freePort(), await freePort()];
    const settings = { GATEHOUSE_PORT: String(port), GATEHOUSE_PROXY_PORT: String(proxyPort), GATEHOUSE_PUBLIC_URL: world.site.url };
    const second = await startServer({ ...world.site.env, ...settings }, world.site.folder);
    try {
      const places = [world.site, { ...world.site, proxyPort }];
      const lines = await Promise.all(places.map((place) => tunnelTo(place, run, target)));
      const streams = await Promise.all(places.map((place) => tunnelTo(place, run, target)));
      for (const [at, line] of lines.entries()) expect(await answered(line, `/open/${at}`)).toMatch(/^HTTP\/1\.1 200 /);
      for (const stream of streams) get(stream, '/sse/600/50');
      for (const stream of streams) expect(await stream.until(/data: /)).toContain('data: ');
      const cuts = streams.map(endOf);
      must(await world.site.command(['agent', 'suspend', 'checked']));
      const told = performance.now();
      for (const ended of await Promise.all(cuts)) expect(ended - told).toBeLessThan(1_500);
      for (const [at, line] of lines.entries()) expect(await answered(line, `/open/suspended-${at}`)).not.toMatch(/^HTTP\/1\.1 200 /);
      expect(world.upstream.seen.filter((seen) => seen.url.startsWith('/open/suspended'))).toEqual([]);
    } finally {
      await second.stop();
    }
  }, 300_000);
});

/** When the peer closed it. */
function endOf({ socket }: Line): Promise<number> {
  return new Promise((resolve) => socket.once('close', () => resolve(performance.now())));
}

describe('a database that another process keeps locked', () => {
  test('makes a call wait; one that waits too long is refused without a byte upstream; both end by themselves', async () => {
    const agent = await hostileAgent(world.site, 'patient');
    must(await withPerson(world.site, ['policy', 'allow', 'patient', 'example-api', 'everything'], [answers(world.site)]));
    const caller = callerOf(await startRun(agent), world.site.proxyPort);
    // The server writes too.
    const database = new DatabaseSync(join(world.site.home, 'gatehouse.db'), { timeout: 10_000 });
    try {
      expect(await caller.call(`${world.api}/locked/before`)).toBe(200);
      database.exec('BEGIN IMMEDIATE');
      const waiting = caller.call(`${world.api}/locked/short`);
      await sleep(1_000);
      expect(arrived('/locked/short')).toBe(0);
      database.exec('ROLLBACK');
      expect(await waiting).toBe(200);

      database.exec('BEGIN IMMEDIATE');
      expect(await caller.call(`${world.api}/locked/long`)).toBe(503);
      database.exec('ROLLBACK');
      expect(arrived('/locked/long')).toBe(0);
      expect(await caller.call(`${world.api}/locked/after`)).toBe(200);
    } finally {
      database.close();
      await caller.close();
    }
  }, 300_000);
});
