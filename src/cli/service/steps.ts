import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  fchmodSync,
  fchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Fault } from '#kernel';
import { accountOf } from './account.ts';
import { places } from './places.ts';
import type { Part } from './program.ts';

type Owner = 'root' | 'service';

/** One thing that installing or removing the service does. */
export type Step =
  | { readonly kind: 'command'; readonly command: readonly [string, ...string[]] }
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number; readonly owner: Owner }
  | { readonly kind: 'program'; readonly path: string; readonly parts: readonly Part[]; readonly runtime: string }
  /** `keep`: one that is there stays as it is. */
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly text: string;
      readonly mode: number;
      readonly owner: Owner;
      readonly keep: boolean;
    }
  | { readonly kind: 'remove'; readonly path: string };

/** The step as a person reads it before it is done. */
export function telling(step: Step): string {
  switch (step.kind) {
    case 'command':
      return `run ${step.command.join(' ')}`;
    case 'folder':
      return `make the folder ${step.path}, ${rights(step)}`;
    case 'program':
      return `copy this program and its runtime to ${step.path}, which root alone may change`;
    case 'file':
      return `write ${step.path}, ${rights(step)}${step.keep ? ', unless it is there' : ''}`;
    case 'remove':
      return `remove ${step.path}`;
  }
}

function rights({ mode, owner }: { readonly mode: number; readonly owner: Owner }): string {
  return `${mode.toString(8).padStart(4, '0')} of ${owner === 'root' ? 'root' : places.user}`;
}

/** Does it; a step that was done before changes nothing. @throws {Fault} `service_failed`, `unsafe_folder` */
export function doStep(step: Step): void {
  switch (step.kind) {
    case 'command':
      runCommand(step.command);
      break;
    case 'folder':
      makeFolder(step);
      break;
    case 'program':
      placeProgram(step);
      break;
    case 'file':
      writeOwned(step);
      break;
    case 'remove':
      rmSync(step.path, { recursive: true, force: true });
      break;
  }
}

function runCommand([program, ...parameters]: readonly [string, ...string[]]): void {
  const done = spawnSync(program, parameters, { encoding: 'utf8' });
  if (done.status === 0) return;
  const said = (done.stderr ?? '').trim() || String(done.error?.message ?? done.signal ?? `exit code ${done.status}`);
  throw new Fault('service_failed', { detail: `${program} ${parameters.join(' ')}: ${said}` });
}

function idsOf(owner: Owner): { readonly uid: number; readonly gid: number } {
  if (owner === 'root') return { uid: 0, gid: 0 };
  const account = accountOf(places.user);
  if (account === undefined) throw new Fault('service_failed', { detail: `There is no user ${places.user}` });
  return account;
}

function makeFolder({ path, mode, owner }: Extract<Step, { kind: 'folder' }>): void {
  mkdirSync(path, { recursive: true });
  // A link could lead anywhere, and what it leads to would be given away.
  if (!lstatSync(path).isDirectory()) throw new Fault('unsafe_folder', { hint: `remove what is not a folder: ${path}` });
  const { uid, gid } = idsOf(owner);
  chownSync(path, uid, gid);
  chmodSync(path, mode);
}

/** A file in a folder of the service's is only ever made there, never opened: the service could have put a link. */
function writeOwned({ path, text, mode, owner, keep }: Extract<Step, { kind: 'file' }>): void {
  if (keep && lstatSync(path, { throwIfNoEntry: false }) !== undefined) return;
  const { uid, gid } = idsOf(owner);
  const draft = `${path}.new`;
  rmSync(draft, { force: true });
  const file = openSync(draft, 'wx', mode);
  try {
    writeFileSync(file, text);
    fchownSync(file, uid, gid);
    fchmodSync(file, mode);
  } finally {
    closeSync(file);
  }
  renameSync(draft, path);
}

/** Copied beside, then exchanged, so that it is whole or the old one. */
function placeProgram({ path, parts, runtime }: Extract<Step, { kind: 'program' }>): void {
  const [draft, old] = [`${path}.new`, `${path}.old`];
  for (const left of [draft, old]) rmSync(left, { recursive: true, force: true });
  makePublicFolder(draft);
  for (const { from, to } of parts) copyTree(from, join(draft, to));
  copyPublic(runtime, join(draft, 'node'), 0o755);
  if (existsSync(path)) renameSync(path, old);
  renameSync(draft, path);
  rmSync(old, { recursive: true, force: true });
}

/** Plain files and folders, readable by all; packages inside a package are parts of their own. */
function copyTree(from: string, to: string): void {
  const facts = lstatSync(from);
  if (facts.isFile()) copyPublic(from, to, (facts.mode & 0o100) === 0 ? 0o644 : 0o755);
  if (!facts.isDirectory()) return;
  makePublicFolder(to);
  for (const name of readdirSync(from)) if (name !== 'node_modules') copyTree(join(from, name), join(to, name));
}

function copyPublic(from: string, to: string, mode: number): void {
  makePublicFolder(dirname(to));
  copyFileSync(from, to);
  chmodSync(to, mode);
}

/** Whatever the umask of whoever types the command. */
function makePublicFolder(path: string): void {
  if (existsSync(path)) return;
  makePublicFolder(dirname(path));
  mkdirSync(path);
  chmodSync(path, 0o755);
}
