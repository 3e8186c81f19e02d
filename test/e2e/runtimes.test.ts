import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Ended } from '../support/installation.ts';
import { count, fetched, fetchedModule, hasPython, long, python, testWith } from '../support/need.ts';
import { calls, proves } from '../support/proving.ts';
import { makeWorld, type World } from '../support/world.ts';

const root = join(import.meta.dirname, '..', '..');
/** The stream lives several times the idle limit, because it is not idle. */
const stream = { idleSeconds: count(5, 30), events: count(80, 1_800), every: count(250, 1_000) };
const streamSeconds = (stream.events * stream.every) / 1_000;

let world: World;
let streamed: Promise<Ended>;
beforeAll(async () => {
  world = await makeWorld({
    env: { GATEHOUSE_IDLE_SECONDS: String(stream.idleSeconds) },
    extra: {
      silent: (_, response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: one\n\n'),
    },
  });
  streamed = listen();
  symlinkSync(join(root, 'node_modules'), join(world.site.folder, 'node_modules'));
}, 120_000);
afterAll(() => world?.close());

describe('Python', () => {
  const modules = (name: string) => (hasPython(name) ? testWith('python3') : testWith(`python3-${name}`));
  const script = (text: string) => (url: string) => [python, '-c', text, url];

  modules('requests')('requests calls authenticated, also by a session', async () => {
    await calls(
      world,
      'requests',
      script('import requests, sys\nprint(requests.get(sys.argv[1]).text, requests.Session().post(sys.argv[1], json={}).text)'),
      2,
    );
  });
  modules('httpx')('httpx calls authenticated, blocking and not', async () => {
    const text = `
import asyncio, httpx, sys
async def later():
    async with httpx.AsyncClient() as client:
        return (await client.get(sys.argv[1])).text
print(httpx.get(sys.argv[1]).text, asyncio.run(later()))`;
    await calls(world, 'httpx', script(text), 2);
  });
  modules('aiohttp')('aiohttp calls authenticated with trust_env', async () => {
    const text = `
import aiohttp, asyncio, sys
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get(sys.argv[1]) as answer:
            print(await answer.text())
asyncio.run(main())`;
    await calls(world, 'aiohttp', script(text));
  });
  testWith('python3')('urllib calls authenticated', async () => {
    await calls(world, 'urllib', script('import sys, urllib.request\nprint(urllib.request.urlopen(sys.argv[1]).read().decode())'));
  });
});

const majorOf = (version: string) => Number.parseInt(version.replace(/^v/, ''), 10);
const running = majorOf(process.version);
const onPath = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'node'))
  .filter((program) => existsSync(program))
  .map((program) => ({ program, major: majorOf(spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout) }));
/** The version we run on, and each older one that is still about: the machine's, or one fetched for the tests. */
const nodes = [
  { program: process.execPath, major: running },
  ...[22, 20, 18].map((major) => onPath.find((node) => node.major === major) ?? { program: fetched(`node-${major}`, 'bin/node'), major }),
];

