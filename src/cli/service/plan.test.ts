import { expect, test } from 'vitest';
import { type InstallFacts, installPlan, type UninstallFacts, uninstallPlan } from './plan.ts';
import { type Step, telling } from './steps.ts';
import { portOf, serviceUnit, socketUnit } from './units.ts';

const account = { uid: 990, gid: 990, shell: '/usr/sbin/nologin' };
const program = {
  parts: [{ from: '/opt/gatehouse/dist', to: 'dist' }],
  runtime: '/usr/bin/node',
  flags: [],
  entry: 'dist/bin/gatehouse.js',
};
const fresh: InstallFacts = { account: undefined, program, port: 7300, earlierPort: undefined, ipv6: true, running: true };
const there: UninstallFacts = { account, installed: true, running: true, purge: false };

/** The plan in short: commands by their words, the rest by kind and place. */
const brief = (steps: readonly Step[]) =>
  steps.map((step) =>
    step.kind === 'command' ? step.command.filter((word) => !word.startsWith('-')).join(' ') : `${step.kind} ${step.path}`,
  );

const units = 'gatehouse.socket gatehouse.service';
const written = [
  'program /usr/local/lib/gatehouse',
  'folder /etc/gatehouse',
  'folder /var/lib/gatehouse',
  'file /etc/gatehouse/settings.env',
  'file /etc/systemd/system/gatehouse.socket',
  'file /etc/systemd/system/gatehouse.service',
];
const user = 'useradd /var/lib/gatehouse /usr/sbin/nologin gatehouse';
const started = [`systemctl enable ${units}`, 'systemctl start gatehouse.socket', 'systemctl restart gatehouse.service'];

test.each<[string, Partial<InstallFacts>, readonly string[]]>([
  ['a fresh machine', {}, [user, ...written, 'systemctl daemon-reload', ...started]],
  ['an upgrade, which keeps user and socket', { account, earlierPort: 7300 }, [...written, 'systemctl daemon-reload', ...started]],
  ['another port', { account, earlierPort: 80 }, [...written, 'systemctl daemon-reload', `systemctl stop ${units}`, ...started]],
  ['an image that is built', { running: false }, [user, ...written, `systemctl enable ${units}`]],
])('installing on %s', (_, facts, steps) => {
  expect(brief(installPlan({ ...fresh, ...facts }))).toEqual(steps);
});

const removed = [
  '/etc/systemd/system/gatehouse.service',
  '/etc/systemd/system/gatehouse.socket',
  '/usr/local/lib/gatehouse',
  '/var/cache/gatehouse',
];
const gone = removed.map((path) => `remove ${path}`);

test.each<[string, Partial<UninstallFacts>, readonly string[]]>([
  ['a service', {}, [`systemctl disable ${units}`, ...gone, 'systemctl daemon-reload']],
  ['a service that is not there', { installed: false, account: undefined }, [...gone, 'systemctl daemon-reload']],
  [
    'a service with all it kept',
    { purge: true },
    [
      `systemctl disable ${units}`,
      ...gone,
      'systemctl daemon-reload',
      'remove /var/lib/gatehouse',
      'remove /etc/gatehouse',
      'userdel gatehouse',
    ],
  ],
])('uninstalling %s', (_, facts, steps) => {
  expect(brief(uninstallPlan({ ...there, ...facts }))).toEqual(steps);
});

test('without --purge nothing of data, key and user is touched', () => {
  expect(JSON.stringify(uninstallPlan(there))).not.toMatch(/var\/lib|etc\/gatehouse|userdel/);
});

test('what only the service may read is its own, and the key is not in the data folder', () => {
  const private_ = installPlan(fresh).flatMap((step) => ('owner' in step && step.owner === 'service' ? [telling(step)] : []));
  expect(private_).toEqual([
    'make the folder /etc/gatehouse, 0700 of gatehouse',
    'make the folder /var/lib/gatehouse, 0700 of gatehouse',
    'write /etc/gatehouse/settings.env, 0600 of gatehouse, unless it is there',
  ]);
  expect(serviceUnit(fresh)).toContain('XDG_CONFIG_HOME=/etc\n');
});

test('the unit gives the service no way to more than its own', () => {
  const unit = serviceUnit(fresh);
  for (const line of [
    'NoNewPrivileges=yes',
    'CapabilityBoundingSet=',
    'ProtectSystem=strict',
    'ProtectHome=yes',
    'PrivateTmp=yes',
    'LimitCORE=0',
  ])
    expect(unit.split('\n')).toContain(line);
  expect(unit).toContain('ExecStart=/usr/local/lib/gatehouse/node /usr/local/lib/gatehouse/dist/bin/gatehouse.js serve --env-file');
});

test('the socket holds every address that localhost may mean, and says its port again', () => {
  expect(socketUnit({ ...fresh, port: 7400 })).toContain('ListenStream=127.0.0.1:7400\nListenStream=[::1]:7400\n');
  expect(socketUnit({ ...fresh, ipv6: false })).not.toContain('::1');
  expect([portOf(socketUnit({ ...fresh, port: 7400 })), portOf('')]).toEqual([7400, undefined]);
});
