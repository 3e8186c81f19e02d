// Installs the locked packages when the lock changed since the last time.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runToEnd } from './runtime.mjs';

/** Runs `npm ci` in `root` unless it was run for this very lock. */
export async function ensureModules(root, env, say) {
  const mark = join(root, 'node_modules', '.gatehouse-lock');
  const digest = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === digest) return;
  say('installing the locked packages');
  await runToEnd('npm', ['ci', '--ignore-scripts', '--loglevel=error'], { cwd: root, env });
  writeFileSync(mark, digest);
}