for (const { program, major } of nodes) {
  const node = testWith(program);
  const module = (text: string) => (url: string) => [program, '--input-type=module', '-e', text, url];
  const common = (text: string) => (url: string) => [program, '--input-type=commonjs', '-e', text, url];
  describe(`Node ${major}`, () => {
    node('fetch calls authenticated, without a warning', async () => {
      const { stderr } = await calls(world, `fetch-${major}`, module('console.log(await (await fetch(process.argv[1])).text())'));
      expect(stderr).not.toContain('Warning');
    });
    node('https calls authenticated, by the shared agent and by one of its own', async () => {
      const text = `
        const https = require('node:https');
        const get = (options) => new Promise((done) => https.get(process.argv[1], options, (answer) => {
          let text = ''; answer.on('data', (part) => (text += part)); answer.on('end', () => done(text)); }));
        get({}).then(console.log).then(() => get({ agent: new https.Agent({ keepAlive: false }) })).then(console.log);`;
      await calls(world, `https-${major}`, common(text), 2);
    });
    testWith(program, fetchedModule('axios'))('axios calls authenticated, and so does an undici that runs on every Node', async () => {
      await calls(
        world,
        `axios-${major}`,
        common(`require('${fetchedModule('axios')}').get(process.argv[1]).then((a) => console.log(JSON.stringify(a.data)))`),
      );
      const older = `require('${fetchedModule('undici')}').request(process.argv[1]).then((a) => a.body.text()).then(console.log)`;
      expect((await calls(world, `undici-older-${major}`, common(older))).stderr).not.toContain('Warning');
    });
    if (major >= 22) {
      node('undici calls authenticated, required and imported', async () => {
        await calls(
          world,
          `undici-required-${major}`,
          common("require('undici').fetch(process.argv[1]).then((a) => a.text()).then(console.log)"),
        );
        const imported = "import { request } from 'undici'; console.log(await (await request(process.argv[1])).body.text());";
        await calls(world, `undici-imported-${major}`, module(imported));
      });
      node('the built-in WebSocket opens authenticated, and its frames pass', async () => {
        const text = `
          const socket = new WebSocket(process.argv[1].replace('https:', 'wss:'));
          socket.onerror = (event) => { console.error(event.message ?? event.error); process.exit(1); };
          socket.onopen = () => socket.send('over the line');
          socket.onmessage = ({ data }) => { console.log(data); socket.close(); };`;
        const ended = await world.run(module(text)(`${world.api}/as/websocket-${major}`));
        proves(world, `/as/websocket-${major}`, ended);
        expect(ended.stdout).toBe('over the line\n');
      });
    }
    node('ws opens authenticated, and frames of both kinds pass', async () => {
      const text = `
        import WebSocket from 'ws';
        const socket = new WebSocket(process.argv[1].replace('https:', 'wss:'));
        socket.on('open', () => { socket.send('text'); socket.send(Buffer.alloc(100_000, 1)); });
        socket.on('message', (data, binary) => { console.log(binary, data.length); if (binary) socket.close(); });`;
      const ended = await world.run(module(text)(`${world.api}/as/ws-${major}`));
      proves(world, `/as/ws-${major}`, ended);
      expect(ended.stdout).toBe('false 4\ntrue 100000\n');
    });
  });
}

describe('Deno', () => {
  const deno = fetched('deno', 'deno');
  const script = (text: string) => (url: string) => [deno, 'eval', text, url];

  testWith(deno)('fetch calls authenticated, and so does the https module of Node', async () => {
    const text = `
      import https from 'node:https';
      const [url] = Deno.args;
      console.log(await (await fetch(url)).text());
      https.get(url, (answer) => answer.setEncoding('utf8').on('data', (part) => console.log(part)));`;
    await calls(world, 'deno', script(text), 2);
  });
  testWith(deno)('the WebSocket opens authenticated, and its frames pass', async () => {
    const text = `
      const socket = new WebSocket(Deno.args[0].replace('https:', 'wss:'));
      socket.onerror = ({ message }) => { console.error(message); Deno.exit(1); };
      socket.onopen = () => socket.send('over the line');
      socket.onmessage = ({ data }) => { console.log(data); socket.close(); };`;
    const ended = await world.run(script(text)(`${world.api}/as/deno-websocket`));
    proves(world, '/as/deno-websocket', ended);
    expect(ended.stdout).toBe('over the line\n');
  });
});

/** Writes a program into a folder of its own. @returns its path */
function source(name: string, text: string): string {
  const folder = mkdtempSync(join(world.site.folder, 'source-'));
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

testWith('go')(
  'Go calls authenticated by its default client, and by one whose transport reads the environment',
  async () => {
    const text = `
package main

import ("fmt"; "io"; "net/http"; "os")

func get(client *http.Client) {
  answer, err := client.Get(os.Args[1])
  if err != nil { panic(err) }
  text, _ := io.ReadAll(answer.Body)
  fmt.Println(string(text))
}

func main() {
  get(http.DefaultClient)
  get(&http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}})
}`;
    await calls(world, 'go', (url) => ['go', 'run', source('calls.go', text), url], 2);
  },
  180_000,
);

testWith('ruby')('Ruby calls authenticated by net/http, also with a session, and by open-uri', async () => {
  const text = `
    require 'net/http'
    require 'open-uri'
    url = URI(ARGV[0])
    puts Net::HTTP.get(url), url.open.read
    Net::HTTP.start(url.host, url.port, use_ssl: true) { |http| puts http.post(url.path, '{}').body }`;
  await calls(world, 'ruby', (url) => ['ruby', '-e', text, url], 3);
});

testWith('javac')(
  'Java calls authenticated by its older client, and by its newer one with the default authenticator',
  async () => {
    const text = `
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
    await calls(world, 'java', (url) => ['java', source('Calls.java', text), url], 2);
  },
  180_000,
);

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
    proves(world, '/sse/', ended);
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
