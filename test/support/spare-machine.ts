import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type CommandOptions, type Ended, execute } from './installation.ts';

/**
 * A machine that root may change at will: this one, but what is written to its system folders stays in memory and is
 * gone with it. Programs, users, and files are real; only no systemd runs in it.
 */
export interface SpareMachine {
  /** A command on it; as root, or as one of its users. */
  type(command: readonly string[], options?: MachineOptions): Promise<Ended>;
  /** Starts a program that stays. */
  start(command: readonly string[], options: MachineOptions): ChildProcess;
  close(): Promise<void>;
}

export interface MachineOptions extends CommandOptions {
  readonly user?: string;
}

const changed = ['/etc', '/usr/local/lib', '/var/lib', '/var/cache'];

const script = `
set -e
mount -t tmpfs -o mode=0755 tmpfs /run
memory=/run/memory
for folder in "$@"; do
  mkdir -p "$memory/upper$folder" "$memory/work$folder"
  chmod 0755 "$memory/upper$folder"
  mount -t overlay -o "lowerdir=$folder,upperdir=$memory/upper$folder,workdir=$memory/work$folder" overlay "$folder"
done
echo ready
exec sleep infinity`;

export async function openSpareMachine(): Promise<SpareMachine> {
  const holder = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', ...changed], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await Promise.race([
    once(holder.stdout, 'data'),
    once(holder, 'exit').then(() => Promise.reject(new Error('no spare machine can be had here'))),
  ]);
  const placed = (command: readonly string[], { user, env }: MachineOptions): readonly [string, ...string[]] => {
    const become = user === undefined ? '' : `setpriv --reuid="$(id -u ${user})" --regid="$(id -g ${user})" --init-groups`;
    const variables = Object.entries(env ?? {}).map(([name, value]) => `${name}=${value}`);
    return [
      'nsenter',
      `--mount=/proc/${holder.pid}/ns/mnt`,
      ...['sh', '-c', `exec ${become} "$@"`, 'sh', 'env', '-i', `PATH=${process.env.PATH}`, ...variables, ...command],
    ];
  };
  const close = async () => {
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
  };
  return {
    type: (command, options = {}) => execute(placed(command, options), { ...options, env: { PATH: process.env.PATH ?? '' }, cwd: '/' }),
    start(command, options) {
      const [program, ...parameters] = placed(command, options);
      return spawn(program, parameters, { cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
    },
    close,
  };
}
