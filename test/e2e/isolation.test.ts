import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { masterKeyOf } from '../support/canaries.ts';
import { testWith } from '../support/need.ts';
import { makeWorld, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await makeWorld();
}, 90_000);
afterAll(() => world?.close());

/** Everything an agent can open under its own user, searched for the canary, our files and our processes. */
const search = `
import os, sys
needles = [n.encode() for n in sys.argv[1:]]
found = set()
def look(path):
    try:
        with open(path, 'rb') as f:
            data = f.read(4_000_000)
    except OSError:
        return
    for n in needles:
        if n in data: found.add(path + ':' + n.decode())
for pid in os.listdir('/proc'):
    if pid.isdigit() and int(pid) != os.getpid():
        look(f'/proc/{pid}/environ')
        look(f'/proc/{pid}/cmdline')
for top in ['/tmp', '/var/tmp', '/run', '/home', '/root', '/dev/shm', os.path.expanduser('~'), os.getcwd()]:
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path): look(path)
print('environment', any(n in os.environb.get(k, b'') for k in os.environb for n in needles))
print('found', sorted(found))
`;

const isolated = (program: readonly string[]) => {
  const cwd = join(world.site.folder, 'project');
  mkdirSync(cwd, { recursive: true });
  return world.site.command(['run', '--isolate', '--', ...program], { cwd });
};

testWith('unshare')('a separated program finds no canary, no key file, no database and no socket of ours', async () => {
  const { code, stdout, stderr } = await isolated(['/usr/bin/python3', '-c', search, world.canary, masterKeyOf(world.site).text]);
  expect([code, stderr]).toEqual([0, expect.stringContaining('gatehouse: separated:')]);
  expect(stdout).toBe('environment False\nfound []\n');
});

testWith('unshare', 'curl')('its calls still arrive authenticated', async () => {
  const { stdout } = await isolated(['curl', '-sS', `${world.api}/status/200`]);
  expect(stdout).toContain('"ok"');
  expect(world.upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${world.canary}`);
});

testWith('unshare')('it sees neither the data folder nor our sockets nor the processes outside', async () => {
  const { home, config, env } = world.site;
  const state = join(env.XDG_RUNTIME_DIR as string, 'gatehouse');
  const script = `ls -A '${home}' '${config}' '${state}' 2>/dev/null | grep -v ':$' | grep . ; ls -d /proc/[0-9]* | wc -l; cat /proc/1/environ 2>/dev/null; unshare -Urm umount -l '${home}' 2>/dev/null && echo uncovered; exit 9`;
  const { code, stdout } = await isolated(['sh', '-c', script]);
  expect(code).toBe(9);
  expect(Number(stdout.trim())).toBeLessThan(8);
});

testWith('unshare')('it cannot use our own commands, nor the server by its port', async () => {
  const { stdout } = await isolated([
    'sh',
    '-c',
    `curl -sS --noproxy '*' -o /dev/null -w '%{http_code}\\n' -H 'content-type: application/json' -d '{}' ${world.site.url}/v1/keys; curl -sS --noproxy '*' -o /dev/null -w '%{http_code}\\n' ${world.site.url}/v1/permissions`,
  ]);
  expect(stdout.trim().split('\n')).toEqual(['401', '401']);
});

testWith('unshare')('signals and exit codes pass through the namespaces', async () => {
  expect((await isolated(['sh', '-c', 'exit 7'])).code).toBe(7);
  expect((await isolated(['sh', '-c', 'kill -TERM $$'])).code).toBe(143);
  expect((await isolated(['/no/such/program'])).code).toBe(127);
});

testWith('unshare')('a working folder of ours is refused, and the home folder is not shared', async () => {
  const inside = await world.site.command(['run', '--isolate', '--', 'true'], { cwd: world.site.home });
  expect([inside.code, inside.stderr]).toEqual([1, expect.stringContaining('not in one of Gatehouse')]);
  const user = world.site.env.HOME as string;
  mkdirSync(join(user, 'private'), { recursive: true });
  writeFileSync(join(user, 'private', 'cookies'), 'session');
  const { stdout, stderr } = await world.site.command(
    ['run', '--isolate', '--', 'sh', '-c', `cat '${user}/private/cookies' 2>/dev/null; pwd`],
    { cwd: user },
  );
  expect([stdout.trim(), stderr]).toEqual(['/', expect.stringContaining('without the home folder')]);
});

test('every event of a separated run says so', async () => {
  const { stdout } = await world.site.command(['log', '--json', '--name', 'run.started', '--limit', '50']);
  const { items } = JSON.parse(stdout) as { items: { fields: Record<string, unknown> }[] };
  expect(items.length).toBeGreaterThan(0);
  expect(items.some((event) => event.fields.level === 'separated')).toBe(existsSync('/proc/self/ns/user'));
});
