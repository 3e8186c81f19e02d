/**
 * The first process inside an enclosure: new mount, process and IPC namespaces, in which it is number 1. It covers what
 * the program must not see, proves from the program's own place that this holds, then starts the program and hands on
 * signals. When it ends, or whoever started it does, the kernel ends everything inside.
 *
 * A process entry, never imported; it is loaded whole before anything is covered.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import type { EnclosurePlan, FromEnclosure, StartMessage, ToEnclosure } from './enclosure-plan.ts';

/** O_PATH (open(2)): only names the place, also of what is covered later. */
const namesOnly = 0o10000000;

/** Standard error of the program; ours is read by whoever started us. */
const programErrors = 4;

/** O_CLOEXEC, as fdinfo shows it (proc(5)). */
const closesItself = 0o2000000;

/** What the caller's shell left open would still lead outside: a folder, a file, a socket. */
function closeInherited(): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const number = Number(name);
    const path = `/proc/self/fdinfo/${name}`;
    if (number <= programErrors || statSync(path, { throwIfNoEntry: false }) === undefined) continue;
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(readFileSync(path, 'utf8'))?.[1] ?? '0', 8);
    if ((flags & closesItself) === 0) closeSync(number);
  }
}

const say = (message: FromEnclosure) => process.send?.(message);

function mount(...parameters: readonly string[]): void {
  const done = spawnSync('mount', [...parameters], { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`mount ${parameters.at(-1)}: ${(done.stderr || String(done.error ?? '')).trim()}`);
}

function cover(plan: EnclosurePlan): void {
  const kept = plan.shown.map((item) => ({ ...item, fd: openSync(item.path, namesOnly), folder: statSync(item.path).isDirectory() }));
  for (const { path, mode, owned } of plan.hidden) {
    // One may lie in another that was covered before.
    mkdirSync(path, { recursive: true });
    const owner = owned ? `,uid=${plan.user.uid},gid=${plan.user.gid}` : '';
    mount('-t', 'tmpfs', '-o', `nosuid,nodev,mode=${mode}${owner}`, 'tmpfs', path);
  }
  for (const { path, fd, folder } of kept) {
    makePlace(path, folder);
    mount('--no-canonicalize', '--rbind', `/proc/${process.pid}/fd/${fd}`, path);
    closeSync(fd);
  }
  mount('-t', 'devpts', '-o', 'newinstance,ptmxmode=0666,mode=0620', 'devpts', '/dev/pts');
  makeReadOnly(plan);
  for (const { path } of plan.secret) blank(path);
}

function makePlace(path: string, folder: boolean): void {
  mkdirSync(folder ? path : dirname(path), { recursive: true });
  if (!folder && statSync(path, { throwIfNoEntry: false }) === undefined) writeFileSync(path, '');
}

/** Everything but what is writable by plan and our own empty file systems. A flag of a mount may not be dropped on the way. */
function makeReadOnly(plan: EnclosurePlan): void {
  const within = (path: string, above: string) => path === above || path.startsWith(above === '/' ? '/' : `${above}/`);
  // Of several that were brought back, one in the other, the innermost says.
  const writable = (path: string) => plan.shown.findLast((item) => within(path, item.path))?.writable === true;
  const stays = (path: string) =>
    writable(path) || plan.hidden.some((item) => item.path === path) || within(path, '/proc') || within(path, '/dev');
  for (const { path, options } of mounts()) {
    if (stays(path)) continue;
    mount('-o', ['remount', 'bind', ...options.map((option) => (option === 'rw' ? 'ro' : option))].join(','), path);
  }
}

/** Where something is mounted, and with which flags (proc(5), mountinfo); of several on one place only the uppermost counts. */
function mounts(): readonly { readonly path: string; readonly options: readonly string[] }[] {
  const rows = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n');
  const found = new Map<string, readonly string[]>();
  for (const row of rows) {
    const fields = row.split(' ');
    const path = (fields[4] as string).replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) found.set(path, (fields[5] as string).split(','));
  }
  return [...found].map(([path, options]) => ({ path, options }));
}

