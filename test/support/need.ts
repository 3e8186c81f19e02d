import { spawnSync } from 'node:child_process';
import { type TestAPI, test } from 'vitest';

const packages: Readonly<Record<string, string>> = {
  chromium: 'chromium',
  nginx: 'nginx-light',
  git: 'git',
  curl: 'curl',
  python3: 'python3',
  openssl: 'openssl',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  useradd: 'passwd',
  systemctl: 'systemd',
  'systemd-socket-activate': 'systemd',
};

export function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

/** Debian's Python, which sees Debian's packages. */
export const python = '/usr/bin/python3';

export function hasPython(...modules: readonly string[]): boolean {
  return spawnSync(python, ['-c', modules.map((name) => `import ${name}`).join('\n') || 'pass']).status === 0;
}

/** `test`, or a skip that says what is missing and how to get it; the runner makes it a failure where everything is required. */
export function testWith(...programs: readonly string[]): TestAPI | TestAPI['skip'] {
  const missing = programs.filter((name) => !hasProgram(name));
  if (missing.length === 0) return test;
  process.stderr.write(
    `not run: needs ${missing.join(', ')} (apt-get install ${missing.map((name) => packages[name] ?? name).join(' ')})\n`,
  );
  return test.skip;
}

/** The same for what only root can try. */
export function testAsRoot(...programs: readonly string[]): TestAPI | TestAPI['skip'] {
  if (process.getuid?.() === 0) return testWith(...programs);
  process.stderr.write('not run: needs root\n');
  return test.skip;
}

/** Full counts and real durations, or small ones. */
export const long: boolean = process.env.GATEHOUSE_TEST_LONG === '1';
export function count<T = number>(small: T, full: T): T {
  return long ? full : small;
}
