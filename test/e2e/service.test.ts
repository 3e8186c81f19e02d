import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createBrowser } from '../support/browser.ts';
import { testAuthority } from '../support/certificates.ts';
import { execute, freePort, gatehouse, owner, until } from '../support/installation.ts';
import { hasProgram, testAsRoot } from '../support/need.ts';
import { type Desk, makeAgent, must, typesDeviceCode, withPerson } from '../support/person.ts';
import { type MachineOptions, openSpareMachine, type SpareMachine } from '../support/spare-machine.ts';
import { startUpstream, type Upstream } from '../support/upstream.ts';
import { canary, connectApi, definitionOf } from '../support/world.ts';

const needed = ['unshare', 'nsenter', 'setpriv', 'useradd', 'systemctl', 'systemd-analyze', 'systemd-socket-activate'];
const possible = process.getuid?.() === 0 && needed.every(hasProgram);
const testService = testAsRoot(...needed);

const host = 'api.example.test';
const person = 'gatehouse-test';
let machine: SpareMachine;
let upstream: Upstream;
let port: number;
let folder: string;
let server: ChildProcess | undefined;

beforeAll(async () => {
  if (!possible) return;
  machine = await openSpareMachine();
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-service-'));
  chmodSync(folder, 0o755);
  const authority = testAuthority('example.test');
  upstream = await startUpstream(authority.issue(host));
  port = await freePort();
  must(await machine.type(['useradd', '--create-home', '--home-dir', `/var/lib/${person}`, person]));
  must(await machine.type(['tee', '/etc/upstream.pem'], { input: authority.pem }));
}, 60_000);
afterAll(async () => {
  server?.kill('SIGKILL');
  await machine?.close();
  await upstream?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

const asRoot = (...parameters: readonly string[]) => machine.type([...gatehouse, 'service', ...parameters], { timeout: 120_000 });
const text = async (path: string) => must(await machine.type(['cat', path])).stdout;

interface Unit {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
}

/** What systemd would start, and as whom. */
async function installedUnit(): Promise<Unit> {
  const unit = await text('/etc/systemd/system/gatehouse.service');
  const all = (name: string) => [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value]) => value as string);
  const env = Object.fromEntries(all('Environment').map((pair) => pair.split(/=(.*)/).slice(0, 2) as [string, string]));
  return { command: all('ExecStart')[0]?.split(' ') ?? [], env, user: all('User')[0] ?? '' };
}

/** The command as people of that machine type it: the installed one. */
async function installedCommand(): Promise<readonly string[]> {
  const { command } = await installedUnit();
  return command.slice(0, command.indexOf('serve'));
}

/** The desk of an ordinary user of that machine. */
async function desk(): Promise<Desk> {
  const command = await installedCommand();
  const env = { HOME: `/var/lib/${person}` };
  return {
    browser: createBrowser(),
    command: (parameters, options: MachineOptions = {}) =>
      machine.type([...command, ...parameters], { ...options, env: { ...env, ...options.env }, user: person }),
  };
}

/** As the units say: what systemd makes before it starts a service, the sockets it hands over, the user, the environment. */
async function startService(): Promise<void> {
  const { command, env, user } = await installedUnit();
  for (const path of ['/run/gatehouse', '/var/cache/gatehouse'])
    must(await machine.type(['install', '-d', '-m', '0700', '-o', user, '-g', user, path]));
  const addresses = (await text('/etc/systemd/system/gatehouse.socket')).match(/(?<=^ListenStream=).*$/gm) ?? [];
  const variables = Object.entries(env).flatMap(([name, value]) => ['-E', `${name}=${value}`]);
  const holder = ['systemd-socket-activate', ...addresses.flatMap((address) => ['-l', address]), ...variables];
  server = machine.start([...holder, ...command], { user });
  let said = '';
  for (const stream of [server.stdout, server.stderr]) stream?.on('data', (part: Buffer) => (said += part.toString()));
  // The first call starts it.
  await until(
    async () => (await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined))?.ok === true,
    30_000,
    () => said,
  );
}

test('where systemd is not there, every service command says so', async () => {
  for (const verb of ['install', 'uninstall', 'status']) {
    const { code, stderr } = await execute([...gatehouse, 'service', verb], { env: { PATH: '/nonexistent' } });
    expect([verb, code, stderr]).toEqual([verb, 1, expect.stringContaining('for Linux with systemd only')]);
  }
});

testService('a dry run tells every step and does none', async () => {
  const { stdout } = must(await asRoot('install', '--dry-run', '--json'));
  const { steps } = JSON.parse(stdout) as { steps: readonly { tells: string }[] };
  expect(steps.map(({ tells }) => tells)).toEqual(
    expect.arrayContaining([expect.stringContaining('useradd --system'), expect.stringContaining('/etc/gatehouse, 0700')]),
  );
  expect((await machine.type(['ls', '/var/lib/gatehouse', '/etc/gatehouse'])).stdout).toBe('');
});

