import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../test/support/installation.ts';
import { limit, type Row } from '../row.ts';
import { type Child, fromSource, root, start } from '../support/child.ts';
import { cpuSeconds, residentMegabytes } from '../support/cpu.ts';

const rounds = 5;
const program = join(root, 'dist', 'bin', 'gatehouse.js');

/** From the process's start to `/health/ready`, on an empty store each time, with the compile cache that the first one left. */
export async function measure(): Promise<readonly Row[]> {
  build();
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-bench-'));
  try {
    const taken: number[] = [];
    const worked: number[] = [];
    const resident: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const { milliseconds, cpu, server } = await startOnce(folder, String(round));
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      if (round > 0) {
        taken.push(milliseconds);
        worked.push(cpu);
        resident.push(residentMegabytes(server.pid));
      }
      await server.stop();
    }
    return [
      limit('start to ready, built, empty store', 'ms', taken, '≤ 1000'),
      // What the clock would say with the machine to itself.
      limit('start to ready, built, empty store: its CPU', 'ms CPU', worked, '≤ 1000'),
      limit('idle memory', 'MB', resident, '≤ 150'),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startOnce(
  folder: string,
  name: string,
): Promise<{ readonly milliseconds: number; readonly cpu: number; readonly server: Child }> {
  const home = join(folder, name);
  mkdirSync(join(home, 'runtime'), { recursive: true, mode: 0o700 });
  const [port, proxyPort] = [await freePort(), await freePort()];
  const env = {
    HOME: home,
    XDG_CONFIG_HOME: join(home, 'config'),
    XDG_RUNTIME_DIR: join(home, 'runtime'),
    XDG_CACHE_HOME: join(folder, 'cache'),
    GATEHOUSE_HOME: join(home, 'data'),
    GATEHOUSE_PORT: String(port),
    GATEHOUSE_PROXY_PORT: String(proxyPort),
  };
  const began = performance.now();
  const server = await start(process.execPath, ['--disable-warning=ExperimentalWarning', program, 'serve'], /gatehouse is ready/, {
    env,
    cwd: home,
  });
  await untilReady(port);
  return { milliseconds: performance.now() - began, cpu: cpuSeconds(server.pid) * 1000, server };
}

async function untilReady(port: number): Promise<void> {
  while ((await statusOf(`http://127.0.0.1:${port}/health/ready`)) !== 200) await new Promise((resolve) => setTimeout(resolve, 5));
}

function statusOf(url: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = get(url, { agent: false }, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode));
    });
    asked.once('error', reject);
  });
}

function build(): void {
  const built = spawnSync(process.execPath, [...fromSource, join(root, 'tools', 'build.ts')], { encoding: 'utf8' });
  if (built.status !== 0 || !existsSync(program)) throw new Error(`the package does not build: ${built.stdout}${built.stderr}`);
}
