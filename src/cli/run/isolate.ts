import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Fault } from '#kernel';
import { handSignals, type ProgramInput } from './child.ts';
import { type Places, placesOf } from './enclosure-places.ts';
import type { EnclosurePlan, FromEnclosure, ToEnclosure } from './enclosure-plan.ts';
import type { Variables } from './environment.ts';
import { findProgram } from './folder.ts';

export interface EnclosureInput {
  /** Files and folders the program must not see, whatever else it sees. */
  readonly secret: readonly string[];
  readonly cwd: string;
  readonly env: Variables;
  readonly show: readonly string[];
  readonly write: readonly string[];
  readonly folder: string;
  readonly command: string;
  /** Who it runs as, when we are root: a name or a number. Default: nobody. */
  readonly as?: string;
}

/** Namespaces that were built and proven to hold, waiting for their program. */
export interface Enclosure {
  /** Who the program will be. */
  readonly user: { readonly uid: number; readonly gid: number };
  /** What holds, for the person. */
  readonly told: string;
  start(input: ProgramInput): Promise<number>;
  close(): void;
}

const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Builds namespaces in which the program sees neither Gatehouse's files nor the sockets and sessions by which it could
 * have others read them, and proves it from the inside. @throws {Fault} `isolation_unavailable`, saying what to do
 */
export async function openEnclosure(input: EnclosureInput): Promise<Enclosure> {
  refuseUnsupported();
  const fromRoot = process.getuid?.() === 0;
  const user = fromRoot ? userNamed(input.as ?? 'nobody') : ownUser(input.as);
  const program = findProgram(input.command, input.env.PATH);
  const places = placesOf({ ...input, home: input.env.HOME || homedir(), program, own: ownCode(), sockets: listening() });
  const plan: EnclosurePlan = { ...places, user, fromRoot, ownSession: terminalTakesInput() };
  const child = spawnInit(fromRoot);
  try {
    await reply(child, 'up');
    send(child, { kind: 'plan', plan });
    await reply(child, 'holds');
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  const { cwdHidden } = places;
  return Object.freeze({
    user,
    told: toldOf(places, user, fromRoot, input.cwd),
    start: (given: ProgramInput) => startInside(child, { ...given, cwd: cwdHidden ? '/' : given.cwd }, plan),
    close: () => void child.kill('SIGKILL'),
  });
}

function unavailable(hint: string, cause?: unknown): Fault {
  return new Fault('isolation_unavailable', { hint, cause });
}

function refuseUnsupported(): void {
  if (process.platform !== 'linux') {
    throw unavailable(
      'run it without --isolate, or against a server of another user (gatehouse service install) or host, which is separated by itself',
    );
  }
  const missing = ['unshare', 'setpriv', 'mount', 'umount', 'sh'].filter((name) => findProgram(name, systemPath) === undefined);
  if (missing.length > 0) throw unavailable(`install util-linux; missing: ${missing.join(', ')}`);
  const names = abstractDoors();
  if (names.length > 0) {
    throw unavailable(
      `a desktop socket would let the program out (${names.join(', ')}); run it in a session without X11, in a container, or against a remote server`,
    );
  }
}

/** The folder of this package's own `package.json`, from `src/` as well as from `dist/`. */
function packageFolder(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

/** What is loaded the next time somebody types our command. */
function ownCode(): readonly string[] {
  const root = packageFolder();
  const beside = dirname(root);
  if (basename(beside) === 'node_modules') return [beside, process.execPath];
  return [...['src', 'dist', 'tools', 'providers', 'node_modules', 'package.json'].map((name) => join(root, name)), process.execPath];
}

/** Paths of sockets that accept connections (proc(5), /proc/net/unix: flag 0x10000). */
function listening(): readonly string[] {
  const rows = readFileSync('/proc/net/unix', 'utf8').split('\n');
  return rows.flatMap((row) => /^\S+ \S+ \S+ 00010000 .*? (\/.*)$/.exec(row)?.[1] ?? []);
}

/** Sockets without a path cannot be covered; through these a program could have others act for it. */
function abstractDoors(): readonly string[] {
  const names = readFileSync('/proc/net/unix', 'utf8').match(/@\S+/g) ?? [];
  return [...new Set(names.filter((name) => /X11-unix|ICE-unix|dbus|systemd|tmux/.test(name)))];
}

function userNamed(name: string): { uid: number; gid: number } {
  const shown = spawnSync('getent', ['passwd', name], { encoding: 'utf8', env: { PATH: systemPath } });
  const [, , uid, gid] = (shown.stdout ?? '').split(':');
  if (uid === undefined || gid === undefined) throw new Fault('invalid_usage', { hint: 'name a user of this system with --as' });
  if (uid === '0') throw new Fault('invalid_usage', { hint: 'root cannot be shut in; name another user with --as' });
  return { uid: Number(uid), gid: Number(gid) };
}

function ownUser(as: string | undefined): { uid: number; gid: number } {
  if (as !== undefined) throw new Fault('invalid_usage', { hint: 'only root can run a program --as another user' });
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}

/** Where the kernel lets a program push characters into its terminal, it must not have ours as its own (ioctl_tty(2), TIOCSTI). */
function terminalTakesInput(): boolean {
  const path = '/proc/sys/dev/tty/legacy_tiocsti';
  return !existsSync(path) || readFileSync(path, 'utf8').trim() !== '0';
}

function spawnInit(fromRoot: boolean): ChildProcess {
  const entry = join(packageFolder(), import.meta.filename.endsWith('.ts') ? 'src/cli/run/enclosure.ts' : 'dist/cli/run/enclosure.js');
  const user = fromRoot ? [] : ['--user', '--map-current-user', '--keep-caps'];
  const namespaces = ['--mount', '--pid', '--ipc', '--fork', '--kill-child=SIGKILL', '--mount-proc'];
  const flags = process.execArgv.filter((flag) => flag.startsWith('--conditions') || flag.startsWith('--disable-warning'));
  return spawn('unshare', [...user, ...namespaces, '--', process.execPath, ...flags, entry], {
    // What unshare itself says is for us; the program's own standard error is handed over beside it.
    stdio: ['inherit', 'inherit', 'pipe', 'ipc', 2],
    env: { PATH: systemPath },
    cwd: '/',
  });
}

function send(child: ChildProcess, message: ToEnclosure): void {
  if (child.connected) child.send(message);
}

/** Waits for one message; anything else means that the system cannot do it. */
function reply(child: ChildProcess, wanted: FromEnclosure['kind']): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    const listen = (part: Buffer) => {
      said += part.toString();
    };
    const finish = (fault?: Fault) => {
      child.stderr?.off('data', listen);
      child.off('message', take);
      child.off('exit', gone);
      if (fault === undefined) resolve();
      else reject(fault);
    };
    const take = (message: FromEnclosure) => {
      if (message.kind === wanted) finish();
      else if (message.kind === 'failed') finish(unavailable(`what does not hold: ${message.reason}`));
    };
    const gone = () =>
      finish(
        unavailable(
          `the system refuses namespaces: ${said.trim() || 'unshare ended'}; allow unprivileged user namespaces, or use a remote server`,
        ),
      );
    child.stderr?.on('data', listen);
    child.on('message', take);
    child.once('exit', gone);
    child.once('error', gone);
  });
}

