import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testAuthority } from '../support/certificates.ts';
import { execute, freePort, gatehouse, type ServerProcess, startServer, until } from '../support/installation.ts';
import { makeWorld, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await makeWorld();
});
afterAll(() => world?.close());

const arrived = (path: string) => world.upstream.seen.filter(({ url }) => url === path).length;

const marker = (name: string) => join(world.folder, name);

/** A program that uploads, a piece every 200 ms, and says what came of it; under way once its marker is there. */
const uploads = (name: string, pieces: number) => [
  process.execPath,
  '-e',
  `const { setTimeout: sleep } = require('node:timers/promises');
  async function* body() { for (let n = 0; n < ${pieces}; n++) { yield Buffer.from('piece ' + n + '\\n'); await sleep(200); if (n === 3) require('node:fs').writeFileSync('${marker(name)}', ''); } }
  fetch('${world.api}/echo?${name}', { method: 'POST', body: body(), duplex: 'half' })
    .then(async (answer) => { const { body, code } = await answer.json(); console.log(answer.status, code ?? body.split('piece').length - 1); });`,
];

const listens = (events: number) => [
  process.execPath,
  '-e',
  `fetch('${world.api}/sse/${events}/100').then(async (answer) => console.log((await answer.text()).split('data: ').length - 1)).catch(() => console.log('cut'));`,
];

describe('a server that is told to stop', () => {
  test('lets an upload and an event stream end, and exits with 0', async () => {
    const upload = world.run(uploads('whole', 20));
    const stream = world.run(listens(40));
    await until(() => arrived('/sse/40/100') === 1, 60_000);
    await until(() => existsSync(marker('whole')), 60_000);
    expect(await world.site.stop('SIGTERM')).toBe(0);
    expect((await upload).stdout).toBe('200 20\n');
    expect((await stream).stdout).toBe('40\n');
    await world.site.start();
  }, 120_000);

  test('cuts both at the deadline, and exits with 0', async () => {
    await world.site.stop();
    const server = await startServer({ ...world.site.env, GATEHOUSE_SHUTDOWN_SECONDS: '1' }, world.site.folder);
    const upload = world.run(uploads('never', 600));
    const stream = world.run(listens(600));
    await until(() => arrived('/sse/600/100') === 1, 60_000);
    await until(() => existsSync(marker('never')), 60_000);
    const from = performance.now();
    expect(await server.stop('SIGTERM')).toBe(0);
    expect(performance.now() - from).toBeLessThan(6_000);
    // An upload had no answer yet, so it is told why; a stream that has begun can only be cut.
    expect([(await upload).stdout, (await stream).stdout]).toEqual(['503 shutting_down\n', 'cut\n']);
    expect(arrived('/echo?never')).toBe(0);
    await world.site.start();
  }, 120_000);

  test('takes two signals at once for one, and a later one as a wish not to wait; it still closes its store and exits with 0', async () => {
    await world.site.stop();
    const server = await startServer({ ...world.site.env, GATEHOUSE_SHUTDOWN_SECONDS: '60' }, world.site.folder);
    const stream = world.run(listens(601));
    await until(() => arrived('/sse/601/100') === 1, 60_000);
    const stopped = server.stop('SIGTERM');
    void server.stop('SIGINT');
    await sleep(1_500);
    expect(server.output()).not.toContain('stopping at once');
    expect(server.output()).not.toContain('"stopped"');
    const from = performance.now();
    void server.stop('SIGTERM');
    expect(await stopped).toBe(0);
    expect(performance.now() - from).toBeLessThan(5_000);
    expect(server.output()).toMatch(/stopping at once[\s\S]*"msg":"stopped"}\s*$/);
    expect((await stream).stdout).toBe('cut\n');
    await world.site.start();
  }, 120_000);
});

describe('the certificate of both ports', () => {
  const authority = testAuthority('gatehouse.example.test');
  let server: ServerProcess;
  let ports: readonly [number, number];
  let files: { readonly cert: string; readonly key: string };

  /** Replaced as a whole, as what renews certificates does it. */
  function install({ cert, key }: { readonly cert: string; readonly key: string }): void {
    writeFileSync(files.cert, cert);
    writeFileSync(files.key, key, { mode: 0o600 });
  }

  const open = (port: number) =>
    new Promise<TLSSocket>((resolve, reject) => {
      const socket = connectTls({ host: '127.0.0.1', port, servername: 'gatehouse.example.test', ca: authority.pem }, () =>
        resolve(socket),
      );
      socket.on('error', reject);
    });

  async function shown(): Promise<readonly string[]> {
    const sockets = await Promise.all(ports.map(open));
    return sockets.map((socket) => {
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      return serialNumber;
    });
  }

  beforeAll(async () => {
    ports = [await freePort(), await freePort()];
    files = { cert: join(world.folder, 'tls.crt'), key: join(world.folder, 'tls.key') };
    install(authority.issue('gatehouse.example.test'));
    server = await startServer(
      {
        ...world.site.env,
        XDG_RUNTIME_DIR: world.folder,
        GATEHOUSE_PORT: String(ports[0]),
        GATEHOUSE_PROXY_PORT: String(ports[1]),
        GATEHOUSE_TLS_CERT: files.cert,
        GATEHOUSE_TLS_KEY: files.key,
        GATEHOUSE_PUBLIC_URL: world.site.url,
      },
      world.folder,
    );
  });
  afterAll(() => server?.stop());

  test('is replaced live when its files are, and open connections stay', async () => {
    const before = await shown();
    expect(before[0]).toBe(before[1]);
    const held = await Promise.all(ports.map(open));
    install(authority.issue('gatehouse.example.test'));
    await until(async () => (await shown()).every((serial) => serial !== before[0]), 10_000);
    const now = await shown();
    expect(now[0]).toBe(now[1]);
    expect(server.output()).toContain('the certificate was replaced');
    for (const socket of held) expect(socket.destroyed).toBe(false);
    for (const socket of held) socket.destroy();
  }, 60_000);

  test('stays the old one while the new pair is no good, which is told once and without a word of the files', async () => {
    const before = await shown();
    const told = () => server.output().match(/the new certificate is not used/g)?.length ?? 0;
    install({ ...authority.issue('gatehouse.example.test'), key: authority.issue('gatehouse.example.test').key });
    await until(() => told() === 1, 10_000);
    expect(server.output()).toContain('does not belong to the certificate');
    await sleep(2_500);
    expect([told(), await shown()]).toEqual([1, before]);
    install({ cert: 'canary-of-a-certificate', key: 'canary-of-a-key' });
    await until(() => told() === 2, 10_000);
    expect(await shown()).toEqual(before);
    expect(server.output()).not.toContain('canary');
    install(authority.issue('gatehouse.example.test'));
    await until(async () => (await shown())[0] !== before[0], 10_000);
  }, 60_000);
});

