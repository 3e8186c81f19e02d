import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Canaries, heldBy, masterKeyOf, sessionOf } from '../support/canaries.ts';
import { type HostileRun, hostileAgent, type Line, say, tunnelTo } from '../support/hostile.ts';
import { type Ended, freePort, type ServerProcess, startServer, until } from '../support/installation.ts';
import { answers, must, withPerson } from '../support/person.ts';
import { makeWorld, type World } from '../support/world.ts';

const inEnvironment = `canary${randomBytes(15).toString('hex')}`;
let world: World;
let run: HostileRun;
let canaries: Canaries;
let server: ServerProcess;
let proxyPort: number;
let reports: string;

/** Ends the process by an error that nobody catches, once it is told to. */
const breaking = `process.on('SIGWINCH', () => setImmediate(() => { throw new Error('broken on purpose'); }));`;

beforeAll(async () => {
  world = await makeWorld();
  const { site } = world;
  const { text: key, bytes } = masterKeyOf(site);
  const agent = await hostileAgent(site, 'dumped');
  must(await withPerson(site, ['policy', 'allow', 'dumped', 'example-api', 'everything'], [answers(site)]));
  run = await agent.startRun();
  canaries = new Map<string, string | Buffer>([
    ['key', world.canary],
    ['master key', key],
    ['master key bytes', bytes],
    ['environment', inEnvironment],
    ['run credential', run.credential],
    ['browser session', sessionOf(site)],
  ]);
  reports = join(world.folder, 'reports');
  mkdirSync(reports);
  server = await serverThatReports(key);
});
afterAll(async () => {
  await server?.stop('SIGKILL');
  await world?.close();
});

/** On the same data folder, with the master key in its environment, and every report that Node can write switched on. */
async function serverThatReports(key: string): Promise<ServerProcess> {
  const { site } = world;
  proxyPort = await freePort();
  const preload = join(world.folder, 'breaking.cjs');
  writeFileSync(preload, breaking);
  const options = ['--report-on-signal', '--report-signal=SIGUSR2', '--report-uncaught-exception', '--report-on-fatalerror'];
  const env = {
    ...site.env,
    GATEHOUSE_PORT: String(await freePort()),
    GATEHOUSE_PROXY_PORT: String(proxyPort),
    GATEHOUSE_PUBLIC_URL: site.url,
    GATEHOUSE_MASTER_KEY: key,
    SOME_API_KEY: inEnvironment,
    NODE_OPTIONS: [...options, `--report-directory=${reports}`, `--require=${preload}`].join(' '),
  };
  return startServer(env, site.folder);
}

const held = (content: string | Buffer): readonly string[] => heldBy(canaries, content);
const written = (): readonly string[] => readdirSync(reports).map((name) => readFileSync(join(reports, name), 'utf8'));

/** An event stream under way through the server, so that credentials are in use. */
async function streaming(): Promise<Line> {
  const target = `${world.host}:${world.upstream.port}`;
  const line = await tunnelTo({ ...world.site, proxyPort }, run, target);
  line.send(`GET /sse/6000/50 HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  expect(await line.until(/data: /)).toContain('data: ');
  expect(world.upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${world.canary}`);
  return line;
}

describe('a server in the middle of its work', () => {
  test('tells nothing in its health, on its list of processes or at the addresses where metrics are looked for', async () => {
    const line = await streaming();
    const heard = await Promise.all(
      ['/health', '/health/live', '/health/ready', '/metrics', '/v1/metrics', '/debug/vars'].map((path) => say(world.site.port, { path })),
    );
    expect(heard.map(({ status }) => status)).toEqual([200, 200, 200, 404, 404, 404]);
    for (const { text, headers } of heard) expect(held(text + JSON.stringify(headers))).toEqual([]);
    for (const file of ['cmdline', 'comm', 'status']) expect(held(readFileSync(`/proc/${server.pid}/${file}`))).toEqual([]);
    line.socket.destroy();
  });

  test('writes no secret into a report that it is asked for', async () => {
    const line = await streaming();
    process.kill(server.pid, 'SIGUSR2');
    await until(() => written().some((report) => report.trimEnd().endsWith('}')));
    for (const report of written()) expect([held(report), 'environmentVariables' in (JSON.parse(report) as object)]).toEqual([[], false]);
    line.socket.destroy();
  });

  test('writes no secret anywhere when an error nobody expected ends it', async () => {
    await streaming();
    process.kill(server.pid, 'SIGWINCH');
    const ended = (text: string) => text.includes('broken on purpose');
    await until(() => ended(server.output()) && written().some((report) => ended(report) && report.trimEnd().endsWith('}')));
    for (const text of [server.output(), ...written()]) expect(held(text)).toEqual([]);
  });
});

describe('a run', () => {
  /** Its own environment, and the arguments and the environment of whoever started it, as `ps` shows them. */
  const look = `
    const { readFileSync } = require('node:fs');
    const parent = (file) => { try { return readFileSync('/proc/' + process.ppid + '/' + file, 'latin1'); } catch { return ''; } };
    console.log(JSON.stringify({ env: process.env, ps: [process.argv.join(' '), parent('cmdline')], parent: parent('environ') }));`;

  async function looked(flags: readonly string[] = []): Promise<Ended & { readonly told: { env: Record<string, string>; ps: string[] } }> {
    const ended = must(await world.run([process.execPath, '-e', look], { flags, env: { SOME_API_KEY: inEnvironment } }));
    return { ...ended, told: JSON.parse(ended.stdout) as { env: Record<string, string>; ps: string[] } };
  }

  test('hands its program the credential of its own listener and placeholders, and no other secret of ours or the person’s', async () => {
    const { told, stderr } = await looked();
    expect(held(JSON.stringify(told.env) + JSON.stringify(told.ps) + stderr)).toEqual([]);
    const ours = Object.keys(told.env).filter((name) => name.startsWith('GATEHOUSE_'));
    expect(ours.sort()).toEqual(['GATEHOUSE_RUN', 'GATEHOUSE_RUN_LEVEL']);
    // The credential that the forwarder shows the server begins so.
    expect(JSON.stringify(told)).not.toContain('ghr_');
    expect(told.env.EXAMPLE_API_KEY).toBeTruthy();
    const password = new URL(told.env.HTTPS_PROXY as string).password;
    expect(Object.values(told.env).filter((value) => value.includes(password)).length).toBeGreaterThan(1);
    expect(JSON.stringify(told.ps)).not.toContain(password);
  });

  test('keeps what it handed over apart: neither another run nor the server’s proxy takes it', async () => {
    const [one, other] = [await looked(), await looked()];
    const passwordOf = ({ env }: typeof one.told) => new URL(env.HTTPS_PROXY as string).password;
    expect(passwordOf(one.told)).not.toBe(passwordOf(other.told));
    expect(one.told.env.EXAMPLE_API_KEY).not.toBe(other.told.env.EXAMPLE_API_KEY);
    await expect(
      tunnelTo(world.site, { ...run, credential: passwordOf(one.told) }, `${world.host}:${world.upstream.port}`),
    ).rejects.toThrow(' 407 ');
  });
});
