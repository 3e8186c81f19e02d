import { existsSync, lstatSync, realpathSync, statSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { Fault } from '#kernel';
import type { EnclosurePlan } from './enclosure-plan.ts';
import type { Variables } from './environment.ts';

export interface PlacesInput {
  readonly secret: readonly string[];
  readonly cwd: string;
  readonly home: string;
  readonly env: Variables;
  readonly show: readonly string[];
  readonly write: readonly string[];
  /** The run's own folder. */
  readonly folder: string;
  /** Where the program itself lies. */
  readonly program: string | undefined;
  /** Our own code and runtime: a program that could change them would be us the next time. */
  readonly own: readonly string[];
  /** Sockets that somebody listens on: whoever does could act for the program outside. */
  readonly sockets: readonly string[];
}

export interface Places extends Pick<EnclosurePlan, 'hidden' | 'shown' | 'secret'> {
  /** The working folder is the home folder or above it, so the program does not get it. */
  readonly cwdHidden: boolean;
}

/**
 * What the program sees: the system read-only, its working folder, the tools on its path. The home folder with the
 * browser's sessions, the folders of sockets (other programs there would do its bidding) and those anybody may write
 * to are replaced by empty ones. @throws {Fault} `isolation_unavailable` when the working folder is one of ours
 */
export function placesOf(input: PlacesInput): Places {
  const ours = existing(input.secret);
  const cwd = realpathSync(input.cwd);
  const inside = ours.find((path) => within(cwd, path));
  if (inside !== undefined)
    throw new Fault('isolation_unavailable', { hint: 'start it in a folder of your project, not in one of Gatehouse' });
  const home = realpathSync(input.home);
  const hidden = hiddenPlaces(home);
  const cwdHidden = hidden.some(({ path }) => within(path, cwd));
  const own = existing(input.own);
  const mayChange = (path: string) => !own.some((one) => within(path, one));
  const asked = [...(cwdHidden ? [] : [cwd]), ...existing(input.write)];
  const writable = asked.filter(mayChange);
  const readable = existing([
    input.folder,
    ...toolPlaces(input.env.PATH, hidden),
    ...programPlace(input.program, hidden),
    ...resolverPlaces(),
    ...input.show,
    ...asked,
    ...own.filter((path) => writable.some((above) => within(path, above))),
  ]);
  const shown = [
    ...readable.filter((path) => !writable.includes(path)).map((path) => ({ path, writable: false })),
    ...writable.map((path) => ({ path, writable: true })),
  ].sort((a, b) => a.path.length - b.path.length);
  const given = [...writable, ...existing(input.show)];
  const doors = existing(input.sockets).filter(
    (path) => ![...hidden.map((place) => place.path), ...given].some((above) => within(path, above)),
  );
  const secret = [...ours, ...doors];
  return { hidden, shown, cwdHidden, secret: secret.map((path) => ({ path, identity: identityOf(path) })) };
}

/** Whether `path` is `above` or lies in it. */
export function within(path: string, above: string): boolean {
  return path === above || path.startsWith(above === '/' ? '/' : `${above}/`);
}

function hiddenPlaces(home: string): EnclosurePlan['hidden'] {
  const open = ['/tmp', '/var/tmp', '/dev/shm'].map((path) => ({ path, mode: '1777', owned: false }));
  const closed = ['/run', '/media', '/mnt'].map((path) => ({ path, mode: '0755', owned: false }));
  const homes = home === '/' ? [] : [{ path: home, mode: '0755', owned: true }];
  return [...open, ...closed, ...homes].filter(({ path }) => isFolder(path)).sort((a, b) => a.path.length - b.path.length);
}

/** Folders beside a folder of programs that hold what the programs need. */
const besides = ['bin', 'sbin', 'shims', 'lib', 'lib64', 'libexec', 'include', 'versions', 'version', 'plugins', 'pyvenv.cfg', 'pyenv.d'];
const programFolders = new Set(['bin', 'sbin', 'shims']);

/** Tools on the path that lie in what is hidden. */
function toolPlaces(path: string | undefined, hidden: EnclosurePlan['hidden']): readonly string[] {
  const entries = (path ?? '')
    .split(delimiter)
    .filter((entry) => entry.startsWith('/') && hidden.some((place) => within(entry, place.path)));
  return entries.flatMap((entry) => {
    if (basename(entry) === '.bin') return [dirname(entry)];
    if (!programFolders.has(basename(entry))) return [entry];
    const rust = entry.endsWith('/.cargo/bin') ? [join(dirname(dirname(entry)), '.rustup')] : [];
    return [...besides.map((name) => join(dirname(entry), name)), ...rust];
  });
}

function programPlace(program: string | undefined, hidden: EnclosurePlan['hidden']): readonly string[] {
  if (program === undefined || !existsSync(program)) return [];
  const real = realpathSync(program);
  return hidden.some((place) => within(real, place.path)) ? [real] : [];
}

/** `/etc/resolv.conf` often leads into `/run`. */
function resolverPlaces(): readonly string[] {
  if (!existsSync('/etc/resolv.conf')) return [];
  const real = realpathSync('/etc/resolv.conf');
  return within(real, '/run') ? [real] : [];
}

function existing(paths: readonly string[]): readonly string[] {
  return [...new Set(paths.filter((path) => existsSync(path)).map((path) => realpathSync(path)))];
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function identityOf(path: string): string {
  const { dev, ino } = statSync(path);
  return `${dev}:${ino}`;
}
