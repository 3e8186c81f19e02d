import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import { type TestAPI, test } from 'vitest';

/** Program → Debian package that brings it, where that has another name. */
const packages: Readonly<Record<string, string>> = {
  nginx: 'nginx-light',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  useradd: 'passwd',
  systemctl: 'systemd',
  'systemd-socket-activate': 'systemd',
  go: 'golang-go',
  javac: 'default-jdk-headless',
  'redis-cli': 'redis-tools',
  'dbus-daemon': 'dbus',
  'gnome-keyring-daemon': 'gnome-keyring',
  'secret-tool': 'libsecret-tools',
  aws: 'awscli',
  kubectl: 'kubernetes-client',
  postgres: 'postgresql',
  mariadbd: 'mariadb-server',
};

const runtimes = join(import.meta.dirname, 'runtimes');

/** A program that npm brings, pinned in `test/support/runtimes`; there once `npm ci` ran in that folder. */
export function fetched(name: string, program: string): string {
  return join(runtimes, 'node_modules', `${name}-${process.platform}-${process.arch}`, program);
}

/** A library that npm brings in the same way. */
export function fetchedModule(name: string): string {
  return join(runtimes, 'node_modules', name);
}

export function hasProgram(name: string): boolean {
  return isAbsolute(name) ? existsSync(name) : spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
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
  process.stderr.write(`not run: needs ${missing.join(', ')} (${missing.map(howToGet).join('; ')})\n`);
  return test.skip;
}

/** The same for what only root can try. */
export function testAsRoot(...programs: readonly string[]): TestAPI | TestAPI['skip'] {
  if (process.getuid?.() === 0) return testWith(...programs);
  process.stderr.write('not run: needs root\n');
  return test.skip;
}

function howToGet(name: string): string {
  if (name.startsWith(runtimes)) return `npm ci --ignore-scripts --prefix ${relative(process.cwd(), runtimes)}`;
  return `apt-get install ${packages[name] ?? name}`;
}

/** Full counts and real durations, or small ones. */
export const long: boolean = process.env.GATEHOUSE_TEST_LONG === '1';
export function count<T = number>(small: T, full: T): T {
  return long ? full : small;
}
