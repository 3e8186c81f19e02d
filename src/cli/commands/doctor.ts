import type { Command } from 'commander';
import { foldersOf, isLoopback } from '#config';
import { Fault, isFault } from '#kernel';
import { addCommand, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { tryRuntimes } from '../doctor/trial.ts';
import { checkPrivateFolder } from '../private-folder.ts';
import { makeRunFolder } from '../run/folder.ts';
import { openEnclosure } from '../run/isolate.ts';
import { masterKeysIn } from '../run/recognised.ts';
import { healthOf } from '../server-process.ts';

interface Finding {
  readonly check: string;
  readonly result: 'good' | 'bad' | 'note';
  readonly note: string;
}

interface DoctorFlags {
  readonly runtimes?: boolean;
  readonly redisAcl?: boolean;
}

/** What works on this machine, and what to do about what does not. */
export function doctorCommand(program: Command, host: CommandHost): void {
  addCommand<DoctorFlags>(program, host, {
    usage: 'doctor',
    tells: 'check this machine: start every installed runtime as run would, and see that it uses and trusts the proxy',
    example: 'gatehouse doctor',
    options: [
      ['--no-runtimes', 'leave the runtimes out'],
      ['--redis-acl', 'only print the least rights that our users of Redis need'],
    ],
    action: doctor,
  });
}

async function doctor(context: Context, _given: readonly string[], flags: DoctorFlags): Promise<number> {
  if (flags.redisAcl === true) return await printRedisAcl(context);
  const findings = [
    ...checkSettings(context),
    ...checkEnvironment(context),
    ...(await checkDatabase(context)),
    await checkServer(context),
    await checkAgent(context),
    await checkIsolation(context),
  ];
  if (!context.speech.json)
    context.speech.table(
      ['check', 'result', 'note'],
      findings.map((row) => [row.check, row.result, row.note]),
    );
  const runtimes = flags.runtimes === false ? [] : await checkRuntimes(context);
  if (context.speech.json) context.speech.value({ checks: findings, runtimes });
  else if (runtimes.length > 0) {
    context.speech.fact('');
    context.speech.table(
      ['runtime', 'result', 'note'],
      runtimes.map((row) => [row.runtime, row.result, row.note]),
    );
  }
  const bad = findings.some((row) => row.result === 'bad') || runtimes.some((row) => row.result === 'fails');
  return bad ? 1 : 0;
}

async function printRedisAcl({ bin, settings, speech }: Context): Promise<number> {
  const lines = await bin.redisAcl(settings().redisPrefix);
  if (speech.json) speech.value({ lines });
  else for (const line of lines) speech.fact(line);
  return 0;
}

async function checkRuntimes(context: Context) {
  const progress = context.speech.progress('starting every runtime that is installed');
  try {
    return await tryRuntimes(context.io.env, context.clock, () => undefined);
  } finally {
    progress.done();
  }
}

function checkSettings(context: Context): Finding[] {
  try {
    context.settings();
    const folders = context.folders();
    for (const folder of [folders.home, folders.config, folders.state]) checkPrivateFolder(folder);
    return [{ check: 'settings and folders', result: 'good', note: folders.home }];
  } catch (error) {
    if (isFault(error)) return [{ check: 'settings and folders', result: 'bad', note: `${error.message}: ${error.hint}` }];
    throw error;
  }
}

/** Names of other systems that mean a setting here only when asked for. */
const strays = ['DATABASE_URL', 'REDIS_URL', 'ENCRYPTION_KEY', 'JWT_PRIVATE_KEY_BASE64', 'AUTH_MASTER_KEY', 'SERVER_PORT', 'BASE_URL'];

function checkEnvironment(context: Context): Finding[] {
  const { env } = context.io;
  const keys = masterKeysIn(env);
  const stray = strays.filter((name) => (env[name] ?? '') !== '' && !env.GATEHOUSE_COMPAT);
  return [
    keys.length > 0
      ? {
          check: 'environment',
          result: 'bad' as const,
          note: `${keys.join(', ')} can be read by every program of this user; use GATEHOUSE_MASTER_KEY_FILE`,
        }
      : { check: 'environment', result: 'good' as const, note: 'holds no master key' },
    ...(stray.length === 0
      ? []
      : [{ check: 'other names', result: 'note' as const, note: `${stray.join(', ')} are ignored; GATEHOUSE_COMPAT makes them count` }]),
  ];
}

/** Where the settings of this machine name a database server: whether what is committed there survives a crash. */
async function checkDatabase({ bin }: Context): Promise<Finding[]> {
  try {
    const warnings = await bin.databaseWarnings();
    if (warnings === undefined) return [];
    if (warnings.length > 0) return warnings.map((note) => ({ check: 'database', result: 'bad', note }));
    return [{ check: 'database', result: 'good', note: 'answers, and keeps what was committed' }];
  } catch (error) {
    if (isFault(error)) return [{ check: 'database', result: 'bad', note: `${error.details.detail ?? error.message}: ${error.hint}` }];
    throw error;
  }
}

async function checkServer(context: Context): Promise<Finding> {
  try {
    const server = context.server();
    const health = await healthOf(server);
    if (health === undefined) throw new Fault('server_unreachable');
    const clear =
      server.address.kind === 'origin' && server.address.origin.startsWith('http:') && !isLoopback(new URL(server.address.origin).hostname);
    return { check: 'server', result: clear ? 'bad' : 'good', note: `${server.shown}, version ${health.version ?? 'unknown'}` };
  } catch (error) {
    if (isFault(error)) return { check: 'server', result: 'note', note: error.hint };
    throw error;
  }
}

async function checkAgent(context: Context): Promise<Finding> {
  try {
    const key = context.agentKey();
    const server = context.server();
    const id = key.registered[await server.issuer()];
    if (id === undefined)
      return { check: 'agent', result: 'note', note: `${key.handle} is not registered at ${server.shown}: gatehouse init` };
    const agent = await (await server.agent(key)).call('agent_get', { params: { agent: id } });
    const usable = agent.status === 'active';
    return {
      check: 'agent',
      result: usable ? 'good' : 'note',
      note: `${agent.handle} is ${agent.status}${usable ? '' : ': gatehouse init'}`,
    };
  } catch (error) {
    if (isFault(error)) return { check: 'agent', result: 'note', note: error.hint };
    throw error;
  }
}

/** Builds an enclosure as `run --isolate` would, lets it prove itself, and ends it. */
async function checkIsolation(context: Context): Promise<Finding> {
  const folder = makeRunFolder(context.io.env);
  try {
    const { home, config, state } = foldersOf(context.settings().home, context.io.env);
    const enclosure = await openEnclosure({
      secret: [home, config, state],
      cwd: '/',
      env: context.io.env,
      show: [],
      write: [],
      folder: folder.path,
      command: 'sh',
    });
    enclosure.close();
    return { check: 'isolation', result: 'good', note: 'run --isolate makes the level separated' };
  } catch (error) {
    if (isFault(error)) return { check: 'isolation', result: 'note', note: `run --isolate is not possible: ${error.hint}` };
    throw error;
  } finally {
    folder.remove();
  }
}
