import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GitServer, gitServer } from '../support/git-server.ts';
import type { Ended } from '../support/installation.ts';
import { count, hasProgram, hasPython, long, python, testWith } from '../support/need.ts';
import { connectApi, makeWorld, type World } from '../support/world.ts';

const root = join(import.meta.dirname, '..', '..');
const gitUser = { username: 'committer', password: 'canary-9e2f6a1d5c8b4037-of-git' };
/** The stream lives several times the idle limit, because it is not idle. */
const stream = { idleSeconds: count(5, 30), events: count(80, 1_800), every: count(250, 1_000) };
const streamSeconds = (stream.events * stream.every) / 1_000;

let world: World;
let git: GitServer;
let streamed: Promise<Ended>;
beforeAll(async () => {
  world = await makeWorld({
    env: { GATEHOUSE_IDLE_SECONDS: String(stream.idleSeconds) },
    extra: {
      git: (...call) => git.route(...call),
      silent: (_, response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: one\n\n'),
      npm: (_, response) => response.end(JSON.stringify(npmPackage)),
      cargo: (request, response) => response.end(JSON.stringify(request.url?.endsWith('config.json') ? cargoRegistry() : cargoAnswer)),
    },
  });
  streamed = listen();
  git = gitServer(world.folder, gitUser);
  const host = { host: world.host, port: world.upstream.port, path: '/git' };
  const fields = [
    { name: 'username', label: 'User', secret: false },
    { name: 'password', label: 'Password' },
  ];
  const auth = [{ kind: 'api_key', fields, inject: [{ kind: 'basic' }] }];
  const definition = {
    id: 'example-git',
    name: 'Example Git',
    documentation: 'https://example.com/git',
    hosts: [host],
    auth,
    variables: [],
  };
  await connectApi(world.site, world.folder, definition, { fields: gitUser });
  symlinkSync(join(root, 'node_modules'), join(world.site.folder, 'node_modules'));
}, 120_000);
afterAll(() => world?.close());

const npmPackage = { name: 'example', 'dist-tags': { latest: '3.2.1' }, versions: { '3.2.1': { name: 'example', version: '3.2.1' } } };
const cargoRegistry = () => ({ dl: `${world.api}/cargo/dl`, api: `${world.api}/cargo` });
const cargoAnswer = { crates: [{ name: 'example', max_version: '3.2.1', description: 'found' }], meta: { total: 1 } };

const arrived = (path: string) => world.upstream.seen.filter((seen) => seen.url.startsWith(path));

/** The program's calls below `path` all came with the key, and neither it nor its output ever held it. */
function proves(path: string, ended: Ended): void {
  expect([ended.code, ended.stderr]).toEqual([0, expect.not.stringContaining(world.canary)]);
  expect(ended.stdout).not.toContain(world.canary);
  const seen = arrived(path);
  expect(seen.length).toBeGreaterThan(0);
  expect(new Set(seen.map((one) => one.headers.authorization))).toEqual(new Set([`Bearer ${world.canary}`]));
  expect(seen.flatMap((one) => Object.keys(one.headers)).filter((name) => name.startsWith('proxy-'))).toEqual([]);
}

/** Runs a program that asks for one path of its own. */
async function calls(name: string, program: (url: string) => readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended> {
  const ended = await world.run(program(`${world.api}/as/${name}`), env === undefined ? {} : { env });
  proves(`/as/${name}`, ended);
  expect(ended.stdout).toContain('"ok":true');
  return ended;
}

/** Said loudly, without a skip: these are tools that not every machine has. */
function where(present: boolean, what: string, name: string, prove: () => Promise<void>, patience?: number): void {
  if (present) test(name, prove, patience);
  else process.stderr.write(`not run, because this machine has no ${what}: ${name}\n`);
}

testWith('curl')('curl calls authenticated', async () => {
  await calls('curl', (url) => ['curl', '-sS', url]);
});

testWith('curl')('curl posts a large body unchanged', async () => {
  writeFileSync(join(world.site.folder, 'upload'), Buffer.alloc(3_000_000, 7));
  const { stdout } = await world.run(['curl', '-sS', '--data-binary', '@upload', `${world.api}/digest`]);
  expect(JSON.parse(stdout)).toMatchObject({ bytes: 3_000_000 });
});

describe('git', () => {
  const repository = () => `${world.api}/git/project`;
  const identity = { GIT_AUTHOR_NAME: 'A', GIT_AUTHOR_EMAIL: 'a@b.test', GIT_COMMITTER_NAME: 'A', GIT_COMMITTER_EMAIL: 'a@b.test' };

  testWith('git')('clones and pushes, small and in chunks, with the user name and password of its connection', async () => {
    git.create('project');
    const script = `set -e
      git clone -q '${repository()}' work && cd work && git checkout -q -b main
      echo one > one && git add . && git commit -q -m 'first' && git push -q origin main
      head -c 3000000 /dev/urandom > large && git add . && git commit -q -m 'large' && git push -q origin main
      git clone -q '${repository()}' ../again && cmp large ../again/large && git -C ../again log --format=%s`;
    const { code, stdout, stderr } = await world.run(['sh', '-c', script], { env: identity });
    expect([code, stderr]).toEqual([0, expect.not.stringMatching(/fatal|error/)]);
    expect(stdout).toBe('large\nfirst\n');
    expect(git.head('project', 'main')).toBe('large');
    const wanted = `Basic ${Buffer.from(`${gitUser.username}:${gitUser.password}`).toString('base64')}`;
    expect(new Set(arrived('/git/').map((seen) => seen.headers.authorization))).toEqual(new Set([wanted]));
    expect(arrived('/git/project/git-receive-pack').some((seen) => seen.headers['transfer-encoding'] === 'chunked')).toBe(true);
  });
});

describe('Python', () => {
  const modules = (name: string) => (hasPython(name) ? testWith('python3') : testWith(`python3-${name}`));
  const script = (text: string) => (url: string) => [python, '-c', text, url];

  modules('requests')('requests calls authenticated, also by a session', async () => {
    await calls(
      'requests',
      script('import requests, sys\nprint(requests.get(sys.argv[1]).text, requests.Session().post(sys.argv[1], json={}).text)'),
    );
  });
  modules('httpx')('httpx calls authenticated, blocking and not', async () => {
    const text = `
import asyncio, httpx, sys
async def later():
    async with httpx.AsyncClient() as client:
        return (await client.get(sys.argv[1])).text
print(httpx.get(sys.argv[1]).text, asyncio.run(later()))`;
    await calls('httpx', script(text));
    expect(arrived('/as/httpx')).toHaveLength(2);
  });
  modules('aiohttp')('aiohttp calls authenticated with trust_env', async () => {
    const text = `
import aiohttp, asyncio, sys
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get(sys.argv[1]) as answer:
            print(await answer.text())
asyncio.run(main())`;
    await calls('aiohttp', script(text));
  });
  testWith('python3')('urllib calls authenticated', async () => {
    await calls('urllib', script('import sys, urllib.request\nprint(urllib.request.urlopen(sys.argv[1]).read().decode())'));
  });
  where(hasPython('pip'), 'pip (apt-get install python3-pip)', 'pip asks its index authenticated', async () => {
    const index = ['--index-url', `${world.api}/as/pip/simple/`, '--disable-pip-version-check', '--no-cache-dir', '--retries', '0'];
    const ended = await world.run([python, '-m', 'pip', 'download', ...index, 'example-package']);
    proves('/as/pip/simple/example-package/', { ...ended, code: 0 });
  });
});

/** Each Node of the path, the newest first; the version we run on is always there. */
const nodes = (process.env.PATH ?? '')
  .split(delimiter)
  .concat('/usr/local/bin', '/usr/bin')
  .map((folder) => join(folder, 'node'))
  .filter((program) => existsSync(program))
  .map((program) => ({ program, version: spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout.trim() }))
  .concat({ program: process.execPath, version: process.version })
  .filter(
    (one, at, all) => Number.parseInt(one.version.slice(1), 10) >= 18 && all.findIndex(({ version }) => version === one.version) === at,
  );
if (!nodes.some(({ version }) => Number.parseInt(version.slice(1), 10) < 24))
  process.stderr.write('not run, because this machine has no node before 24: the same calls by an older Node\n');

for (const { program, version } of nodes) {
  const major = Number.parseInt(version.slice(1), 10);
  const module = (text: string) => (url: string) => [program, '--input-type=module', '-e', text, url];
  const common = (text: string) => (url: string) => [program, '--input-type=commonjs', '-e', text, url];
  describe(`Node ${major}`, () => {
    test('fetch calls authenticated', async () => {
      await calls(`fetch-${major}`, module('console.log(await (await fetch(process.argv[1])).text())'));
    });
    test('https calls authenticated, by the shared agent and by one of its own', async () => {
      const text = `
        const https = require('node:https');
        const get = (options) => new Promise((done) => https.get(process.argv[1], options, (answer) => {
          let text = ''; answer.on('data', (part) => (text += part)); answer.on('end', () => done(text)); }));
        get({}).then(console.log).then(() => get({ agent: new https.Agent({ keepAlive: false }) })).then(console.log);`;
      await calls(`https-${major}`, common(text));
      expect(arrived(`/as/https-${major}`)).toHaveLength(2);
    });
    if (major >= 22) {
      test('undici calls authenticated, required and imported', async () => {
        await calls(`undici-required-${major}`, common("require('undici').fetch(process.argv[1]).then((a) => a.text()).then(console.log)"));
        const imported = "import { request } from 'undici'; console.log(await (await request(process.argv[1])).body.text());";
        await calls(`undici-imported-${major}`, module(imported));
      });
      test('the built-in WebSocket opens authenticated, and its frames pass', async () => {
        const text = `
          const socket = new WebSocket(process.argv[1].replace('https:', 'wss:'));
          socket.onerror = (event) => { console.error(event.message ?? event.error); process.exit(1); };
          socket.onopen = () => socket.send('over the line');
          socket.onmessage = ({ data }) => { console.log(data); socket.close(); };`;
        const ended = await world.run(module(text)(`${world.api}/as/websocket-${major}`));
        proves(`/as/websocket-${major}`, ended);
        expect(ended.stdout).toBe('over the line\n');
      });
    }
    test('ws opens authenticated, and frames of both kinds pass', async () => {
      const text = `
        import WebSocket from 'ws';
        const socket = new WebSocket(process.argv[1].replace('https:', 'wss:'));
        socket.on('open', () => { socket.send('text'); socket.send(Buffer.alloc(100_000, 1)); });
        socket.on('message', (data, binary) => { console.log(binary, data.length); if (binary) socket.close(); });`;
      const ended = await world.run(module(text)(`${world.api}/as/ws-${major}`));
      proves(`/as/ws-${major}`, ended);
      expect(ended.stdout).toBe('false 4\ntrue 100000\n');
    });
  });
}

describe('other tools', () => {
  where(hasProgram('npm'), 'npm', 'npm asks its registry authenticated', async () => {
    const ended = await world.run(['npm', 'view', 'example', 'version', '--registry', `${world.api}/npm/`, '--no-update-notifier']);
    proves('/npm/example', ended);
    expect(ended.stdout.trim()).toBe('3.2.1');
  });

  const rustup = join(process.env.RUSTUP_HOME ?? join(process.env.HOME ?? '/', '.rustup'));
  where(hasProgram('cargo'), 'cargo', 'cargo asks its registry authenticated', async () => {
    const env = {
      CARGO_REGISTRIES_LOCAL_INDEX: `sparse+${world.api}/cargo/`,
      ...(existsSync(rustup) ? { RUSTUP_HOME: rustup } : {}),
    };
    const ended = await world.run(['cargo', 'search', 'example', '--registry', 'local'], { env });
    proves('/cargo/', ended);
    expect(ended.stdout).toContain('example = "3.2.1"');
  });

  where(
    hasProgram('java'),
    'Java',
    'Java calls authenticated by its older client, and by its newer one with the default authenticator',
    async () => {
      const folder = join(world.site.folder, 'java');
      mkdirSync(folder);
      const source = `
      import java.net.URI;
      import java.net.http.*;
      public class Calls {
        public static void main(String[] given) throws Exception {
          var connection = URI.create(given[0]).toURL().openConnection();
          System.out.println(new String(connection.getInputStream().readAllBytes()));
          var client = HttpClient.newBuilder().authenticator(java.net.Authenticator.getDefault()).build();
          var request = HttpRequest.newBuilder(URI.create(given[0])).build();
          System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
        }
      }`;
      writeFileSync(join(folder, 'Calls.java'), source);
      await calls('java', (url) => ['java', join(folder, 'Calls.java'), url]);
      expect(arrived('/as/java')).toHaveLength(2);
    },
  );
});

/** Reads the stream as it comes and notes how late each event is, by the clock that both sides share. */
function listen(): Promise<Ended> {
  const text = `
    let rest = '', late = [];
    const answer = await fetch(process.argv[1]);
    for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
      rest += part;
      for (let end; (end = rest.indexOf('\\n\\n')) >= 0; rest = rest.slice(end + 2))
        late.push(Date.now() - JSON.parse(rest.slice(6, end)).at);
    }
    late.sort((a, b) => a - b);
    console.log(JSON.stringify({ events: late.length, median: late[late.length >> 1] }));`;
  const url = `${world.api}/sse/${stream.events}/${stream.every}`;
  return world.run([process.execPath, '--input-type=module', '-e', text, url], { timeout: (streamSeconds + 60) * 1_000 });
}

test(
  `an event stream of ${streamSeconds} s arrives whole and unbuffered, although the idle limit is ${stream.idleSeconds} s`,
  async () => {
    const ended = await streamed;
    proves('/sse/', ended);
    const { events, median } = JSON.parse(ended.stdout) as { events: number; median: number };
    expect(events).toBe(stream.events);
    expect(median).toBeLessThan(stream.every / 2);
  },
  (streamSeconds + 60) * 1_000,
);

testWith('curl')('a stream that falls silent for longer than the idle limit is closed', async () => {
  if (long) return;
  const { code, stdout } = await world.run(['curl', '-sS', '-N', `${world.api}/silent`]);
  expect([code === 0, stdout.match(/data:/g)]).toEqual([false, ['data:']]);
});
