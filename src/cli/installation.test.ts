import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#kernel';
import { testWith } from '../../test/support/need.ts';
import { startRedis } from '../../test/support/redis.ts';
import { type Machine, openMachine, type Typed } from '../../test/support/typing.ts';

// A key and no passphrase: to derive one from a passphrase is slow on purpose.
let recipient: { readonly GATEHOUSE_BACKUP_RECIPIENT: string };
let key: string;
let machine: Machine;
let archives: string;
const typed = (...parameters: readonly string[]): Promise<Typed> => machine.type(parameters, { env: recipient });

beforeAll(async () => {
  machine = openMachine({ clock: systemClock });
  archives = join(machine.home, 'archives');
  key = join(machine.home, 'archives.key');
  const identity = await generateIdentity();
  writeFileSync(key, identity, { mode: 0o600 });
  recipient = { GATEHOUSE_BACKUP_RECIPIENT: await identityToRecipient(identity) };
});

/** Another data folder of the same person. */
function elsewhere(name: string): (...parameters: readonly string[]) => Promise<Typed> {
  const env = { ...recipient, GATEHOUSE_HOME: join(machine.home, name) };
  return (...parameters) => machine.type(parameters, { env });
}

describe('migrate', () => {
  test('says what it would run, runs it once, and lists it', async () => {
    expect((await typed('migrate', '--dry-run')).out).toMatch(/^would run 0001/m);
    expect((await typed('migrate', 'status')).err).toContain('gatehouse migrate\n');
    expect((await typed('migrate')).out).toMatch(/^migrated: 0001/);
    expect((await typed('migrate')).out).toBe('the database was up to date\n');
    expect((await typed('migrate', '--dry-run')).out).toBe('the database is up to date\n');
    const listed = await typed('migrate', 'status');
    expect([listed.out, listed.err]).toEqual([expect.stringMatching(/^0001\S* +applied +\d{4}-/m), '']);
    expect((await typed('migrate', 'status', '--json')).json()).toMatchObject({ dry_run: false, pending: [], newer: [], ran: [] });
    expect((await typed('migrate', 'stauts')).code).toBe(1);
  });
});

describe('pause and resume', () => {
  test('each says whether it changed anything', async () => {
    expect((await typed('pause')).out).toContain('paused: the next server to start waits');
    expect((await typed('pause')).out).toBe('it is paused already\n');
    expect((await typed('pause', '--json')).json()).toEqual({ paused: true, changed: false });
    expect((await typed('resume')).out).toContain('0 sessions and 0 runs ended');
    expect((await typed('resume')).out).toBe('it is not paused; nothing was changed\n');
    expect((await typed('resume', '--json')).json()).toMatchObject({ resumed: false });
  });
});

describe('backup and restore', () => {
  test('what is missing or no length of time is told', async () => {
    expect((await typed('backup')).err).toContain('--to');
    expect((await typed('backup', '--to', archives, '--keep', 'long')).err).toContain('90m, 12h or 7d');
    expect((await typed('backup', '--to', archives, '--keep', '0d')).code).toBe(1);
  });

  test('an archive is written, proven, and restored into an empty folder, paused', async () => {
    expect((await typed('backup', '--to', archives, '--dry-run')).out).toBe('nothing was written\n');
    const written = await typed('backup', '--to', archives);
    expect([written.code, written.out]).toEqual([0, expect.stringContaining('only its recipients can open it')]);
    const [name = ''] = readdirSync(archives);
    const archive = join(archives, name);
    const other = elsewhere('restored');
    expect((await other('restore', archive, '--identity', key, '--dry-run', '--json')).json()).toMatchObject({
      dry_run: true,
      missing_keys: [],
    });
    const restored = await other('restore', archive, '--identity', key);
    expect([restored.out, restored.err]).toEqual([expect.stringContaining('restored: '), expect.stringContaining('gatehouse resume')]);
    expect((await other('restore', archive, '--identity', key, '--json')).code).not.toBe(0);
    expect((await other('resume')).out).toContain('resumed');
  });

  test('the archives of a folder are listed with what was removed, as JSON too', async () => {
    const again = (await typed('backup', '--to', archives, '--keep', '7d', '--json')).json();
    expect(again).toMatchObject({ archive: { verified: 'file', rows: expect.any(Number) }, removed: [] });
    expect((await typed('backup', '--to', archives, '--dry-run', '--json')).json()).toEqual({ removed: [] });
  });

  test('repeated until it is told to stop; a failure is told and tried again', async () => {
    const file = join(machine.home, 'in-the-way');
    writeFileSync(file, '');
    let told = false;
    const { code, err } = await machine.type(['backup', '--to', file, '--every', '1h'], {
      env: recipient,
      watch: (said) => {
        if (told || !said.includes('error')) return;
        told = true;
        setImmediate(() => process.emit('SIGTERM'));
      },
    });
    expect([code, err]).toEqual([0, expect.stringContaining('the folder of the archives cannot be used (EEXIST)')]);
  });
});

describe('db copy', () => {
  test('previews, copies, goes on where it was, and says what comes next', async () => {
    const to = `sqlite:${join(machine.home, 'copied')}`;
    expect((await typed('db', 'copy')).err).toContain('--to');
    expect((await typed('db', 'copy', '--to', to, '--dry-run')).out).toContain('would be copied; nothing was changed');
    const copied = await typed('db', 'copy', '--to', to);
    expect([copied.out, copied.err]).toEqual([
      expect.stringContaining('rows are equal on both sides'),
      expect.stringContaining('repeat this command'),
    ]);
    const again = await machine.type(['db', 'copy', '--to', '-', '--json'], { input: `${to}\n` });
    expect(again.json()).toMatchObject({ dry_run: false, resumed: true, rows: expect.any(Number) });
  });
});

describe('vault move', () => {
  test('names the places there are', async () => {
    expect((await typed('vault', 'move', '--to', 'moon')).err).toContain('--to redis or --to database');
  });

  testWith('redis-server')('previews, moves, and tidies when there is nothing left to move', async () => {
    const redis = await startRedis();
    const env = { GATEHOUSE_REDIS_URL: `redis://127.0.0.1:${redis.port}`, GATEHOUSE_EPHEMERA: 'sql' };
    const move = (...parameters: readonly string[]) => machine.type(['vault', 'move', ...parameters], { env });
    expect((await move('--to', 'redis', '--dry-run')).out).toContain('would be moved to redis');
    const moved = await move('--to', 'redis');
    expect([moved.out, moved.err]).toEqual([expect.stringContaining('sha256'), expect.stringContaining('GATEHOUSE_VAULT_BACKEND=redis')]);
    expect((await move('--to', 'redis', '--dry-run')).out).toContain('would be removed');
    expect((await move('--to', 'redis')).out).toContain('were removed from the other place');
    expect((await move('--to', 'database', '--json')).json()).toMatchObject({ to: 'database', outcome: 'moved' });
  });
});
