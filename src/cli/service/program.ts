import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { z } from 'zod';
import { Fault } from '#kernel';

/** A folder or file of this installation, and where it goes below the program's folder. */
export interface Part {
  readonly from: string;
  readonly to: string;
}

/** This very program, so that it can be installed elsewhere: what it needs to serve, and nothing else of its folder. */
export interface Program {
  readonly parts: readonly Part[];
  readonly runtime: string;
  readonly flags: readonly string[];
  /** Below the program's folder. */
  readonly entry: string;
}

const manifestShape = z.object({
  dependencies: z.record(z.string(), z.string()).default({}),
  optionalDependencies: z.record(z.string(), z.string()).default({}),
  peerDependencies: z.record(z.string(), z.string()).default({}),
});

const owned = ['package.json', 'providers', 'LICENSE'];

/**
 * Reads it off the command that runs: runtime, flags, entry. @throws {Fault} `service_failed` when its packages are
 * linked from elsewhere, so that a copy would not be whole
 */
export function programOf([runtime, ...rest]: readonly [string, ...string[]]): Program {
  const entry = realpathSync(rest.at(-1) as string);
  const root = dirname(dirname(dirname(entry)));
  const code = relative(root, entry).split('/')[0] as string;
  const packages = packagesOf(root);
  const base = packages.every((folder) => folder.startsWith(`${root}/`)) ? root : dirname(dirname(root));
  const part = (from: string): Part => ({ from, to: relative(base, from) });
  const own = [code, ...owned].map((name) => join(root, name)).filter((path) => existsSync(path));
  return { parts: [...own, ...packages].map(part), runtime: realpathSync(runtime), flags: rest.slice(0, -1), entry: relative(base, entry) };
}

/** Folders of the packages that a package needs, and those that they need, as the runtime finds them. */
function packagesOf(root: string): readonly string[] {
  const found = new Set<string>();
  const waiting = [root];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    for (const name of namesNeededBy(folder)) {
      const path = resolvePackage(folder, name);
      if (path === undefined || found.has(path)) continue;
      if (realpathSync(path) !== path) throw linked();
      found.add(path);
      waiting.push(path);
    }
  }
  return [...found].sort();
}

function namesNeededBy(folder: string): readonly string[] {
  const { dependencies, optionalDependencies, peerDependencies } = manifestShape.parse(
    JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')),
  );
  return Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
}

/** The nearest `node_modules` above that has it; undefined for one that this platform leaves out. */
function resolvePackage(from: string, name: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', name);
    if (basename(folder) !== 'node_modules' && existsSync(path)) return path;
    if (dirname(folder) === folder) return undefined;
  }
}

function linked(): Fault {
  return new Fault('service_failed', {
    detail: 'The packages of this installation are linked from elsewhere',
    hint: 'install it whole, then repeat: npm install --global gatehouse',
  });
}
