import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { testAuthority } from '../support/certificates.ts';
import { execute, freePort, gatehouse, owner, until } from '../support/installation.ts';
import { hasProgram, testWith } from '../support/need.ts';
import { answers, must, typesClaimCode, typesDeviceCode, withPerson } from '../support/person.ts';
import { makeWorld, type World } from '../support/world.ts';

let world: World;
let nginx: ChildProcess | undefined;
let front = '';
let away: Readonly<Record<string, string>>;

/** A plain nginx in front of the server: TLS, and upgrades handed on. */
const configuration = (folder: string, port: number, behind: number) => `
daemon off; pid ${folder}/nginx.pid; error_log ${folder}/error.log; worker_processes 1;
events {}
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${folder}/tls.crt; ssl_certificate_key ${folder}/tls.key;
    location / {
      proxy_pass http://127.0.0.1:${behind};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }
  }
}`;

function spawnNginx(folder: string): ChildProcess {
  return spawn('nginx', ['-c', join(folder, 'nginx.conf'), '-p', folder], { stdio: 'ignore' });
}

/** The master without a word to its workers, and them too: every connection breaks. */
async function killNginx(): Promise<void> {
  const master = nginx as ChildProcess;
  const workers = readFileSync(`/proc/${master.pid}/task/${master.pid}/children`, 'utf8').trim().split(' ');
  const ended = once(master, 'exit');
  for (const pid of [master.pid as number, ...workers.map(Number)]) process.kill(pid, 'SIGKILL');
  await ended;
}

async function startNginx(folder: string, behind: number): Promise<string> {
  const port = await freePort();
  const authority = testAuthority('localhost');
  const issued = authority.issue('localhost');
  writeFileSync(join(folder, 'tls.crt'), issued.cert);
  writeFileSync(join(folder, 'tls.key'), issued.key, { mode: 0o600 });
  writeFileSync(join(folder, 'front.pem'), authority.pem);
  writeFileSync(join(folder, 'nginx.conf'), configuration(folder, port, behind));
  nginx = spawnNginx(folder);
  await until(
    () =>
      new Promise<boolean>((resolve) => {
        const socket = connect(port, '127.0.0.1', () => {
          socket.destroy();
          resolve(true);
        });
        socket.on('error', () => resolve(false));
      }),
  );
  return `https://localhost:${port}`;
}

beforeAll(async () => {
  if (!hasProgram('nginx')) return;
  world = await makeWorld();
  front = await startNginx(world.folder, world.site.port);
  const folder = join(world.folder, 'away');
  for (const name of ['user', 'config', 'home', 'runtime']) mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
  away = {
    PATH: process.env.PATH ?? '',
    HOME: join(folder, 'user'),
    XDG_CONFIG_HOME: join(folder, 'config'),
    XDG_RUNTIME_DIR: join(folder, 'runtime'),
    GATEHOUSE_HOME: join(folder, 'home'),
  };
}, 90_000);
afterAll(async () => {
  nginx?.kill();
  await world?.close();
});

/** A command typed on the other machine. */
const elsewhere = (parameters: readonly string[]) => execute([...gatehouse, ...parameters], { env: away, cwd: world.folder });
const there = () => ({
  ...world.site,
  command: (parameters: readonly string[], options = {}) =>
    execute([...gatehouse, ...parameters], { ...options, env: away, cwd: world.folder }),
});

testWith('nginx')('a server whose authority is not known is not trusted without a word', async () => {
  const { code, stderr } = await elsewhere(['login', front]);
  expect([code, stderr]).toEqual([8, expect.stringContaining('SHA-256')]);
});

testWith('nginx')('login pins the server, its authority and a session, in a file of the owner alone', async () => {
  const ca = join(world.folder, 'front.pem');
  const ended = must(await withPerson(there(), ['login', front, '--ca', ca], [typesDeviceCode(world.site)]));
  expect(ended.stdout).toContain(`signed in to ${front}`);
  const file = readFileSync(join(away.XDG_CONFIG_HOME as string, 'gatehouse', 'servers.json'), 'utf8');
  expect(JSON.parse(file)).toMatchObject({ current: front, servers: { [front]: { ca: expect.stringContaining('BEGIN CERTIFICATE') } } });
});

