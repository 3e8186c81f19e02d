import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { execute } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { makeWorld, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await makeWorld();
  await world.site.stop();
}, 90_000);
afterAll(() => world?.close());

testWith('curl')('with no server a run starts one for itself, as a process of its own, and ends it', async () => {
  const { code, stdout, stderr } = await world.run(['curl', '-sS', `${world.api}/status/200`]);
  expect([code, stdout, stderr]).toEqual([0, expect.stringContaining('ok'), expect.stringContaining('cooperative')]);
  expect(world.upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${world.canary}`);
  const { code: status } = await world.site.command(['status']);
  expect([status, existsSync(join(world.site.env.XDG_RUNTIME_DIR as string, 'gatehouse', 'gatehouse.sock'))]).toEqual([9, false]);
});

testWith('script')('on a terminal the program has it, and an interrupt reaches the program alone', async () => {
  const program = `trap 'echo interrupted; exit 3' INT; test -t 0 && test -t 1 && echo terminal; kill -INT -$$ 2>/dev/null || kill -INT $$; sleep 1`;
  const [node, ...flags] = [process.execPath, '--conditions=gatehouse-source', '--disable-warning=ExperimentalWarning'];
  const command = join(import.meta.dirname, '../../src/bin/gatehouse.ts');
  const line = [node, ...flags, command, 'run', '--', 'sh', '-c', program]
    .map((word) => `'${String(word).replaceAll("'", "'\\''")}'`)
    .join(' ');
  await world.site.start();
  const { code, stdout } = await execute(['script', '-qec', line, '/dev/null'], {
    env: { ...world.site.env, TERM: 'xterm' },
    cwd: world.site.folder,
  });
  expect([code, stdout]).toEqual([3, expect.stringMatching(/terminal[\s\S]*interrupted/)]);
});
