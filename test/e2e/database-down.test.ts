import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { hostileAgent, type Line, say, tunnelTo } from '../support/hostile.ts';
import { until } from '../support/installation.ts';
import { count, testWith } from '../support/need.ts';
import { answers, connects, must, withPerson } from '../support/person.ts';
import { rotatingProvider } from '../support/rotating.ts';
import { makeWorld } from '../support/world.ts';

const megabyte = 1024 * 1024;

/** An installation with two connections of one API: a key, and an OAuth token that has run out. */
async function standing(options: Parameters<typeof makeWorld>[0] = {}) {
  const provider = rotatingProvider();
  const world = await makeWorld({ ...options, extra: provider.routes });
  const { site } = world;
  const target = `${world.host}:${world.upstream.port}`;
  const agent = await hostileAgent(site, 'steady');
  const file = join(world.folder, 'rotating.json');
  writeFileSync(file, JSON.stringify(provider.definition(world.host, world.upstream.port)));
  must(await withPerson(site, ['provider', 'register', file], [answers(site)]));
  must(await withPerson(site, ['provider', 'client', 'rotating', '--client-id', 'ours'], [answers(site)]));
  must(await withPerson(site, ['login', 'rotating'], [connects(site, { reach: 'everything' })]));
  must(await withPerson(site, ['policy', 'allow', 'steady', 'example-api', 'everything'], [answers(site)]));
  return { world, provider, target, agent, run: await agent.startRun() };
}

type Standing = Awaited<ReturnType<typeof standing>>;