testWith('nginx')('an agent is registered from there on the word of who signed in, claimed and confirmed', async () => {
  const acts = [typesClaimCode(world.site), answers(world.site)];
  must(await withPerson(there(), ['init', '--agent', 'remote', '--yes', '--email', owner.email], acts));
  must(await elsewhere(['agent', 'use', 'remote']));
  must(await withPerson(there(), ['policy', 'allow', 'remote', 'example-api', 'everything'], [answers(world.site)]));
});

testWith('nginx', 'curl')(
  'a program there calls the API authenticated through the relay, and is told when the far server is here after all',
  async () => {
    const { code, stdout, stderr } = await elsewhere(['run', '--', 'curl', '-sS', `${world.api}/status/200`]);
    expect([code, stdout, stderr]).toEqual([0, expect.stringContaining('ok'), expect.stringContaining('gatehouse: cooperative: ')]);
    expect(world.upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${world.canary}`);
  },
);

testWith('nginx')('so does a Node program, over HTTPS and over a WebSocket', async () => {
  const script = `
    const socket = new WebSocket('${world.api.replace('https', 'wss')}/socket');
    socket.onopen = () => socket.send('over the relay');
    socket.onmessage = async ({ data }) => {
      console.log(data, (await fetch('${world.api}/node')).status);
      socket.close();
    };`;
  const { code, stdout } = await elsewhere(['run', '--', process.execPath, '-e', script]);
  expect([code, stdout]).toEqual([0, 'over the relay 200\n']);
  const seen = world.upstream.seen.filter(({ url }) => url === '/socket' || url === '/node');
  expect(seen.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${world.canary}`, `Bearer ${world.canary}`]);
});

testWith('nginx', 'curl')('large bodies and many connections at once pass the one line both ways', async () => {
  const script = `
    head -c 20000000 /dev/zero > upload
    for i in 1 2 3 4 5 6; do curl -sS -o /dev/null -w '%{size_download}\\n' '${world.api}/bytes/8000000' & done; wait
    curl -sS --data-binary @upload '${world.api}/digest'`;
  const { code, stdout } = await elsewhere(['run', '--', 'sh', '-c', script]);
  expect([code, stdout.match(/8000000/g)?.length]).toEqual([0, 6]);
  expect(stdout).toContain('"bytes":20000000');
});

testWith('nginx', 'curl')('a run outlives a restart of the server', async () => {
  const script = `curl -sS '${world.api}/status/200'; touch first; while [ ! -e restarted ]; do sleep 0.1; done; curl -sS -w '%{http_code}' -o /dev/null --retry 5 --retry-all-errors '${world.api}/status/201'`;
  const going = elsewhere(['run', '--', 'sh', '-c', script]);
  await until(() => hasFile(join(world.folder, 'first')), 20_000);
  await world.site.stop();
  await world.site.start();
  writeFileSync(join(world.folder, 'restarted'), '');
  const { code, stdout } = await going;
  expect([code, stdout]).toEqual([0, expect.stringContaining('201')]);
});

testWith('nginx')(
  'a run outlives nginx: reloaded under a stream, and killed between calls',
  async () => {
    const [ready, gone] = ['ready', 'gone'].map((name) => join(world.folder, name)) as [string, string];
    const script = `
    const { existsSync, writeFileSync } = require('node:fs');
    const get = async (path) => console.log(path, (await fetch('${world.api}/' + path)).status);
    (async () => {
      const stream = await fetch('${world.api}/sse/20/100');
      writeFileSync('${ready}', '');
      console.log((await stream.text()).match(/data:/g).length);
      await get('after-reload');
      writeFileSync('${ready}-again', '');
      while (!existsSync('${gone}')) await new Promise((next) => setTimeout(next, 50));
      await get('after-kill');
    })();`;
    const going = elsewhere(['run', '--', process.execPath, '-e', script]);
    await until(() => hasFile(ready), 20_000);
    nginx?.kill('SIGHUP');
    await until(() => hasFile(`${ready}-again`), 20_000);
    await killNginx();
    writeFileSync(gone, '');
    nginx = spawnNginx(world.folder);
    expect(await going).toMatchObject({ code: 0, stdout: '20\nafter-reload 200\nafter-kill 200\n' });
  },
  60_000,
);

testWith('nginx')('logout ends the session at the server and forgets it', async () => {
  must(await elsewhere(['logout']));
  const { code } = await elsewhere(['whoami']);
  expect(code).toBe(9);
});

function hasFile(path: string): boolean {
  try {
    readFileSync(path);
    return true;
  } catch {
    return false;
  }
}
