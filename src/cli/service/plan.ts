import type { Account } from './account.ts';
import { places } from './places.ts';
import type { Program } from './program.ts';
import type { Step } from './steps.ts';
import { firstSettings, serviceUnit, socketUnit } from './units.ts';

export interface InstallFacts {
  readonly account: Account | undefined;
  readonly program: Program;
  readonly port: number;
  /** The port of an earlier install, which may still be held. */
  readonly earlierPort: number | undefined;
  readonly ipv6: boolean;
  /** systemd runs here; else it is only told for the next boot. */
  readonly running: boolean;
}

const units = ['gatehouse.socket', 'gatehouse.service'] as const;

/** What makes the service, or an earlier one this version: each step may be repeated. */
export function installPlan(facts: InstallFacts): readonly Step[] {
  const { parts, runtime } = facts.program;
  return [
    ...(facts.account === undefined ? [makeUser] : []),
    { kind: 'program', path: places.program, parts, runtime },
    { kind: 'folder', path: places.config, mode: 0o700, owner: 'service' },
    { kind: 'folder', path: places.data, mode: 0o700, owner: 'service' },
    { kind: 'file', path: places.settings, text: firstSettings, mode: 0o600, owner: 'service', keep: true },
    { kind: 'file', path: places.socketUnit, text: socketUnit(facts), mode: 0o644, owner: 'root', keep: false },
    { kind: 'file', path: places.serviceUnit, text: serviceUnit(facts), mode: 0o644, owner: 'root', keep: false },
    ...(facts.running ? startSteps(facts) : [systemctl('enable', ...units)]),
  ];
}

/** The socket stays open over an upgrade, unless it is another one. */
function startSteps({ port, earlierPort }: InstallFacts): readonly Step[] {
  const moves = earlierPort !== undefined && earlierPort !== port;
  return [
    systemctl('daemon-reload'),
    ...(moves ? [systemctl('stop', ...units)] : []),
    systemctl('enable', ...units),
    systemctl('start', 'gatehouse.socket'),
    systemctl('restart', 'gatehouse.service'),
  ];
}

export interface UninstallFacts {
  readonly account: Account | undefined;
  readonly installed: boolean;
  readonly running: boolean;
  readonly purge: boolean;
}

/** What ends the service; its data, its key and its user only when asked for. */
export function uninstallPlan({ account, installed, running, purge }: UninstallFacts): readonly Step[] {
  const now = running ? ['--now'] : [];
  return [
    ...(installed ? [systemctl('disable', ...now, ...units)] : []),
    ...[places.serviceUnit, places.socketUnit, places.program, places.cache].map((path): Step => ({ kind: 'remove', path })),
    ...(running ? [systemctl('daemon-reload')] : []),
    ...(purge ? [places.data, places.config].map((path): Step => ({ kind: 'remove', path })) : []),
    ...(purge && account !== undefined ? [{ kind: 'command', command: ['userdel', places.user] } as const] : []),
  ];
}

function systemctl(...parameters: readonly string[]): Step {
  return { kind: 'command', command: ['systemctl', ...parameters] };
}

const makeUser: Step = {
  kind: 'command',
  command: [
    'useradd',
    ...['--system', '--user-group', '--no-create-home'],
    ...['--home-dir', places.data, '--shell', '/usr/sbin/nologin'],
    places.user,
  ],
};
