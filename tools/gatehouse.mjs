#!/usr/bin/env node
// The `gatehouse` command: the built one of the published package, or the sources of a clone.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { forward } from './launcher/forward.mjs';
import { ensureModules } from './launcher/modules.mjs';
import { findRuntime, withRuntime } from './launcher/runtime.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const say = (sentence) => process.stderr.write(`gatehouse: ${sentence}\n`);
const source = join(root, 'src', 'bin', 'gatehouse.ts');
const built = join(root, 'dist', 'bin', 'gatehouse.js');

async function main(parameters) {
  const inClone = existsSync(source);
  const node = await findRuntime(say);
  if (!inClone && node === process.execPath) {
    await import(pathToFileURL(built).href);
    return undefined;
  }
  const env = withRuntime(node);
  if (!inClone) return forward(node, [built, ...parameters], env);
  await ensureModules(root, env, say);
  return forward(node, ['--conditions=gatehouse-source', '--disable-warning=ExperimentalWarning', source, ...parameters], env);
}

main(process.argv.slice(2)).then(
  (code) => {
    if (code !== undefined) process.exit(code);
  },
  (error) => {
    say(error.message);
    process.exit(1);
  },
);
