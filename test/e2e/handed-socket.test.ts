import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { kinds, newDatabase } from '../support/databases.ts';
import { execute, freePort, gatehouse } from '../support/installation.ts';
import { python, testWith } from '../support/need.ts';

const folder = mkdtempSync(join(tmpdir(), 'gatehouse-handed-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Opens the socket and becomes the server, as systemd hands one over (sd_listen_fds(3)). */
const hand = `
import os, socket, sys
held = socket.create_server((sys.argv[1], int(sys.argv[2])))
os.dup2(held.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')
os.execvp(sys.argv[3], sys.argv[3:])`;

const handing = (address: string, port: number) => [python, '-c', hand, address, String(port), ...gatehouse, 'serve'];
const environment = async (name: string) => ({
  PATH: process.env.PATH ?? '',
  HOME: join(folder, name),
  GATEHOUSE_PORT: String(await freePort()),
  GATEHOUSE_PROXY_PORT: '0',
});

testWith('python3')('a socket that was open before the server is where it answers, and nowhere else', async () => {
  const [port, env] = [await freePort(), await environment('loopback')];
  const answers: Promise<number | string>[] = [];
  const ask = (at: string | number) =>
    fetch(`http://127.0.0.1:${at}/health`).then(
      ({ status }) => status,
      () => 'nobody',
    );
  const { code } = await execute(handing('127.0.0.1', port), {
    env,
    cwd: folder,
    watch(output, child) {
      if (answers.length > 0 || !output.includes('gatehouse is ready')) return;
      answers.push(ask(port), ask(env.GATEHOUSE_PORT));
      void Promise.all(answers).then(() => child.kill('SIGTERM'));
    },
  });
  expect([code, ...(await Promise.all(answers))]).toEqual([0, 200, 'nobody']);
});

const [kind] = kinds;

testWith('python3', ...(kind?.needs ?? []))(
  'several workers answer on it, also after they were restarted',
  async () => {
    if (kind === undefined) throw new Error('there is no database server to try');
    const { url, schema } = await newDatabase(kind);
    const port = await freePort();
    const env = {
      ...(await environment('workers')),
      GATEHOUSE_WORKERS: '2',
      GATEHOUSE_PUBLIC_URL: 'https://gatehouse.example.test',
      GATEHOUSE_DATABASE_URL: url,
      GATEHOUSE_DATABASE_SCHEMA: schema,
      GATEHOUSE_MASTER_KEY: randomBytes(32).toString('hex'),
    };
    const answers: number[] = [];
    const ask = async (times: number) => {
      for (let turn = 0; turn < times; turn++) {
        const { status } = await fetch(`http://127.0.0.1:${port}/health/ready`, { headers: { connection: 'close' } });
        answers.push(status);
      }
    };
    const steps: Promise<unknown>[] = [];
    const { code, stdout, stderr } = await execute(handing('127.0.0.1', port), {
      env,
      cwd: folder,
      watch(output, child) {
        if (steps.length === 0 && output.includes('every worker serves')) {
          steps.push(ask(20).then(() => child.kill('SIGUSR2')));
        }
        if (steps.length === 1 && output.includes('every worker was restarted')) {
          steps.push(ask(20).finally(() => child.kill('SIGTERM')));
        }
      },
    });
    await Promise.all(steps);
    expect([code, answers], stdout + stderr).toEqual([0, Array(40).fill(200)]);
  },
  60_000,
);

testWith('python3', 'unshare')('one that faces outward is refused without the production rules', async () => {
  // In a network of its own, so that it faces nobody.
  const alone = ['unshare', '--user', '--map-root-user', '--net', ...handing('0.0.0.0', 7300)];
  const { code, stdout, stderr } = await execute(alone, { env: await environment('outward'), cwd: folder });
  expect([code, stdout.includes('is ready'), stderr]).toEqual([1, false, expect.stringContaining('faces outward')]);
});
