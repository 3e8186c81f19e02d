import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { newId } from '#kernel';
import { openServing, post, type Serving, type SignedIn, signedIn } from '../../test/support/serving.ts';
import { confirms, type Machine, openMachine, whenSaid } from '../../test/support/typing.ts';

let serving: Serving;
let owner: SignedIn;
let machine: Machine;

beforeAll(async () => {
  const job = { kind: 'keys.rotate', attempts: 1, runAt: 0, error: undefined };
  let looks = 0;
  serving = await openServing({
    http: {
      jobs: {
        view: async (id) => ({ ...job, id, status: ++looks < 2 ? 'running' : 'done', progress: { replace: ['github/default'] } }),
      },
      applyKeys: { add: async () => ({ job: newId('job') }), rotate: async () => ({ job: newId('job') }) },
    },
  });
  owner = await signedIn(serving);
  machine = openMachine({ clock: serving.people.clock });
  await serving.http.listen({ path: machine.folders.serverSocket });
}, 60_000);

const inBrowser = () => confirms(serving, () => owner);

describe('what waits for the browser', () => {
  test('login ends when the person typed the key there', async () => {
    const typesKey = whenSaid(/\/connect\/(flw_[0-9a-z]{26})/, ([, flow]) =>
      post(serving, owner, `/connect/${flow}/key`, { field_api_key: 'sk-canary0123456789abcdef0123456789' }),
    );
    const { code, out, err } = await machine.type(['login', 'openai'], { watch: typesKey });
    expect([code, out]).toEqual([0, 'connected: openai/default\n']);
    expect(err).not.toContain('canary');
  });

  test('rotation is confirmed, watched to its end, and says what to replace', async () => {
    const { code, out } = await machine.type(['keys', 'rotate', '--compromised'], { watch: inBrowser() });
    expect([code, out]).toEqual([0, 'rotated: old keys open nothing any more\nreplace upstream: github/default\n']);
    expect((await machine.type(['keys', 'add'], { watch: inBrowser() })).out).toContain('added');
    expect((await machine.type(['keys', 'rotate', '--no-wait'])).out).toBe('not confirmed yet\n');
  });

  test('an interrupt ends the wait', async () => {
    const interrupt = whenSaid(/\/confirm\/cnf_/, async () => setTimeout(() => process.emit('SIGINT'), 100));
    const { code } = await machine.type(['keys', 'add'], { watch: interrupt });
    expect(code).toBe(2);
  });

  test('the log follows, one JSON text a line, until interrupted', async () => {
    const following = machine.type(['log', '--follow', '--json', '--limit', '1', '--name', 'agent.registered']);
    await machine.type(['agent', 'create', 'late']);
    setTimeout(() => process.emit('SIGINT'), 2500);
    const { code, out } = await following;
    const lines = out.trim().split('\n');
    expect([code, lines.map((line) => (JSON.parse(line) as { name: string }).name)]).toEqual([0, ['agent.registered']]);
  });
});

describe('a server of its own', () => {
  const script = `
    const { createServer } = require('node:http'); const { mkdirSync } = require('node:fs');
    const folder = process.env.GATEHOUSE_HOME + '/run'; mkdirSync(folder, { recursive: true, mode: 0o700 });
    const answer = (path) => path === '/health' ? [200, { status: 'ok', version: '9.9.9' }]
      : path === '/v1/setup-link' ? [201, { url: 'http://localhost/setup?token=x', expires_at: 1 }]
      : [503, { type: 'about:blank', title: 'x', status: 503, code: 'setup_required', hint: 'x', request_id: 'r', source: 'gatehouse' }];
    createServer((q, r) => { const [status, body] = answer(q.url); r.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)); })
      .listen(folder + '/gatehouse.sock', () => console.log('listening', process.argv.at(-1)));
    process.on('SIGTERM', () => process.exit(0));`;

  test('start waits until it answers and prints the set-up link; stop ends it; a second of each says so', async () => {
    const own = openMachine({ clock: serving.people.clock, self: [process.execPath, '-e', script, '--'] });
    const started = await own.type(['start']);
    expect([started.code, started.out]).toEqual([0, expect.stringMatching(/the server is ready \(process \d+\)[\s\S]*setup\?token=x/)]);
    expect((await own.type(['start', '--json'])).json()).toMatchObject({ started: false, setup_url: 'http://localhost/setup?token=x' });
    expect((await own.type(['status', '--json'])).json()).toMatchObject({ answers: true, version: '9.9.9', pid: expect.any(Number) });
    expect((await own.type(['logs', '-n', '1'])).out).toBe('listening serve\n');
    expect((await own.type(['init', '--no-wait'])).code).toBe(9);
    expect((await own.type(['stop'])).out).toBe('the server has stopped\n');
    expect((await own.type(['status'])).code).toBe(9);
    expect((await own.type(['stop'])).err).toContain('no server runs');
    expect((await own.type(['logs', '-n', 'x'])).code).toBe(1);
  });

  test('a process number that another program got since is not ended', async () => {
    const own = openMachine({ clock: serving.people.clock });
    mkdirSync(own.folders.home, { recursive: true, mode: 0o700 });
    writeFileSync(join(own.folders.home, 'server.pid'), JSON.stringify({ pid: process.pid, start: '1' }));
    expect((await own.type(['stop'])).err).toContain('no server runs');
  });

  test('a server that cannot start is told with the last words of its log', async () => {
    const own = openMachine({
      clock: serving.people.clock,
      self: [process.execPath, '-e', 'console.error("cannot bind"); process.exit(1)', '--'],
    });
    const { code, err } = await own.type(['start']);
    expect([code, err]).toEqual([9, expect.stringContaining('cannot bind')]);
    expect(readFileSync(join(own.folders.home, 'gatehouse.log'), 'utf8')).toContain('cannot bind');
  });

  test('serve hands over to the composition root', async () => {
    expect((await machine.type(['serve', '--dev'])).code).toBe(0);
  });
});
