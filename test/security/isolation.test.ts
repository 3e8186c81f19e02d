import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { execute, gatehouse, type Installation, install, setUp } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { makeAgent } from '../support/person.ts';

const root = join(import.meta.dirname, '..', '..');
let site: Installation;
let project: string;

beforeAll(async () => {
  site = await install();
  await setUp(site);
  await makeAgent(site);
  project = join(site.folder, 'project');
  mkdirSync(project);
}, 60_000);
afterAll(() => site?.close());

const isolated = (...program: readonly string[]) => site.command(['run', '--isolate', '--', ...program], { cwd: project });

testWith('unshare', 'python3')('what a shell left open does not lead out', async () => {
  const key = join(site.config, 'master.key');
  const left = `exec 9<'${key}' 200<'${key}' 201<'${site.home}'; exec "$@"`;
  const look = `
import os
for number in range(3, 256):
    try:
        print(number, os.listdir(number) if number == 201 else os.read(number, 9))
    except OSError: pass
print('end')`;
  const command = ['bash', '-c', left, 'bash', ...gatehouse, 'run', '--isolate', '--', '/usr/bin/python3', '-c', look] as const;
  const { code, stdout } = await execute(command, { env: { ...site.env }, cwd: project });
  expect([code, stdout]).toEqual([0, 'end\n']);
});

testWith('unshare', 'python3')('a socket of another program cannot be spoken to, wherever it lies, unless it is shown', async () => {
  const folder = mkdtempSync(join(process.getuid?.() === 0 ? '/var/lib' : root, '.gatehouse-socket-'));
  // Not in a place that is hidden anyway, and open to everybody.
  chmodSync(folder, 0o755);
  const path = join(folder, 'door.sock');
  const server = createServer((socket) => socket.end('through'));
  await new Promise<void>((resolve) => server.listen({ path, writableAll: true, readableAll: true }, resolve));
  try {
    const speak = `import socket; s = socket.socket(socket.AF_UNIX); s.connect('${path}'); print(s.recv(9).decode())`;
    const closed = await isolated('/usr/bin/python3', '-c', speak);
    expect([closed.code, closed.stdout]).toEqual([1, '']);
  } finally {
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true, force: true });
  }
});

testWith('unshare', 'python3')('no process outside can be seen, traced or signalled, and no namespace entered', async () => {
  const script = `
import ctypes, glob, os
libc = ctypes.CDLL(None, use_errno=True)
print('ptrace', libc.ptrace(16, 1, 0, 0))
for path in ['/proc/1/environ', '/proc/1/mem', '/proc/1/root/etc/passwd', '/proc/1/cwd', '/proc/1/fd/0', '/proc/kcore']:
    try: open(path, 'rb').read(1); print('opened', path)
    except OSError: pass
for kind in ['mnt', 'pid', 'user', 'net', 'ipc']:
    try:
        fd = os.open(f'/proc/1/ns/{kind}', os.O_RDONLY)
        print('entered', kind) if libc.setns(fd, 0) == 0 else None
    except OSError: pass
try: os.kill(1, 9); print('killed')
except OSError: pass
print('many' if len(glob.glob('/proc/[0-9]*')) > 6 else 'few')
`;
  const file = join(project, 'look.py');
  writeFileSync(file, script);
  const { stdout } = await isolated('/usr/bin/python3', file);
  expect(stdout).toBe('ptrace -1\nfew\n');
});
