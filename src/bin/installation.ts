import type { InstallationCommands, MigrateOptions } from '#cli';
import { type Environment, readSettings } from '#config';
import type { Clock } from '#kernel';
import { toldAs } from './log.ts';
import type { MigrateReport } from './migrate.ts';

/** Where the settings are read from, and what runs. */
export interface InstallationGround {
  readonly env: Environment;
  readonly clock: Clock;
  readonly version: string;
}

/** Work on a whole installation; what each needs loads when it is asked for. */
export function installationCommands({ env, clock, version }: InstallationGround): InstallationCommands {
  const read = (envFile: string | undefined) => readSettings({ env, envFile, aliases: true }).settings;
  return {
    resume: async ({ envFile }) => (await import('./standing.ts')).resume(read(envFile), env, clock),
    pause: async ({ envFile }) => (await import('./standing.ts')).pause(read(envFile), env, clock),
    backup: async (order) => (await import('./backup.ts')).backup(order, read(order.envFile), clock, version),
    restore: async (order) => (await import('./backup.ts')).restore(order, read(order.envFile), env, clock),
    moveVault: async (order) => (await import('./moving.ts')).moveVault(order, read(order.envFile), clock),
    copy: async (order) => (await import('./moving.ts')).copyTo(order, read(order.envFile), clock),
  };
}

/** `gatehouse migrate`. */
export async function migrateCommand(
  { env, clock }: InstallationGround,
  { envFile, tell, ...options }: MigrateOptions,
): Promise<MigrateReport> {
  const { settings, notices } = readSettings({ env, envFile, aliases: true });
  for (const notice of notices) tell(notice);
  const { migrateAlone } = await import('./migrate.ts');
  return await migrateAlone({ settings, clock, log: toldAs(tell) }, options);
}
