import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { foldersOf } from '#config';
import { type Caller, callerOf, startRun } from '../support/calling.ts';
import { type HostileAgent, hostileAgent } from '../support/hostile.ts';
import { freePort, type ServerProcess, startServer, until } from '../support/installation.ts';
import { count } from '../support/need.ts';
import { answers, connects, must, withPerson } from '../support/person.ts';
import { rotatingProvider, type Stage } from '../support/rotating.ts';
import { makeWorld, type World } from '../support/world.ts';

const kills = count(3, 50);
const names = Array.from({ length: kills }, (_, at) => `killed-${at}`);
const provider = rotatingProvider();
let world: World;
let agent: HostileAgent;
const callers: Caller[] = [];

beforeAll(async () => {
  world = await makeWorld({ extra: provider.routes });
  agent = await hostileAgent(world.site, 'racer');
  const { site } = world;
  const definition = provider.definition(world.host, world.upstream.port);
  const file = join(world.folder, 'rotating.json');
  writeFileSync(file, JSON.stringify(definition));
  must(await withPerson(site, ['provider', 'register', file], [answers(site)]));
  must(await withPerson(site, ['provider', 'client', 'rotating', '--client-id', 'ours'], [answers(site)]));
  await connectRotating('raced');
  must(await withPerson(site, ['policy', 'allow', 'racer', 'example-api', 'everything'], [answers(site)]));
});
afterEach(async () => {
  provider.onStage = () => {};
  for (const caller of callers.splice(0)) await caller.close();
});
afterAll(() => world?.close());

async function connectRotating(name: string): Promise<void> {
  const { site } = world;
  must(await withPerson(site, ['login', 'rotating', '--connection', name], [connects(site, { reach: 'everything' })]));
}

async function caller(connection: string, proxyPort = world.site.proxyPort): Promise<Caller> {
  const made = callerOf(await startRun(agent, { rotating: connection }), proxyPort);
  callers.push(made);
  return made;
}

/** One more server on the same data folder, with ports of its own. */
async function secondServer(): Promise<{ readonly server: ServerProcess; readonly proxyPort: number }> {
  const [port, proxyPort] = [await freePort(), await freePort()];
  const env = {
    ...world.site.env,
    GATEHOUSE_PORT: String(port),
    GATEHOUSE_PROXY_PORT: String(proxyPort),
    GATEHOUSE_PUBLIC_URL: world.site.url,
  };
  return { server: await startServer(env, world.site.folder), proxyPort };
}

/** As a client that is told when to come back: a server that was kept from its work for seconds refuses whatever is asked, and closes tunnels in which nothing is. */
async function patiently(asking: Caller, url: string): ReturnType<Caller['ask']> {
  for (let tries = 0; ; tries++) {
    const said = await asking.ask(url);
    const comeBack = said.refusal?.includes('"stale_revocations"') === true || said.refusal?.includes('ECONNRESET') === true;
    if (!comeBack || tries === 20) return said;
    await sleep(1_000);
  }
}

describe('two servers on one data folder', () => {
  test('refresh an expired connection exactly once for 200 calls at once', async () => {
    const second = await secondServer();
    try {
      provider.slowness = 300;
      const [first, other] = [await caller('raced'), await caller('raced', second.proxyPort)];
      const url = `${world.api}/oauth/raced`;
      const said = await Promise.all(Array.from({ length: 200 }, (_, at) => patiently(at % 2 === 0 ? first : other, url)));
      expect(said.filter(({ status }) => status !== 200)).toEqual([]);
      expect(provider.refreshes()).toBe(1);
      expect(world.upstream.seen.filter((seen) => seen.url === '/oauth/raced')).toHaveLength(200);
    } finally {
      await second.server.stop();
    }
  }, 180_000);

  test('leave the local sockets to the first', async () => {
    must(await world.site.command(['connections', 'list']));
  });
});

const stages: readonly Stage[] = ['asked', 'rotated', 'answered'];
/** Longer than a refresher that died keeps others from trying. */
const leaseEnded = 16_000;

/** Asks until the call goes through or a person is needed, as a patient agent would. */
async function settled(connection: string): Promise<{ readonly status: number; readonly kind: string }> {
  const asking = await caller(connection);
  const url = `${world.api}/oauth/${connection}/after`;
  for (const end = performance.now() + 40_000; ; await sleep(500)) {
    const status = await asking.call(url);
    const kind = await standing(connection);
    if (status === 200 || kind === 'needs_attention' || performance.now() > end) return { status, kind };
  }
}

