import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { fakeClock, Secret } from '#kernel';
import { temporaryFolder } from '../../test/support/store.ts';
import { generateMasterKey, type KeyringSettings, loadKeyring, parseMasterKey } from './index.ts';

const parse = (text: string, production = false) => parseMasterKey(new Secret(text), production);
const good = generateMasterKey();
const malformed = expect.objectContaining({ code: 'master_key_malformed' });

function settings(parts: Partial<KeyringSettings> = {}): KeyringSettings {
  const folder = temporaryFolder();
  return { production: false, storeIsEmpty: true, defaultFile: join(folder, 'config', 'master.key'), clock: fakeClock(), ...parts };
}

function keyFile(text: string, mode = 0o600): string {
  const path = join(temporaryFolder(), 'master.key');
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

describe('a master key', () => {
  it('is 64 hexadecimal characters or 32 bytes in base64 or base64url, and one key in all of them', () => {
    const bytes = Buffer.from(good, 'hex');
    const forms = [
      good,
      good.toUpperCase(),
      bytes.toString('base64'),
      bytes.toString('base64url'),
      bytes.toString('base64').replace('=', ''),
      ` ${good}\n`,
    ];
    expect(new Set(forms.map((form) => parse(form, true).id)).size).toBe(1);
    expect(parse(good).id).toMatch(/^mk_[0-9a-f]{16}$/);
    expect(parse(generateMasterKey()).id).not.toBe(parse(good).id);
  });

  const bytes = Buffer.alloc(32, 0xff).toString('base64');
  it.each([
    ['nothing', ''],
    ['63 characters', 'a'.repeat(63)],
    ['65 characters', 'a'.repeat(65)],
    ['not hexadecimal', 'g'.repeat(64)],
    ['31 bytes', Buffer.alloc(31, 7).toString('base64')],
    ['33 bytes', Buffer.alloc(33, 7).toString('base64')],
    ['two alphabets at once', `+_${bytes.slice(2)}`],
    ['bits beyond the last byte', `${bytes.slice(0, 42)}9=`],
    ['two paddings', `${bytes}=`],
    ['a line break within', `${good.slice(0, 32)}\n${good.slice(32)}`],
    ['non-ASCII', 'é'.repeat(43)],
    ['a megabyte', 'a'.repeat(2 ** 20)],
  ])('of %s is refused with the command that makes a good one', (_, text) => {
    expect(() => parse(text)).toThrow(malformed);
    try {
      parse(text);
    } catch (error) {
      expect(error).toMatchObject({ hint: 'make a good one with: gatehouse keys generate' });
      if (text !== '') expect(String(error)).not.toContain(text);
    }
  });

  const sequence = Uint8Array.from({ length: 32 }, (_, i) => i);
  it.each([
    ['all zeroes', Buffer.alloc(32)],
    ['all equal', Buffer.alloc(32, 0xab)],
    ['repeated', Buffer.from('0123456789abcdef'.repeat(4), 'hex')],
    ['half of it twice', Buffer.concat([Buffer.from(good, 'hex').subarray(0, 16), Buffer.from(good, 'hex').subarray(0, 16)])],
    ['counted up', sequence],
    ['counted down', sequence.toReversed()],
    ['typed text', Buffer.from('change-me-please-32-characters!!')],
    ['a few different bytes', Buffer.from(sequence.map((i) => (i * i) % 19))],
  ])('that is %s is refused under production rules only', (_, bytes) => {
    const text = Buffer.from(bytes).toString('hex');
    expect(() => parse(text, true)).toThrow(malformed);
    expect(parse(text).id).toMatch(/^mk_/);
  });

  it('that is random is never refused', () => {
    for (let i = 0; i < 500; i++) parse(generateMasterKey(), true);
  });

  it('prints nothing of itself', () => {
    const key = parse(good);
    for (const text of [JSON.stringify(key), inspect(key, { depth: 9, showHidden: true }), String(key)]) expect(text).not.toContain(good);
  });
});

describe('the keyring', () => {
  it('holds the given value', async () => {
    const keyring = await loadKeyring(settings({ value: new Secret(good), storeIsEmpty: false, production: true }));
    expect(keyring.all()).toHaveLength(1);
    expect(keyring.current().id).toBe(parse(good).id);
    await keyring.reload();
    expect(keyring.find('mk_0000000000000000')).toBeUndefined();
  });

  it('refuses a value and a file at once', async () => {
    await expect(loadKeyring(settings({ value: new Secret(good), file: '/x' }))).rejects.toMatchObject({ code: 'invalid_setting' });
  });

  it('makes the default file, for its owner only, for an empty store without production rules', async () => {
    const given = settings();
    const keyring = await loadKeyring(given);
    expect(statSync(given.defaultFile).mode & 0o777).toBe(0o600);
    expect(statSync(join(given.defaultFile, '..')).mode & 0o777).toBe(0o700);
    const again = await loadKeyring({ ...given, storeIsEmpty: false, production: true });
    expect(again.current().id).toBe(keyring.current().id);
    expect(readdirSync(join(given.defaultFile, '..'))).toEqual(['master.key']);
  });

  it('never overwrites a file that is there', async () => {
    const given = settings();
    mkdirSync(join(given.defaultFile, '..'));
    writeFileSync(given.defaultFile, 'not a key', { mode: 0o600 });
    await expect(loadKeyring(given)).rejects.toEqual(malformed);
    expect(readFileSync(given.defaultFile, 'utf8')).toBe('not a key');
  });

  it.each<[string, Partial<KeyringSettings>]>([
    ['under production rules', { production: true }],
    ['for a store that holds something', { storeIsEmpty: false }],
  ])('makes no file %s', async (_, parts) => {
    const given = settings(parts);
    await expect(loadKeyring(given)).rejects.toMatchObject({ code: 'master_key_missing' });
    expect(existsSync(given.defaultFile)).toBe(false);
  });

  it('makes no file where a setting names one', async () => {
    const file = join(temporaryFolder(), 'named.key');
    await expect(loadKeyring(settings({ file }))).rejects.toMatchObject({ code: 'master_key_missing' });
    expect(existsSync(file)).toBe(false);
  });

  it('refuses a file in the data folder', async () => {
    const dataFolder = temporaryFolder();
    const inside = { dataFolder, defaultFile: join(dataFolder, 'sub', 'master.key') };
    await expect(loadKeyring(settings(inside))).rejects.toMatchObject({ code: 'invalid_setting' });
    expect((await loadKeyring(settings({ dataFolder }))).all()).toHaveLength(1);
  });

  it('reads the plain text of one key', async () => {
    const keyring = await loadKeyring(settings({ file: keyFile(`${good}\n`), production: true }));
    expect(keyring.current().id).toBe(parse(good).id);
  });

  it.each([0o640, 0o604, 0o660, 0o644, 0o666, 0o601])('refuses a file of mode %o', async (mode) => {
    await expect(loadKeyring(settings({ file: keyFile(good, mode) }))).rejects.toMatchObject({ code: 'invalid_setting' });
  });

  it('refuses a folder', async () => {
    await expect(loadKeyring(settings({ file: temporaryFolder() }))).rejects.toMatchObject({ code: 'invalid_setting' });
  });

  const id = parse(good).id;
  const entry = { id, key: good, created_at: 1 };
  it.each<[string, unknown]>([
    ['an empty file', ''],
    ['cut JSON', `{"version":1,"keys":[{"id":"${id}","key":"${good}`],
    ['another version', { version: 2, keys: [entry] }],
    ['no key', { version: 1, keys: [] }],
    ['an unknown member', { version: 1, keys: [entry], more: 1 }],
    ['a key under another id', { version: 1, keys: [{ ...entry, id: 'mk_0000000000000000' }] }],
    ['a key twice', { version: 1, keys: [entry, entry] }],
    ['a short key', { version: 1, keys: [{ ...entry, key: 'abc' }] }],
    ['a time that is none', { version: 1, keys: [{ ...entry, created_at: -1 }] }],
    ['far too much', `{${' '.repeat(70_000)}}`],
  ])('refuses %s, and repeats nothing of it', async (_, content) => {
    const file = keyFile(typeof content === 'string' ? content : JSON.stringify(content));
    const failure = await loadKeyring(settings({ file })).catch((error: unknown) => error);
    expect(failure).toEqual(malformed);
    expect(String(failure)).not.toContain(good);
    expect(JSON.stringify(failure, Object.getOwnPropertyNames(failure))).not.toContain(good);
  });

  it('wraps with the newest key and keeps the oldest for codes', async () => {
    const [first, second] = [generateMasterKey(), generateMasterKey()];
    const keys = [
      { id: parse(second).id, key: second, created_at: 20 },
      { id: parse(first).id, key: first, created_at: 10 },
    ];
    const keyring = await loadKeyring(settings({ file: keyFile(JSON.stringify({ version: 1, keys })) }));
    expect(keyring.current().id).toBe(parse(second).id);
    expect(keyring.oldest().id).toBe(parse(first).id);
  });

  it('is one key for any number of processes that start at once', async () => {
    const defaultFile = join(temporaryFolder(), 'config', 'master.key');
    const program = `
      import { loadKeyring } from '#vault';
      const keyring = await loadKeyring({ production: false, storeIsEmpty: true, defaultFile: ${JSON.stringify(defaultFile)} });
      process.stdout.write(keyring.current().id);`;
    const ids = await Promise.all([
      ...Array.from({ length: 4 }, () => runProgram(program)),
      ...Array.from({ length: 10 }, async () => (await loadKeyring(settings({ defaultFile }))).current().id),
    ]);
    expect(new Set(ids).size).toBe(1);
    expect(readdirSync(join(defaultFile, '..'))).toEqual(['master.key']);
  });
});

describe('adding a master key', () => {
  it('keeps the old ones and makes the new one current, also to who holds the keyring already', async () => {
    const clock = fakeClock();
    const given = settings({ clock });
    const keyring = await loadKeyring(given);
    const old = keyring.current().id;
    clock.set(0);
    const other = await loadKeyring(given);
    const added = await other.add();
    expect(keyring.current().id).toBe(old);
    await keyring.reload();
    for (const one of [keyring, other]) expect(one.current().id).toBe(added);
    expect(keyring.oldest().id).toBe(old);
    expect(statSync(given.defaultFile).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(given.defaultFile, '..'))).toEqual(['master.key', 'master.key.lock']);
    expect(statSync(`${given.defaultFile}.lock`).mode & 0o777).toBe(0o600);
  });

  it('turns the plain text of one key into a file of two', async () => {
    const file = keyFile(good);
    const keyring = await loadKeyring(settings({ file }));
    const added = await keyring.add();
    expect(keyring.all().map((key) => key.id)).toEqual([parse(good).id, added]);
  });

  it('twenty times at once adds twenty', async () => {
    const file = keyFile(good);
    const added = await Promise.all(Array.from({ length: 20 }, async () => (await loadKeyring(settings({ file }))).add()));
    const keyring = await loadKeyring(settings({ file }));
    expect(keyring.all()).toHaveLength(21);
    for (const id of added) expect(keyring.find(id)).toBeDefined();
  });

  it('at once in twelve processes that find a lock left by one that died adds every key', async () => {
    const file = keyFile(good);
    writeFileSync(`${file}.lock`, '');
    utimesSync(`${file}.lock`, new Date(0), new Date(0));
    const program = `
      import { loadKeyring } from '#vault';
      const keyring = await loadKeyring({ production: false, storeIsEmpty: false, defaultFile: '', file: ${JSON.stringify(file)} });
      const added = [];
      for (let i = 0; i < 2; i++) added.push(await keyring.add());
      process.stdout.write(added.join());`;
    const added = (await Promise.all(Array.from({ length: 12 }, () => runProgram(program)))).flatMap((output) => output.split(','));
    const keyring = await loadKeyring(settings({ file }));
    expect(keyring.all().map(({ id }) => id)).toEqual(expect.arrayContaining(added));
    expect(new Set(added).size).toBe(24);
  });

  it('waits for nobody who died, and takes nothing from who is only slow', async () => {
    const file = keyFile(good);
    const holder = spawnProgram(`
      import { alone } from './src/vault/key-lock.ts';
      await alone(${JSON.stringify(`${file}.lock`)}, async () => {
        process.stdout.write('held');
        await new Promise((resolve) => setTimeout(resolve, 600_000));
      });`);
    await once(holder.stdout, 'data');
    utimesSync(`${file}.lock`, new Date(0), new Date(0));
    const keyring = await loadKeyring(settings({ file }));
    await expect(keyring.add()).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('Another process') });
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    const added = await keyring.add();
    expect(keyring.current().id).toBe(added);
  });

  it('needs a file, and one that is whole', async () => {
    const file = keyFile(good);
    const keyring = await loadKeyring(settings({ file }));
    writeFileSync(file, '{"version":1}');
    await expect(keyring.add()).rejects.toEqual(malformed);
    expect(readFileSync(file, 'utf8')).toBe('{"version":1}');
    rmSync(file);
    await expect(keyring.add()).rejects.toMatchObject({ code: 'master_key_missing' });
    rmSync(dirname(file), { recursive: true });
    await expect(keyring.add()).rejects.toMatchObject({ code: 'master_key_missing' });
  });

  it('is not for a key that was given as a value', async () => {
    const keyring = await loadKeyring(settings({ value: new Secret(good) }));
    await expect(keyring.add()).rejects.toMatchObject({ code: 'invalid_setting' });
  });
});

function spawnProgram(program: string) {
  return spawn(process.execPath, ['--conditions=gatehouse-source', '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

function runProgram(program: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawnProgram(program);
    let output = '';
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString();
    });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve(output) : reject(new Error(`the program ended with ${code}`))));
  });
}
