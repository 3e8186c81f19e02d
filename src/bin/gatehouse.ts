import { mkdirSync } from 'node:fs';
import { enableCompileCache, flushCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Compiled code is kept in a folder of the user's own: whoever can write there can run code as the user. */
function keepCompiled(): void {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'gatehouse', 'compiled');
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    enableCompileCache(folder);
    // Node itself writes it when the process ends, which one that is killed never does.
    setTimeout(flushCompileCache, 2_000).unref();
  } catch {
    // A machine without a writable home starts a little slower.
  }
}

keepCompiled();
// Loaded after the cache is on, so that the cache serves it.
await import('./main.ts');
