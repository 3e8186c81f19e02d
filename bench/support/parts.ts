import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSettings } from '#config';
import { silentLog, systemClock } from '#kernel';
import { buildParts, type Parts } from '../../src/bin/parts.ts';

/** The parts of a server over an empty store in a temporary folder, in this process. */
export async function openParts(): Promise<Parts & { readonly folder: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
  const env = {
    HOME: folder,
    XDG_CONFIG_HOME: join(folder, 'config'),
    XDG_RUNTIME_DIR: join(folder, 'runtime'),
    GATEHOUSE_HOME: join(folder, 'home'),
  };
  mkdirSync(env.XDG_RUNTIME_DIR, { mode: 0o700 });
  const { settings } = readSettings({ env, aliases: false });
  const parts = await buildParts({ settings, env, dev: false, clock: systemClock, log: silentLog });
  return {
    ...parts,
    folder,
    async close() {
      await parts.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Microseconds of this process's CPU for each of `times` times. */
export async function cpuEach(times: number, work: () => unknown): Promise<number> {
  const began = process.cpuUsage();
  for (let i = 0; i < times; i++) await work();
  const { user, system } = process.cpuUsage(began);
  return (user + system) / times;
}