function blank(path: string): void {
  const facts = statSync(path, { throwIfNoEntry: false });
  if (facts === undefined) return;
  if (facts.isDirectory()) mount('-t', 'tmpfs', '-o', 'ro,nosuid,nodev,noexec,mode=000,size=4k', 'tmpfs', path);
  else mount('--bind', '/dev/null', path);
}

/** Parameters by which a program becomes the user, for good and without any capability. */
function confined(plan: EnclosurePlan): string[] {
  const become = plan.fromRoot ? ['--reuid', String(plan.user.uid), '--regid', String(plan.user.gid), '--clear-groups'] : [];
  return [...become, '--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--no-new-privs', '--'];
}

/** Tried from the program's own place: each line it prints is a way in. */
const probe = `
for p in "$@"; do
  if [ -d "$p" ] && [ -n "$(ls -A "$p" 2>/dev/null)" ]; then echo "folder:$p"; fi
  if [ -f "$p" ] && [ -n "$(head -c 1 "$p" 2>/dev/null)" ]; then echo "file:$p"; fi
  if [ -S "$p" ]; then echo "socket:$p"; fi
  umount "$p" 2>/dev/null && echo "uncovered:$p"
  unshare --user --map-root-user --mount umount -l "$p" 2>/dev/null && echo "uncovered-in-own-namespace:$p"
done
cat /proc/1/environ >/dev/null 2>&1 && echo "environment of process 1"
ls /proc/1/root/ >/dev/null 2>&1 && echo "root of process 1"
readlink /proc/1/fd/0 >/dev/null 2>&1 && echo "descriptors of process 1"
grep -q '^CapPrm:[[:space:]]*0*$' /proc/self/status || echo "capabilities"
grep -q '^CapBnd:[[:space:]]*0*$' /proc/self/status || echo "capability bounds"
grep -q '^NoNewPrivs:[[:space:]]*1$' /proc/self/status || echo "new privileges"
[ "$(ls -d /proc/[0-9]* | wc -l)" -gt 8 ] && echo "foreign processes"
echo done
`;

/** The ways in that are still open; empty: it holds. */
function openWays(plan: EnclosurePlan): readonly string[] {
  const paths = plan.secret.map(({ path }) => path);
  const tried = spawnSync('setpriv', [...confined(plan), 'sh', '-c', probe, 'probe', ...paths], { encoding: 'utf8', timeout: 20_000 });
  const lines = (tried.stdout ?? '').trim().split('\n');
  if (lines.pop() !== 'done') return [`the check did not finish: ${(tried.stderr || String(tried.error ?? '')).trim()}`];
  const same = plan.secret
    .filter(({ path, identity }) => identity !== undefined && identityOf(path) === identity)
    .map(({ path }) => `same:${path}`);
  return [...lines.filter((line) => line !== ''), ...same];
}

function identityOf(path: string): string | undefined {
  const facts = statSync(path, { throwIfNoEntry: false });
  return facts === undefined ? undefined : `${facts.dev}:${facts.ino}`;
}

function build(plan: EnclosurePlan): void {
  try {
    cover(plan);
    const ways = openWays(plan);
    say(ways.length === 0 ? { kind: 'holds' } : { kind: 'failed', reason: ways.join('; ') });
  } catch (error) {
    say({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
  }
}

let program: ReturnType<typeof spawn> | undefined;

function start(plan: EnclosurePlan, { command, parameters, env, cwd }: StartMessage): void {
  program = spawn('setpriv', [...confined(plan), command, ...parameters], {
    stdio: [0, 1, programErrors],
    env,
    cwd,
    detached: plan.ownSession,
  });
  const end = (code: number) => {
    say({ kind: 'exit', code });
    process.disconnect?.();
    process.exit(code);
  };
  program.once('error', () => end(126));
  program.once('exit', (code, signal) => end(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
}

let planned: EnclosurePlan | undefined;
process.on('message', (message: ToEnclosure) => {
  if (message.kind === 'signal') return void program?.kill(message.signal);
  if (message.kind === 'plan') {
    planned = message.plan;
    build(message.plan);
  } else if (planned !== undefined) start(planned, message);
});
process.on('disconnect', () => process.exit(1));
for (const signal of ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP', 'SIGTSTP'] as const) process.on(signal, () => undefined);
closeInherited();
say({ kind: 'up' });