/** The program's exit code. Signals go over the channel: nothing outside knows its number. */
function startInside(child: ChildProcess, input: ProgramInput, plan: EnclosurePlan): Promise<number> {
  const { command, parameters, cwd } = input;
  const stop = handSignals(input.terminal && !plan.ownSession, (signal) => send(child, { kind: 'signal', signal }));
  return new Promise<number>((resolve) => {
    child.on('message', (message: FromEnclosure) => {
      if (message.kind === 'exit') resolve(message.code);
    });
    child.once('exit', (code, signal) => resolve(signal === null ? (code ?? 1) : 137));
    send(child, { kind: 'start', command, parameters, cwd, env: environmentInside(input.env) });
  }).finally(stop);
}

/** Names of sockets and sessions that are not there inside. */
const doors =
  /^(XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS|SSH_AUTH_SOCK|SSH_AGENT_PID|GPG_AGENT_INFO|DISPLAY|WAYLAND_DISPLAY|XAUTHORITY|TMUX|TMUX_PANE|STY|DOCKER_HOST|VSCODE_IPC_HOOK.*|VSCODE_GIT_.*)$/;

function environmentInside(env: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return { ...Object.fromEntries(Object.entries(env).filter(([name]) => !doors.test(name))), TMPDIR: '/tmp' };
}

function toldOf(places: Places, user: { readonly uid: number }, fromRoot: boolean, cwd: string): string {
  const who = fromRoot ? `as user ${user.uid}, ` : '';
  const where = places.cwdHidden
    ? 'without the home folder (start it in a project folder to share that)'
    : `may write to ${cwd} and nothing else of yours`;
  return `the program runs in namespaces of its own, ${who}${where}`;
}
