import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { beforeAll, expect, test } from 'vitest';
import { muxServer } from '#net';
import { testAuthority } from '../../test/support/certificates.ts';
import { openServing, post, type Serving, type SignedIn, signedIn } from '../../test/support/serving.ts';
import { claims, type Machine, openMachine, whenSaid } from '../../test/support/typing.ts';

let serving: Serving;
let owner: SignedIn;
let machine: Machine;
let url = '';
const tunnels: string[] = [];

/** Stands for the data plane: every tunnel leads to an echo. */
function echoProxy() {
  const proxy = createHttp((_request, response) => response.writeHead(403).end());
  proxy.on('connect', (request, socket: Duplex) => {
    tunnels.push(`${request.url} ${String(request.headers['proxy-authorization']).slice(0, 6)}`);
    socket.on('error', () => socket.destroy());
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    socket.pipe(socket);
  });
  return (connection: Duplex) => void proxy.emit('connection', connection);
}

beforeAll(async () => {
  const accept = echoProxy();
  serving = await openServing({ http: { relay: (connection) => void muxServer(connection, accept) } });
  owner = await signedIn(serving);
  machine = openMachine({ clock: serving.people.clock });
  url = `http://127.0.0.1:${serving.port}`;
}, 60_000);

/** The clock of these rooms stands still, so the pause between two questions is made to pass. */
const approves = () =>
  whenSaid(/type the code (\S+) here:/, async ([, code]) => {
    await post(serving, owner, '/device/approve', { code: code as string });
    serving.people.clock.advance(10_000);
  });

test('only https is spoken with a server elsewhere, and only an origin is a server', async () => {
  for (const bad of [
    'http://gatehouse.example.com',
    'https://user:pass@gatehouse.example.com',
    'https://gatehouse.example.com/?x=1',
    'https://',
  ]) {
    expect([bad, (await machine.type(['login', bad])).code]).toEqual([bad, 1]);
  }
  expect((await machine.type(['whoami'], { env: { GATEHOUSE_URL: url } })).err).toContain(`gatehouse login ${url}`);
});

test('login signs in by a code and pins the server in a file of the owner alone', async () => {
  const ended = await machine.type(['login', url], { watch: approves() });
  expect([ended.code, ended.out]).toEqual([0, `signed in to ${url} as ${owner.user.email}; make an agent there next: gatehouse init\n`]);
  const path = join(machine.folders.config, 'servers.json');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({
    current: url,
    servers: { [url]: { issuer: 'https://gatehouse.example' } },
  });
  expect((await machine.type(['whoami', '--json'])).json()).toMatchObject({ server: url, user: { email: owner.user.email } });
});

test('an agent of that machine is registered on the word of who signed in', async () => {
  const ended = await machine.type(['init', '--yes', '--email', owner.user.email], { watch: claims(serving, () => owner) });
  expect([ended.code, ended.out]).toEqual([0, expect.stringContaining(`agent default is active at ${url}`)]);
});

test('a program reaches the proxy through one line of the relay', async () => {
  const script = `
    const proxy = new URL(process.env.HTTPS_PROXY);
    const socket = require('net').connect(proxy.port, proxy.hostname);
    socket.write('CONNECT api.example.com:443 HTTP/1.1\\r\\nHost: api.example.com:443\\r\\nProxy-Authorization: Basic ' + Buffer.from(proxy.username + ':' + proxy.password).toString('base64') + '\\r\\n\\r\\n');
    let seen = '';
    socket.on('data', (part) => { seen += part; if (seen.endsWith('\\r\\n\\r\\n')) socket.write('through'); if (seen.endsWith('through')) process.exit(42); });`;
  const { code, err } = await machine.type(['run', '--', process.execPath, '-e', script]);
  expect([code, err]).toEqual([42, expect.stringContaining(`separated: keys and injection are on ${url}`)]);
  expect(tunnels).toEqual(['api.example.com:443 Basic ']);
});

test('env points containers at a forwarder of its own, and the run ends with it', async () => {
  for (const format of ['shell', 'docker', 'k8s']) {
    const file = join(machine.home, `${format}.env`);
    const interrupt = whenSaid(/interrupt to end the run/, async () => process.emit('SIGINT'));
    const given = ['env', '--format', format, '--output', file, '--mount', '/gatehouse', '--host', 'forwarder.local'];
    const { code, err } = await machine.type(given, { watch: interrupt });
    expect([code, err]).toEqual([0, expect.stringContaining('forwarding for run run_')]);
    const text = readFileSync(file, 'utf8');
    expect(text).toMatch(/http:\/\/gatehouse:[\w-]{22}@forwarder\.local:\d+/);
    expect(text).toContain('/gatehouse/authorities.pem');
    expect(text).not.toContain(machine.home);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  }
  expect((await machine.type(['env', '--format', 'toml'])).code).toBe(1);
  expect((await machine.type(['env', '--listen', 'nowhere'])).code).toBe(1);
});

test('what is pinned is spoken to with its authority alone', async () => {
  const authority = testAuthority('localhost');
  const { cert, key } = authority.issue('localhost');
  const server = createHttps({ cert, key }, (_request, response) => response.writeHead(503).end('{}'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const there = `https://localhost:${(server.address() as { port: number }).port}`;
  const unknown = await machine.type(['login', there]);
  expect([unknown.code, unknown.err]).toEqual([8, expect.stringContaining('SHA-256')]);
  expect((await machine.type(['login', there, '--fingerprint', 'AA:BB'])).err).toContain('another fingerprint');
  const file = join(machine.home, 'ca.pem');
  writeFileSync(file, testAuthority('other.test').pem);
  expect((await machine.type(['login', there, '--ca', file])).err).toContain('not from a trusted authority');
  writeFileSync(file, authority.pem);
  expect((await machine.type(['login', there, '--ca', file])).code).toBe(9);
  writeFileSync(file, 'nothing');
  expect((await machine.type(['login', there, '--ca', file])).code).toBe(1);
  const [, shown = ''] = /SHA-256 ([0-9A-F:]+)/.exec(unknown.err) ?? [];
  expect((await machine.type(['login', there, '--fingerprint', shown])).code).toBe(9);
  server.close();
});

test('logout ends the session at the server and forgets the server', async () => {
  expect((await machine.type(['logout'])).out).toBe(`signed out of ${url}\n`);
  expect((await machine.type(['whoami'])).code).toBe(9);
  expect((await machine.type(['logout'])).code).toBe(2);
});

test('a damaged file of pinned servers is told, not guessed', async () => {
  writeFileSync(join(machine.folders.config, 'servers.json'), '{', { mode: 0o600 });
  expect((await machine.type(['whoami'])).err).toContain('then sign in again');
});
