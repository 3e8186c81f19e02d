// What `npm start`, `npm test` and the other scripts run: finds the runtime, installs the locked packages, starts the command.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { forward } from './launcher/forward.mjs';
import { ensureModules } from './launcher/modules.mjs';
import { findRuntime, withRuntime } from './launcher/runtime.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = ['--conditions=gatehouse-source', '--disable-warning=ExperimentalWarning'];

/** Script → the file it runs and parameters that come before the caller's. */
const scripts = {
  start: ['src/bin/gatehouse.ts', 'serve'],
  test: ['tools/test.ts'],
  'test:long': ['tools/test.ts', '--long'],
  check: ['tools/check.ts'],
  bench: ['bench/run.ts'],
  generate: ['tools/generate.ts'],
  demo: ['examples/demo/demo.ts'],
  'example:mcp': ['examples/mcp-server/server.ts'],
  build: ['tools/build.ts'],
};

const say = (sentence) => process.stderr.write(`gatehouse: ${sentence}\n`);

async function main([name, ...rest]) {
  const script = scripts[name];
  if (script === undefined) throw new Error(`no such script: choose one of ${Object.keys(scripts).join(', ')}`);
  const node = await findRuntime(say);
  const env = withRuntime(node);
  await ensureModules(root, env, say);
  const [file, ...first] = script;
  return forward(node, [...source, join(root, file), ...first, ...rest], env);
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    say(error.message);
    process.exit(1);
  },
);
