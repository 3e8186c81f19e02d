import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execute, until } from './installation.ts';

export const secretServiceNeeds = ['dbus-daemon', 'gnome-keyring-daemon', 'secret-tool'] as const;

export interface SecretService {
  /** `DBUS_SESSION_BUS_ADDRESS` */
  readonly bus: string;
  /** What `secret-tool` prints. */
  ask(...parameters: readonly string[]): Promise<string>;
  close(): void;
}

/** A bus and a keyring of their own, as a Linux desktop has them; the keyring is open. */
export async function startSecretService(): Promise<SecretService> {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-secrets-'));
  const bus = `unix:path=${join(folder, 'bus')}`;
  const env = { PATH: process.env.PATH ?? '', HOME: folder, XDG_RUNTIME_DIR: folder, DBUS_SESSION_BUS_ADDRESS: bus };
  const daemons: ChildProcess[] = [];
  const close = () => {
    for (const daemon of daemons.reverse()) daemon.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  const tool = (parameters: readonly string[], input?: string) =>
    execute(['secret-tool', ...parameters], { env, cwd: folder, ...(input === undefined ? {} : { input }) });
  daemons.push(spawn('dbus-daemon', ['--session', '--nofork', '--nopidfile', `--address=${bus}`], { env, stdio: 'ignore' }));
  await until(() => existsSync(join(folder, 'bus')));
  const keyring = spawn('gnome-keyring-daemon', ['--foreground', '--unlock', '--components=secrets'], {
    env,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  keyring.stdin.end('\n');
  daemons.push(keyring);
  await until(async () => (await tool(['store', '--label=ready', 'service', 'ready'], 'ready')).code === 0);
  return { bus, close, ask: async (...parameters) => (await tool(parameters)).stdout };
}