testService(
  'install makes the user, its folders and units that systemd takes; a second one upgrades',
  async () => {
    for (const _ of ['first', 'again']) must(await asRoot('install', '--port', String(port)));
    const owners = await machine.type(['stat', '-c', '%a %U %n', '/var/lib/gatehouse', '/etc/gatehouse', '/etc/gatehouse/settings.env']);
    expect(owners.stdout).toBe(
      '700 gatehouse /var/lib/gatehouse\n700 gatehouse /etc/gatehouse\n600 gatehouse /etc/gatehouse/settings.env\n',
    );
    expect((await machine.type(['getent', 'passwd', 'gatehouse'])).stdout).toMatch(/:\/var\/lib\/gatehouse:\/usr\/sbin\/nologin\n$/);
    const foreign = ['find', '/usr/local/lib/gatehouse', '(', '!', '-user', 'root', '-o', '-perm', '/022', ')'];
    expect((await machine.type(foreign)).stdout).toBe('');
    const units = ['/etc/systemd/system/gatehouse.service', '/etc/systemd/system/gatehouse.socket'];
    expect(await machine.type(['systemd-analyze', 'verify', ...units])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect((await machine.type(['systemctl', 'is-enabled', 'gatehouse.socket', 'gatehouse.service'])).stdout).toBe('enabled\nenabled\n');
  },
  240_000,
);

testService(
  'the installed program serves as that user, and another user sets it up and signs in',
  async () => {
    const settings = [
      `GATEHOUSE_RESOLVE=${host}=127.0.0.1`,
      `GATEHOUSE_ALLOW_PRIVATE=${host}:${upstream.port}=127.0.0.0/8`,
      `GATEHOUSE_UPSTREAM_CA=${host}=/etc/upstream.pem`,
    ];
    must(await machine.type(['tee', '-a', '/etc/gatehouse/settings.env'], { input: `${settings.join('\n')}\n` }));
    await startService();
    const { env, user } = await installedUnit();
    const link = must(await machine.type([...(await installedCommand()), 'setup-link'], { user, env })).stdout.trim();
    const sitting = await desk();
    const page = await sitting.browser.open(link);
    await sitting.browser.submit(page, '/setup', owner);
    must(await withPerson(sitting, ['login', `http://localhost:${port}`], [typesDeviceCode(sitting)]));
    await makeAgent(sitting);
    await connectApi(sitting, folder, definitionOf(host, upstream.port));
  },
  120_000,
);

testService('a run of that user is separated, and its calls arrive with the credential', async () => {
  const sitting = await desk();
  const { code, stderr } = await sitting.command(['run', '--', 'curl', '-sS', `https://${host}:${upstream.port}/status/200`]);
  expect([code, stderr]).toEqual([0, expect.stringContaining("gatehouse: separated: keys and injection are another user's")]);
  expect(upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${canary}`);
  expect(must(await sitting.command(['log', '--name', 'call.allowed', '--json'])).stdout).toContain('"separated"');
});

/** What a hostile program would try; it prints what it reached. */
const attack = `
import ctypes, os, socket, sys
pid, paths = sys.argv[1], sys.argv[2:]
for path in paths + ['/proc/' + pid + '/' + part for part in ('environ', 'mem', 'maps', 'fd', 'root', 'cwd')]:
    try: open(path, 'rb').read(1); print('read', path)
    except OSError: pass
    try: os.listdir(path); print('listed', path)
    except OSError: pass
    try: socket.socket(socket.AF_UNIX).connect(path); print('spoke to', path)
    except OSError: pass
for path in ('/usr/local/lib/gatehouse/node', '/usr/local/lib/gatehouse/package.json', '/etc/systemd/system/gatehouse.service', '/usr/local/lib/gatehouse/new'):
    try: open(path, 'ab'); print('changed', path)
    except OSError: pass
for act in (lambda: os.kill(int(pid), 0), lambda: os.setuid(int(os.stat('/etc/gatehouse').st_uid))):
    try: act(); print('acted')
    except OSError: pass
if ctypes.CDLL(None).ptrace(16, int(pid), 0, 0) == 0: print('traced')
print('end')`;

testService('its program reaches neither the key file nor the database, the process, the sockets or the code', async () => {
  const kept = ['/etc/gatehouse', '/var/lib/gatehouse', '/run/gatehouse'];
  const paths = must(await machine.type(['find', ...kept]))
    .stdout.trim()
    .split('\n');
  expect(paths).toEqual(
    expect.arrayContaining(['/etc/gatehouse/master.key', '/var/lib/gatehouse/gatehouse.db', '/run/gatehouse/gatehouse.sock']),
  );
  const look = ['run', '--', '/usr/bin/python3', '-c', attack, String(server?.pid), ...paths];
  expect(await (await desk()).command(look)).toMatchObject({ code: 0, stdout: 'end\n' });
  // Root, for whom it would be no separation, does reach them.
  expect((await machine.type(['/usr/bin/python3', '-c', attack, String(server?.pid), ...paths])).stdout).toContain(
    'read /etc/gatehouse/master.key',
  );
});

testService.each(['install', 'uninstall'])('without root %s is refused with the very command to type', async (verb) => {
  const { code, stderr } = await (await desk()).command(['service', verb]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(new RegExp(`sudo /usr/local/lib/gatehouse/node .* service ${verb}\n`))]);
});

testService('status says that it answers, to anybody', async () => {
  const { code, stdout } = await (await desk()).command(['service', 'status']);
  expect([code, stdout]).toEqual([0, expect.stringContaining(`the service answers as the user gatehouse at http://localhost:${port}`)]);
});

testService('uninstall keeps data and key; with --purge they and the user go too', async () => {
  const ended = once(server as ChildProcess, 'exit');
  server?.kill('SIGTERM');
  expect((await ended)[0]).toBe(0);
  must(await asRoot('uninstall'));
  const left = await machine.type([
    'ls',
    '-d',
    '/usr/local/lib/gatehouse',
    '/etc/systemd/system/gatehouse.service',
    '/var/lib/gatehouse/gatehouse.db',
  ]);
  expect(left.stdout).toBe('/var/lib/gatehouse/gatehouse.db\n');
  expect(await asRoot('uninstall', '--purge')).toMatchObject({ code: 1, stderr: expect.stringContaining('--yes') });
  must(await asRoot('uninstall', '--purge', '--yes'));
  expect((await machine.type(['ls', '/var/lib/gatehouse', '/etc/gatehouse'])).stdout).toBe('');
  expect((await machine.type(['getent', 'passwd', 'gatehouse'])).code).not.toBe(0);
});
