import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../test/support/installation.ts';
import { limit, type Row } from '../row.ts';
import { type Child, fromSource, root, start } from '../support/child.ts';
import { residentMegabytes } from '../support/cpu.ts';

const rounds = 5;
const program = join(root, 'dist', 'bin', 'gatehouse.js');

/** From the process's start to its being ready, on an empty store each time, with the compile cache of the time before. */
export async function measure(): Promise<readonly Row[]> {
  build();
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
  try {
    const taken: number[] = [];
    const resident: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const { milliseconds, server } = await startOnce(folder, String(round));
      if (round > 0) taken.push(milliseconds);
      if (round === rounds) {
        await new Promise((resolve) => setTimeout(resolve, 3_000));
        resident.push(residentMegabytes(server.pid));
      }
      await server.stop();
    }
    return [limit('start to ready, built, empty store', 'ms', taken, '≤ 1000'), limit('idle memory', 'MB', resident, '≤ 150')];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startOnce(folder: string, name: string): Promise<{ readonly milliseconds: number; readonly server: Child }> {
  const home = join(folder, name);
  mkdirSync(join(home, 'runtime'), { recursive: true, mode: 0o700 });
  const [port, proxyPort] = [await freePort(), await freePort()];
  const env = {
    HOME: home,
    XDG_CONFIG_HOME: join(home, 'config'),
    XDG_RUNTIME_DIR: join(home, 'runtime'),
    NODE_COMPILE_CACHE: join(folder, 'cache'),
    GATEHOUSE_HOME: join(home, 'data'),
    GATEHOUSE_PORT: String(port),
    GATEHOUSE_PROXY_PORT: String(proxyPort),
  };
  const began = performance.now();
  const server = await start(process.execPath, ['--disable-warning=ExperimentalWarning', program, 'serve'], /gatehouse is ready/, {
    env,
    cwd: home,
  });
  return { milliseconds: performance.now() - began, server };
}

function build(): void {
  const built = spawnSync(process.execPath, [...fromSource, join(root, 'tools', 'build.ts')], { encoding: 'utf8' });
  if (built.status !== 0 || !existsSync(program)) throw new Error(`the package does not build: ${built.stdout}${built.stderr}`);
}