/** One request on an open tunnel: the head and, if it was refused, the problem. */
async function ask({ target }: Standing, line: Line, path: string): Promise<string> {
  line.send(`GET ${path} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  return line.until(/\}(\r\n0\r\n\r\n)?$/, 30_000);
}

const arrived = ({ world }: Standing, path: string) => world.upstream.seen.filter((seen) => seen.url.startsWith(path)).length;
const refused = /^HTTP\/1\.1 503 [\s\S]*Retry-After: [1-9][\s\S]*"source":"gatehouse"/;

/** The server's own word on whether it is well. */
async function ready({ world }: Standing): Promise<number> {
  return (await say(world.site.port, { path: '/health/ready' })).status;
}

let down: Standing;
const open: Line[] = [];
afterEach(() => {
  for (const line of open.splice(0)) line.socket.destroy();
});

async function tunnel(): Promise<Line> {
  const line = await tunnelTo(down.world.site, down.run, down.target);
  open.push(line);
  return line;
}

describe('a data folder that is taken away', () => {
  beforeAll(async () => {
    down = await standing();
  });
  afterAll(() => down.world.close());

  test('stops every new call, cuts what is under way within the bound, refreshes nothing, and all goes on when it is back', async () => {
    const { site } = down.world;
    const [line, stream, expired] = [await tunnel(), await tunnel(), await tunnel()];
    expect(await ask(down, line, '/before')).toMatch(/^HTTP\/1\.1 200 /);
    stream.send(`GET /sse/6000/50 HTTP/1.1\r\nHost: ${down.target}\r\n\r\n`);
    expect(await stream.until(/data: /)).toContain('data: ');
    const cut = new Promise<number>((resolve) => stream.socket.once('close', () => resolve(performance.now())));
    const away = `${site.home}.away`;
    renameSync(site.home, away);
    const taken = performance.now();
    try {
      // What the server saw a moment ago may still be good for a tenth of a second.
      await new Promise((resolve) => setTimeout(resolve, 150));
      for (let nth = 0; nth < 3; nth++) expect(await ask(down, line, `/away/${nth}`)).toMatch(refused);
      expect(await ask(down, expired, '/oauth')).toMatch(refused);
      expect(await cut).toBeGreaterThan(taken);
      expect(performance.now() - taken).toBeLessThan(3_000 + 500 + 1_000);
      expect([await ready(down), (await say(site.port, { path: '/health/live' })).status]).toEqual([503, 200]);
      const late = await tunnelTo(site, down.run, down.target).catch((error: Error) => error.message);
      expect(late).toMatch(/HTTP\/1\.1 503 [\s\S]*Retry-After: [1-9]/);
      expect([arrived(down, '/away'), arrived(down, '/oauth'), down.provider.refreshes()]).toEqual([0, 0, 0]);
    } finally {
      renameSync(away, site.home);
    }
    await until(async () => (await ready(down)) === 200, 10_000);
    expect(await ask(down, await tunnel(), '/back')).toMatch(/^HTTP\/1\.1 200 /);
    expect(await ask(down, await tunnel(), '/oauth')).toMatch(/^HTTP\/1\.1 200 /);
    expect(down.provider.refreshes()).toBe(1);
    expect(JSON.parse(must(await site.command(['log', 'verify', '--json'])).stdout)).toMatchObject({ holds: true, breaks: [] });
  }, 60_000);

  test('and replaced by another, as a restored copy does, is not written to, nor is the old one behind its back', async () => {
    const { site } = down.world;
    const line = await tunnel();
    expect(await ask(down, line, '/old')).toMatch(/^HTTP\/1\.1 200 /);
    const away = `${site.home}.away`;
    renameSync(site.home, away);
    mkdirSync(site.home, { mode: 0o700 });
    new DatabaseSync(join(site.home, 'gatehouse.db')).close();
    try {
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect(await ask(down, line, '/replaced')).toMatch(refused);
      expect(arrived(down, '/replaced')).toBe(0);
      expect(readdirSync(site.home)).toEqual(['gatehouse.db']);
    } finally {
      rmSync(site.home, { recursive: true });
      renameSync(away, site.home);
    }
    await until(async () => (await ready(down)) === 200, 10_000);
    expect(await ask(down, await tunnel(), '/old')).toMatch(/^HTTP\/1\.1 200 /);
  }, 60_000);
});

describe('leases that cannot be had, because another process holds their file', () => {
  beforeAll(async () => {
    down = await standing();
  });
  afterAll(() => down.world.close());

  test('let no refresh begin; the call is refused, and made once they can be had', async () => {
    const held = new DatabaseSync(join(down.world.site.home, 'ephemera.db'), { timeout: 10_000 });
    held.exec('BEGIN IMMEDIATE');
    try {
      expect(await ask(down, await tunnel(), '/oauth')).toMatch(refused);
      expect([down.provider.refreshes(), arrived(down, '/oauth')]).toEqual([0, 0]);
    } finally {
      held.exec('ROLLBACK');
      held.close();
    }
    expect(await ask(down, await tunnel(), '/oauth')).toMatch(/^HTTP\/1\.1 200 /);
    expect(down.provider.refreshes()).toBe(1);
  }, 60_000);
});

describe('a disk that is full', () => {
  testWith('unshare')(
    'refuses what cannot be recorded without a byte upstream, refreshes nothing, and is over when there is room',
    async () => {
      down = await standing({ within: small });
      const { site } = down.world;
      try {
        const filler = join('/proc', String(site.pid()), 'root', site.home, 'filler');
        const line = await tunnel();
        expect(await ask(down, line, '/before')).toMatch(/^HTTP\/1\.1 200 /);
        const marks = contendProofs(down);
        fill(filler);
        const sent = await untilRefused(line);
        await until(() => marks.refused() > 0, 20_000);
        expect(arrived(down, '/full')).toBe(sent);
        expect(await ask(down, await tunnel(), '/oauth')).toMatch(refused);
        expect([down.provider.refreshes(), arrived(down, '/oauth')]).toEqual([0, 0]);
        rmSync(filler);
        const whole = performance.now();
        await until(async () => /^HTTP\/1\.1 200 /.test(await ask(down, await tunnel(), '/room')), 10_000);
        await until(async () => /^HTTP\/1\.1 200 /.test(await ask(down, await tunnel(), '/oauth')), 20_000);
        process.stderr.write(`a full disk: normal ${((performance.now() - whole) / 1000).toFixed(1)} s after there was room\n`);
        expect(down.provider.refreshes()).toBe(1);
        expect(await marks.end()).toEqual({ twice: [], wrong: [] });
        expect(JSON.parse(must(await site.command(['log', 'verify', '--json'])).stdout)).toMatchObject({ holds: true, breaks: [] });
      } finally {
        await down.world.close();
      }
    },
    300_000,
  );
});

/** Shows new proofs, each several times at once, until it is ended; and then each once more. */
function contendProofs({ world, agent }: Standing) {
  const path = '/v1/whoami';
  const accepted = new Map<string, number>();
  const wrong: string[] = [];
  let refusals = 0;
  let going = true;

  async function show(authorization: string): Promise<void> {
    const { status, headers, text } = await say(world.site.port, { path, headers: { authorization } });
    if (status === 200) accepted.set(authorization, (accepted.get(authorization) ?? 0) + 1);
    else if (status === 503 && Number(headers['retry-after']) > 0) refusals += 1;
    else if (!text.includes('proof_replayed')) wrong.push(`${status} ${text}`);
  }

  async function contend(): Promise<void> {
    const shown: string[] = [];
    for (const most = count(2_000, 10_000); going && shown.length < most; ) {
      const proof = agent.proof('GET', path);
      shown.push(proof);
      await Promise.all([show(proof), show(proof), show(proof)]);
    }
    // Proofs are good for a minute; the latest still are.
    for (const proof of shown.slice(-50)) await show(proof);
  }

  const contending = contend();
  return {
    refused: () => refusals,
    async end() {
      going = false;
      await contending;
      return { twice: [...accepted.values()].filter((times) => times > 1), wrong };
    },
  };
}

/** Starts a server in a mount namespace where its data folder is a disk of a few megabytes. */
const small = ['unshare', '-Urm', 'sh', '-c', 'mount -t tmpfs -o size=12m,mode=700 none "$GATEHOUSE_HOME" && exec "$@"', 'sh'];

/** Writes until there is no room for a byte more. */
function fill(path: string): void {
  for (const size of [megabyte, 4096, 1]) {
    for (;;) {
      try {
        writeFileSync(path, Buffer.alloc(size, 'x'), { flag: 'a' });
      } catch {
        break;
      }
    }
  }
}

/** Calls until one is refused: files have room left within themselves. @returns how many went through */
async function untilRefused(line: Line): Promise<number> {
  for (let sent = 0; sent < 5_000; sent++) {
    const answer = await ask(down, line, `/full/${sent}`);
    if (refused.test(answer)) return sent;
    if (!/^HTTP\/1\.1 200 /.test(answer)) throw new Error(answer);
  }
  throw new Error('the disk never was full');
}