describe('settings that production refuses', () => {
  test('are said all at once, before anything is opened', async () => {
    const env = {
      PATH: process.env.PATH ?? '',
      HOME: join(world.folder, 'nobody'),
      GATEHOUSE_HOST: '0.0.0.0',
      GATEHOUSE_PORT: 'canary',
      GATEHOUSE_EPHEMERA: 'memory',
      GATEHOUSE_REDIS_URL: 'redis://r:6379',
      GATEHOUSE_DATABASE_URL: 'postgres://db/name?sslmode=prefer',
      GATEHOUSE_TLS_CERT: join(world.folder, 'absent.crt'),
      GATEHOUSE_UPSTREAM_CA: `api.internal=${join(world.folder, 'absent.pem')}`,
      GATEHOUSE_TYPO: '1',
    };
    for (const command of [['serve'], ['serve', '--dev'], ['config', 'check']]) {
      const { code, stderr } = await execute([...gatehouse, ...command], { env });
      expect(code).toBe(1);
      for (const name of [
        'GATEHOUSE_PORT',
        'GATEHOUSE_EPHEMERA',
        'GATEHOUSE_REDIS_PASSWORD',
        'GATEHOUSE_DATABASE_URL',
        'GATEHOUSE_TLS_CERT',
        'GATEHOUSE_TLS_KEY',
        'GATEHOUSE_UPSTREAM_CA',
        'GATEHOUSE_TYPO',
        'GATEHOUSE_PUBLIC_URL',
        'GATEHOUSE_MASTER_KEY_FILE',
      ])
        expect(stderr, command.join(' ')).toMatch(new RegExp(`^ +${name}: \\S`, 'm'));
      expect(stderr).not.toContain('canary');
    }
  }, 60_000);

  test('a certificate whose key is another’s, and an address of SQLite that is a file', async () => {
    const authority = testAuthority('a.example.test');
    const [cert, key] = [join(world.folder, 'one.crt'), join(world.folder, 'other.key')];
    writeFileSync(cert, authority.issue('a.example.test').cert);
    writeFileSync(key, authority.issue('a.example.test').key);
    const env = {
      PATH: process.env.PATH ?? '',
      HOME: join(world.folder, 'nobody'),
      GATEHOUSE_TLS_CERT: cert,
      GATEHOUSE_TLS_KEY: key,
      GATEHOUSE_DATABASE_URL: `sqlite:${cert}`,
    };
    const { code, stderr } = await execute([...gatehouse, 'serve'], { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(/GATEHOUSE_TLS_CERT: the key does not belong/);
    expect(stderr).toMatch(/GATEHOUSE_DATABASE_URL: it names a file/);
    expect(readFileSync(cert, 'utf8')).toContain('BEGIN CERTIFICATE');
  });
});

describe('on a hosting platform or in Kubernetes', () => {
  test('serve listens at PORT, ignores the links of services with one line, and says what is not used', async () => {
    const port = await freePort();
    const { GATEHOUSE_PORT: _, ...env } = world.site.env;
    const more = {
      XDG_RUNTIME_DIR: join(world.folder, 'run'),
      GATEHOUSE_PROXY_PORT: String(await freePort()),
      GATEHOUSE_PORT: 'tcp://10.96.0.7:7300',
      GATEHOUSE_SERVICE_HOST: '10.96.0.7',
      GATEHOUSE_PUBLIC_URL: world.site.url,
      PORT: String(port),
      AUTHSOME_HOST: '127.0.0.1',
      GATEHOUSE_COMPAT: 'authos',
      JWT_KID: 'one',
    };
    const server = await startServer({ ...env, ...more }, world.folder);
    const socket = connectTcp(port, '127.0.0.1');
    await new Promise((resolve, reject) => socket.on('connect', resolve).on('error', reject));
    socket.destroy();
    expect(server.output().match(/variables that Kubernetes sets/g)).toHaveLength(1);
    expect(server.output()).toContain('JWT_KID is not supported yet');
    await server.stop();
  }, 60_000);
});
