import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { Fault } from '#kernel';
import type { Context } from '../context.ts';
import { places } from './places.ts';
import { portOf } from './units.ts';

/** @throws {Fault} `service_unsupported` unless this is Linux with systemd */
export function mustHaveSystemd(): void {
  if (process.platform !== 'linux' || spawnSync('systemctl', ['--version']).status !== 0) throw new Fault('service_unsupported');
}

/** systemd is what started this machine (sd_booted(3)); not so while an image is built. */
export const systemdRuns = (): boolean => existsSync('/run/systemd/system');

export const isInstalled = (): boolean => existsSync(places.serviceUnit);

export function earlierPort(): number | undefined {
  return existsSync(places.socketUnit) ? portOf(readFileSync(places.socketUnit, 'utf8')) : undefined;
}

export function hasIpv6Loopback(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === '::1'));
}

/** @throws {Fault} `root_needed`, with the very command to type */
export function mustBeRoot(context: Context, parameters: readonly string[]): void {
  if (process.geteuid?.() === 0) return;
  const command = ['sudo', ...context.bin.self, ...parameters].map(quoted).join(' ');
  throw new Fault('root_needed', { hint: `repeat it so: ${command}` });
}

const quoted = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