async function standing(connection: string): Promise<string> {
  const { stdout } = must(await world.site.command(['connections', 'inspect', `rotating/${connection}`, '--json']));
  return (JSON.parse(stdout) as { status: { kind: string } }).status.kind;
}

describe('a server that is killed', () => {
  test(
    `in the middle of a rotating refresh, ${kills} times, never loses a connection silently`,
    async () => {
      for (const [at, name] of names.entries()) {
        await connectRotating(name);
        const stage = stages[at % stages.length] as Stage;
        const reached = Promise.withResolvers<void>();
        provider.slowness = 20;
        provider.onStage = async (now) => {
          if (now !== stage) return;
          reached.resolve();
          // Before its answer the provider waits for the kill; after it, the kill falls somewhere into what follows.
          if (now !== 'answered') await sleep(300);
        };
        const asking = await caller(name);
        const call = asking.call(`${world.api}/oauth/${name}`);
        await reached.promise;
        await sleep(stage === 'answered' ? Math.floor(at / 3) % 12 : 50);
        await world.site.stop('SIGKILL');
        await call;
        provider.onStage = () => {};
        await world.site.start();
      }
      await sleep(leaseEnded);
      const asked = provider.refreshes();
      const outcomes = new Map<string, { readonly status: number; readonly kind: string }>();
      for (const name of names) outcomes.set(name, await settled(name));
      for (const [name, { status, kind }] of outcomes)
        expect([name, status === 200 ? 'connected' : 'needs_attention']).toEqual([name, kind]);
      // Killed before the provider was through, its word is unknown: asked once more, alone.
      expect(provider.refreshes() - asked).toBeLessThanOrEqual(kills);
      const { stdout } = must(await world.site.command(['log', '--json', '--name', 'connection.needs_attention', '--limit', '200']));
      const told = (JSON.parse(stdout) as { items: unknown[] }).items.length;
      expect(told).toBe([...outcomes.values()].filter(({ kind }) => kind === 'needs_attention').length);
    },
    240_000 + kills * 60_000,
  );

  test(
    `under load, ${kills} times, has a record of every request the upstream saw`,
    async () => {
      let number = 0;
      for (let kill = 0; kill < kills; kill++) {
        const loading = callerOf(await startRun(agent), world.site.proxyPort);
        callers.push(loading);
        let going = true;
        const one = async () => {
          while (going) await loading.call(`${world.api}/load/${number++}`);
        };
        const before = loaded().length;
        const all = Promise.all(Array.from({ length: 16 }, one));
        await until(() => loaded().length > before + 20);
        await sleep(Math.random() * 400);
        await world.site.stop('SIGKILL');
        going = false;
        await all;
        await world.site.start();
      }
      const arrived = new Set(loaded());
      const recorded = await recordedPaths();
      expect(arrived.size).toBeGreaterThan(20 * kills);
      expect([...arrived].filter((path) => !recorded.has(path))).toEqual([]);
      const verified = JSON.parse((await world.site.command(['log', 'verify', '--json'])).stdout) as unknown;
      expect(verified).toMatchObject({ holds: true, breaks: [] });
    },
    120_000 + kills * 60_000,
  );
});

function loaded(): readonly string[] {
  return world.upstream.seen.map((seen) => seen.url).filter((url) => url.startsWith('/load/'));
}

/** Over the local socket: tens of thousands of events are too many pages for as many commands. */
async function recordedPaths(): Promise<ReadonlySet<string>> {
  const { env, url } = world.site;
  const local = new Client(url, { socketPath: foldersOf(env.GATEHOUSE_HOME as string, env).serverSocket });
  const paths = new Set<string>();
  try {
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const query = { name: 'call.allowed', limit: '200', ...(cursor === '' ? {} : { cursor }) };
      const { body } = await local.request({ method: 'GET', path: '/v1/events', query });
      const { items, next } = (await body.json()) as { items: { fields: { path: string } }[]; next?: string };
      for (const { fields } of items) paths.add(fields.path);
      cursor = next;
    }
  } finally {
    await local.close();
  }
  return paths;
}
