import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isFault } from '#kernel';
import { testWith } from '../../../test/support/need.ts';
import { placesOf } from './enclosure-places.ts';

const asRoot = process.getuid?.() === 0;

/** Outside what is covered for everybody, so that covering the secrets themselves is seen. */
function makeBase(owner: number): string {
  const base = mkdtempSync(join(asRoot ? '/var/lib' : tmpdir(), 'gatehouse-isolate-'));
  for (const name of ['home/.gatehouse', 'home/.config/gatehouse', 'home/tools/bin', 'project', 'run'])
    mkdirSync(join(base, name), { recursive: true });
  writeFileSync(join(base, 'home/.gatehouse/records.db'), 'canary');
  writeFileSync(join(base, 'home/.config/gatehouse/master.key'), 'canary');
  writeFileSync(join(base, 'home/cookies'), 'canary');
  writeFileSync(join(base, 'project/source'), 'source');
  writeFileSync(join(base, 'run/bundle'), 'bundle');
  for (const name of [
    '',
    'home',
    'home/.gatehouse',
    'home/.gatehouse/records.db',
    'home/.config',
    'home/.config/gatehouse',
    'home/.config/gatehouse/master.key',
    'home/cookies',
    'project',
    'run',
  ]) {
    chownSync(join(base, name), owner, owner);
  }
  chmodSync(base, 0o755);
  return base;
}

const root = join(import.meta.dirname, '../../..');

/** Sources and a runtime that another user may read, wherever this clone and this Node are. */
function readable(base: string): { readonly node: string; readonly module: string } {
  const copy = join(base, 'copy');
  for (const room of ['kernel', 'cli']) cpSync(join(root, 'src', room), join(copy, 'src', room), { recursive: true });
  copyFileSync(join(root, 'package.json'), join(copy, 'package.json'));
  const node = join(base, 'node');
  copyFileSync(process.execPath, node);
  chmodSync(node, 0o755);
  spawnSync('chmod', ['-R', 'a+rwX', copy]);
  return { node, module: join(copy, 'src/cli/run/isolate.ts') };
}

/** Opens an enclosure as another user, in a process of its own, and runs a script in it. */
function enclosed(base: string, uid: number, script: string, cwd = 'project') {
  const entry = join(base, 'enclose.ts');
  const { node, module } = readable(base);
  writeFileSync(
    entry,
    `import { openEnclosure } from ${JSON.stringify(module)};
    const base = ${JSON.stringify(base)};
    const env = { HOME: base + '/home', PATH: process.env.PATH };
    const enclosure = await openEnclosure({ secret: [base + '/home/.gatehouse', base + '/home/.config/gatehouse'], cwd: base + '/${cwd}', env, show: [], write: [], folder: base + '/run', command: 'sh' });
    process.exitCode = await enclosure.start({ command: 'sh', parameters: ['-c', ${JSON.stringify(script)}], env, cwd: base + '/${cwd}', terminal: false });
    enclosure.close();`,
  );
  const become = asRoot && uid !== 0 ? ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups'] : [];
  const [program, ...parameters] = [...become, node, '--conditions=gatehouse-source', entry];
  return spawnSync(program as string, parameters, {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: join(base, 'home') },
    cwd: '/',
  });
}

const look =
  'cat source ../run/bundle; touch written && echo " wrote"; cat $HOME/.gatehouse/* $HOME/.config/gatehouse/* $HOME/cookies 2>/dev/null; ls -A $HOME; touch /var/lib/outside 2>/dev/null && echo outside; cat /proc/1/environ 2>/dev/null; exit 5';

testWith('unshare', 'setpriv')('as an ordinary user the program sees its project and the run, and no secret', () => {
  const base = makeBase(asRoot ? 1234 : (process.getuid?.() ?? 0));
  const { status, stdout, stderr } = enclosed(base, 1234, look);
  rmSync(base, { recursive: true });
  expect([status, stdout, stderr]).toEqual([5, 'sourcebundle wrote\n', '']);
});

testWith('unshare', 'setpriv')('a program that works in the folder of our own code can write there, but not change that code', () => {
  const base = makeBase(asRoot ? 1234 : (process.getuid?.() ?? 0));
  const tried =
    'touch beside && echo beside; touch src/x package.json src/cli/run/run.ts 2>/dev/null && echo changed; mv src old 2>/dev/null && echo moved';
  const { stdout, stderr } = enclosed(base, 1234, `${tried}; exit 0`, 'copy');
  rmSync(base, { recursive: true });
  expect([stdout, stderr]).toEqual(['beside\n', '']);
});

testWith('unshare', 'setpriv')('as root the program becomes nobody', () => {
  if (!asRoot) return;
  const base = makeBase(65_534);
  const { status, stdout } = enclosed(base, 0, `id -u; ${look}`);
  rmSync(base, { recursive: true });
  expect([status, stdout]).toEqual([5, '65534\nsourcebundle wrote\n']);
});

const places = (base: string, more: Partial<Parameters<typeof placesOf>[0]> = {}) =>
  placesOf({
    secret: [join(base, 'home/.gatehouse')],
    cwd: join(base, 'project'),
    home: join(base, 'home'),
    env: {},
    show: [],
    own: [],
    sockets: [],
    write: [],
    folder: join(base, 'run'),
    program: undefined,
    ...more,
  });

test('a working folder inside one of ours is refused, also through a link', () => {
  const base = makeBase(process.getuid?.() ?? 0);
  symlinkSync(join(base, 'home/.gatehouse'), join(base, 'link'));
  const refused = () => places(base, { cwd: join(base, 'link') });
  expect(refused).toThrow();
  try {
    refused();
  } catch (error) {
    expect(isFault(error, 'isolation_unavailable')).toBe(true);
  }
  rmSync(base, { recursive: true });
});

test('the home folder is never brought back, not as the working folder nor by a folder above it', () => {
  const base = makeBase(process.getuid?.() ?? 0);
  for (const cwd of [join(base, 'home'), base]) {
    const { cwdHidden, shown } = places(base, { cwd });
    expect([cwdHidden, shown.some((item) => item.path === cwd)]).toEqual([true, false]);
  }
  rmSync(base, { recursive: true });
});

test('of tools in the home folder only programs and what they need are shown', () => {
  const base = makeBase(process.getuid?.() ?? 0);
  const { shown } = places(base, { env: { PATH: `${join(base, 'home/tools/bin')}:/usr/bin` } });
  expect(shown.map((item) => item.path)).toContain(join(base, 'home/tools/bin'));
  expect(shown.map((item) => item.path)).not.toContain(join(base, 'home/tools'));
  rmSync(base, { recursive: true });
});
