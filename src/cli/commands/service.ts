import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { settingsTable } from '#config';
import { Fault } from '#kernel';
import { askYes, waitUntil } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { healthOf } from '../server-process.ts';
import { accountOf, isClosed } from '../service/account.ts';
import { earlierPort, hasIpv6Loopback, isInstalled, mustBeRoot, mustHaveSystemd, systemdRuns } from '../service/machine.ts';
import { places, serviceEnvironment, urlOf } from '../service/places.ts';
import { type InstallFacts, installPlan, uninstallPlan } from '../service/plan.ts';
import { programOf } from '../service/program.ts';
import { doStep, type Step, telling } from '../service/steps.ts';
import { installedProgram } from '../service/units.ts';

interface InstallFlags {
  readonly port?: string;
  readonly dryRun?: boolean;
}

interface UninstallFlags {
  readonly purge?: boolean;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

const dryRun = ['--dry-run', 'only tell the steps'] as const;
const defaultPort = settingsTable.port.schema.parse(undefined);

/** The server as a system service with a user of its own, so that runs of other users are separated (Linux with systemd). */
export function serviceCommands(program: Command, host: CommandHost): void {
  const group = addGroup(
    program,
    'service',
    'the server as a user of its own, out of reach of the programs it serves (Linux with systemd)',
  );
  addCommand<InstallFlags>(group, host, {
    usage: 'install',
    tells: 'install this version as a system service and start it; may be repeated, and is how it is upgraded',
    example: 'gatehouse service install --dry-run',
    options: [['--port <port>', `where it listens on loopback (default: as before, else ${defaultPort})`], dryRun],
    more: `needs root; each person then signs in with: gatehouse login ${urlOf(defaultPort)}`,
    action: install,
  });
  addCommand<UninstallFlags>(group, host, {
    usage: 'uninstall',
    tells: 'stop the service and remove it; its data and its key stay',
    example: 'gatehouse service uninstall --dry-run',
    options: [
      ['--purge', 'remove data, key and user too: every connection, permission and record is gone for good'],
      ['--yes', 'with --purge: do not ask'],
      dryRun,
    ],
    action: uninstall,
  });
  addCommand(group, host, {
    usage: 'status',
    tells: 'say whether the service is installed, runs and answers',
    example: 'gatehouse service status --json',
    action: status,
  });
}

async function install(context: Context, _given: readonly string[], flags: InstallFlags): Promise<undefined> {
  mustHaveSystemd();
  if (!flags.dryRun) mustBeRoot(context, ['service', 'install', ...(flags.port === undefined ? [] : ['--port', flags.port])]);
  const facts = installFacts(context, flags);
  const steps = installPlan(facts);
  if (flags.dryRun) return preview(context, steps);
  await doAll(context, steps);
  const url = urlOf(facts.port);
  if (!facts.running) return tell(context, { installed: true, running: false, url }, ['installed; it starts with the machine']);
  const version = await untilItAnswers(context);
  const link = setupLink(facts);
  return tell(context, { installed: true, running: true, url, version, ...(link === undefined ? {} : { setup_url: link }) }, [
    `the service answers as the user ${places.user} at ${url}, version ${version}; its log: journalctl -u gatehouse`,
    ...(link === undefined ? [] : [`set it up here, once, within an hour:\n\n  ${link}\n`]),
    `then, as yourself: gatehouse login ${url} && gatehouse init`,
  ]);
}

function installFacts(context: Context, flags: InstallFlags): InstallFacts {
  const account = accountOf(places.user);
  if (account !== undefined && !isClosed(account))
    throw new Fault('conflict', { detail: `There is a user ${places.user} that somebody signs in as`, hint: 'rename that user first' });
  const earlier = earlierPort();
  const port = flags.port === undefined ? (earlier ?? defaultPort) : Number(flags.port);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Fault('invalid_usage', { hint: '--port takes a number up to 65535' });
  const program = programOf(context.bin.self);
  return { account, program, port, earlierPort: earlier, ipv6: hasIpv6Loopback(), running: systemdRuns() };
}

function preview(context: Context, steps: readonly Step[]): undefined {
  return tell(
    context,
    { dry_run: true, steps: steps.map((step) => ({ tells: telling(step), ...(step.kind === 'file' ? { text: step.text } : {}) })) },
    steps.map((step) => `would ${telling(step)}`),
  );
}

async function doAll(context: Context, steps: readonly Step[]): Promise<void> {
  for (const step of steps) {
    const progress = context.speech.progress(telling(step));
    // Lets the line be drawn: the step itself holds the process.
    await sleep(0);
    try {
      doStep(step);
    } finally {
      progress.done();
    }
    context.speech.note(telling(step));
  }
}

function tell(context: Context, value: object, lines: readonly string[]): undefined {
  if (context.speech.json) context.speech.value(value);
  else for (const line of lines) context.speech.fact(line);
  return undefined;
}

/** @throws {Fault} `service_failed` when it does not within half a minute */
function untilItAnswers(context: Context): Promise<string> {
  const until = performance.now() + 30_000;
  const ask = async () => {
    const health = await healthOf({ address: { kind: 'socket', path: places.socket } });
    if (health === undefined && performance.now() > until) throw new Fault('service_failed', { detail: 'The service does not answer' });
    return health && (health.version ?? 'unknown');
  };
  return waitUntil(context, 'waiting for the service', ask, 100);
}

const printedLink = z.object({ url: z.string() });

/** Asked for as the service's own user, so that the one in the journal ends (SECURITY 23); none once it is set up. */
function setupLink({ program, port }: InstallFacts): string | undefined {
  const account = accountOf(places.user);
  if (account === undefined) return undefined;
  const [runtime, ...first] = installedProgram(program);
  const { stdout, status: code } = spawnSync(runtime, [...first, 'setup-link', '--json'], {
    uid: account.uid,
    gid: account.gid,
    env: serviceEnvironment(port),
    cwd: places.data,
    encoding: 'utf8',
  });
  return code === 0 ? printedLink.parse(JSON.parse(stdout)).url : undefined;
}

async function uninstall(context: Context, _given: readonly string[], flags: UninstallFlags): Promise<undefined> {
  mustHaveSystemd();
  const purge = flags.purge === true;
  const steps = uninstallPlan({ account: accountOf(places.user), installed: isInstalled(), running: systemdRuns(), purge });
  if (flags.dryRun) return preview(context, steps);
  mustBeRoot(context, ['service', 'uninstall', ...(purge ? ['--purge'] : []), ...(flags.yes ? ['--yes'] : [])]);
  const ends = 'every connection, permission and record, and the key that opens them';
  if (purge && !flags.yes && !(await askYes(context, `remove ${ends}, for good?`))) throw new Fault('cancelled');
  await doAll(context, steps);
  const kept = `data and key stay in ${places.data} and ${places.config}; remove them too with --purge`;
  return tell(context, { installed: false, purged: purge }, [
    `uninstalled; runs that it served have ended`,
    purge ? `${ends}: gone` : kept,
  ]);
}

async function status(context: Context): Promise<number> {
  mustHaveSystemd();
  const port = earlierPort();
  if (port === undefined) {
    tell(context, { installed: false }, ['not installed; see what it would do: gatehouse service install --dry-run']);
    return 9;
  }
  const url = urlOf(port);
  const health = await healthOf({ address: { kind: 'origin', origin: `http://127.0.0.1:${port}` } });
  const state = systemdRuns() ? spawnSync('systemctl', ['is-active', 'gatehouse.service'], { encoding: 'utf8' }).stdout.trim() : 'offline';
  const facts = { installed: true, state, answers: health !== undefined, url, user: places.user, version: health?.version };
  tell(context, facts, [
    health === undefined
      ? `the service is ${state} and does not answer; see: journalctl -u gatehouse`
      : `the service answers as the user ${places.user} at ${url}, version ${health.version ?? 'unknown'}`,
  ]);
  return health === undefined ? 9 : 0;
}
