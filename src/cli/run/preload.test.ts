import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { Secret } from '#kernel';
import { childEnvironment } from './environment.ts';
import { preloadSource } from './preload.ts';

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-preload-'));
const password = 'child-credential';
const asked: string[] = [];
const closers: (() => void)[] = [];
let port = 0;

beforeAll(async () => {
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=api.example.test',
    ].concat(['-addext', 'subjectAltName=DNS:api.example.test', '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')]),
    { stdio: 'ignore' },
  );
  const upstream = createHttps(
    { key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(join(folder, 'cert.pem')) },
    (_, response) => response.end('through'),
  );
  new WebSocketServer({ server: upstream }).on('connection', (socket) => socket.send('through'));
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const behind = (upstream.address() as { port: number }).port;
  const proxy = createHttp((_, response) => response.writeHead(400).end());
  proxy.on('connect', (request, socket: Duplex) => {
    const good = request.headers['proxy-authorization'] === `Basic ${Buffer.from(`gatehouse:${password}`).toString('base64')}`;
    asked.push(`${good ? 'good' : 'bad'} ${request.url}`);
    if (!good) return void socket.end('HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n');
    const far = connect(behind, '127.0.0.1');
    for (const side of [socket, far]) side.on('error', () => side.destroy());
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    socket.pipe(far).pipe(socket);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  port = (proxy.address() as { port: number }).port;
  writeFileSync(join(folder, 'preload.cjs'), preloadSource());
  symlinkSync(fileURLToPath(new URL('../../../node_modules', import.meta.url)), join(folder, 'node_modules'));
  closers.push(
    () => upstream.close(),
    () => proxy.close(),
  );
});
afterAll(() => {
  for (const close of closers) close();
});

const clients: Record<string, string> = {
  fetch: `console.log(await (await fetch('https://api.example.test/')).text());`,
  https: `import https from 'node:https'; https.get('https://api.example.test/', (r) => r.pipe(process.stdout));`,
  'an https agent of the program': `import https from 'node:https'; https.get('https://api.example.test/', { agent: new https.Agent({ keepAlive: true }) }, (r) => { r.pipe(process.stdout); r.on('end', () => process.exit()) });`,
  ws: `import WebSocket from 'ws'; const s = new WebSocket('wss://api.example.test/'); s.on('message', (m) => { console.log(String(m)); s.close(); });`,
  undici: `import { request } from 'undici'; console.log(await (await request('https://api.example.test/')).body.text());`,
  'fetch of undici': `import { createRequire } from 'node:module'; const { fetch } = createRequire(import.meta.url)('undici'); console.log(await (await fetch('https://api.example.test/')).text());`,
};

const runtimes = [...new Set([process.execPath, ...['/usr/bin/node', '/usr/local/bin/node'].filter(existsSync)])];

for (const runtime of runtimes) {
  const version = execFileSync(runtime, ['--version'], { encoding: 'utf8' }).trim();
  for (const [name, program] of Object.entries(clients)) {
    // The undici package of this repository does not run on older Node.
    if (name.includes('undici') && Number.parseInt(version.slice(1), 10) < 22) continue;
    test(`${name} of Node ${version} uses the proxy and trusts the run's authority`, async () => {
      const { env } = childEnvironment({
        parent: { PATH: process.env.PATH },
        provided: {},
        pass: [],
        run: 'run_test',
        level: 'cooperative',
        proxy: { host: '127.0.0.1', port, credential: new Secret(password) },
        files: {
          bundle: join(folder, 'cert.pem'),
          authority: join(folder, 'cert.pem'),
          javaStore: '',
          javaOptions: '',
          javaAgent: '',
          wget: '',
          preload: join(folder, 'preload.cjs'),
        },
        java: false,
      });
      const file = join(folder, `${name.replaceAll(' ', '-')}.mjs`);
      writeFileSync(file, program);
      const before = asked.length;
      const output = await new Promise<string>((resolve) =>
        execFile(runtime, [file], { env, timeout: 20_000 }, (error, stdout, stderr) =>
          resolve(error ? `${stdout}${stderr}` : stdout.trim()),
        ),
      );
      expect(output).toBe('through');
      expect(asked.slice(before)).toEqual(['good api.example.test:443']);
    });
  }
}
