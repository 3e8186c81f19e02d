import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { gzipSync } from 'node:zlib';
import { Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { describe, expect, test as plainTest } from 'vitest';
import { newId, Secret, silentLog, systemClock } from '#kernel';
import { type DatabasePlace, type Key, type Lock, openSealedOnRedis, openStore, restoreArchive, writeArchive } from '#store';
import { migrations } from '../../src/store/migrations/index.ts';
import { digesting } from '../../src/store/moving/rows.ts';
import { kinds, newDatabase } from '../support/databases.ts';
import { addConnections, type Filled, openAll, openFilled } from '../support/filled.ts';
import { count, hasProgram, testWith } from '../support/need.ts';
import { startRedis } from '../support/redis.ts';
import { openTestStore, temporaryFolder } from '../support/store.ts';

const many = count(1_500, 100_000);
const patience = count(180_000, 1_200_000);
const test = testWith(...kinds.flatMap(({ needs }) => needs));
const files = (): DatabasePlace => ({ home: temporaryFolder() });
const homeOf = ({ people }: Filled): DatabasePlace => ({ home: people.store.home });

const identity = await generateX25519Identity();
const lock: Lock = { recipients: [await identityToRecipient(identity)] };
const key: Key = { identities: [new Secret(identity)] };

const archive = () => join(temporaryFolder(), 'one.age');
const write = (from: DatabasePlace, path: string, given: Partial<Parameters<typeof writeArchive>[0]> = {}) =>
  writeArchive({ from, sealed: undefined, path, lock, version: '1.2.3', clock: systemClock, ...given });
const restore = (path: string, to: DatabasePlace, given: Partial<Parameters<typeof restoreArchive>[0]> = {}) =>
  restoreArchive({ path, key, to, sealed: undefined, clock: systemClock, ...given });

async function onServer(index: number): Promise<DatabasePlace> {
  const kind = kinds[index];
  if (kind === undefined) throw new Error('no such kind of database');
  return { home: '', database: await newDatabase(kind) };
}

async function opened<T>(place: DatabasePlace, work: (store: Awaited<ReturnType<typeof openStore>>) => Promise<T>): Promise<T> {
  const home = place.home === '' ? temporaryFolder() : place.home;
  const store = await openStore({ ...place, home, ephemera: 'memory', clock: systemClock, log: silentLog });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** That nobody could serve what lies there, and that it holds nothing. */
async function expectUntouched({ home }: DatabasePlace): Promise<void> {
  if (!existsSync(join(home, 'gatehouse.db'))) return;
  await opened({ home }, async (store) => expect(await store.isEmpty()).toBe(true));
}

test(
  `an archive of ${many} connections goes from SQLite to PostgreSQL to MariaDB to SQLite, and each opens`,
  async () => {
    const filled = await openFilled(many);
    const places = [homeOf(filled), await onServer(0), await onServer(1), files()] as const;
    const contents = [];
    for (const [index, to] of places.slice(1).entries()) {
      const path = archive();
      const began = performance.now();
      const { bytes } = await write(places[index] as DatabasePlace, path);
      const written = performance.now();
      contents.push((await restore(path, to)).tables);
      const [first, second] = [written - began, performance.now() - written].map((ms) => (ms / 1000).toFixed(1));
      process.stdout.write(`${many} connections: backup ${first} s, ${bytes} bytes, restore ${second} s\n`);
      await opened(to, async (store) => expect(await store.standing()).toMatchObject({ state: 'paused', by: 'restore' }));
    }
    expect(contents[1]).toEqual(contents[0]);
    expect(contents[2]).toEqual(contents[0]);
    await opened(places[3], async (store) => expect(await openAll(filled, store)).toBe(many));
  },
  patience,
);

plainTest(
  'an archive is one state, of an installation that is written to meanwhile',
  async () => {
    const filled = await openFilled(800);
    const { people, vaults } = filled;
    let count = 800;
    let writing = true;
    const writer = (async () => {
      while (writing) await addConnections(people, vaults, count, ++count);
    })();
    const path = archive();
    await write(homeOf(filled), path);
    writing = false;
    await writer;
    const target = files();
    await restore(path, target);
    await opened(target, async (store) => {
      const { n } = await store.records.platform('test').read(({ db }) =>
        db
          .selectFrom('connections')
          .select(({ fn }) => fn.countAll<number>().as('n'))
          .executeTakeFirstOrThrow(),
      );
      expect(Number(n)).toBeGreaterThanOrEqual(800);
      expect(await openAll({ ...filled, count: Number(n) - 1 }, store)).toBe(Number(n) - 1);
    });
  },
  60_000,
);

plainTest('a restore that was overtaken writes and removes nothing any more in what is perhaps served by now', async () => {
  const path = archive();
  await write(homeOf(await openFilled(600)), path);
  const target = files();
  let told = false;
  const overtaken = restore(path, target, {
    onProgress({ step }) {
      if (told || step !== 'restoring') return;
      told = true;
      const database = new DatabaseSync(join(target.home, 'gatehouse.db'));
      database.exec(`delete from platform_facts where name = 'standing'; insert into platform_facts values ('of another', 'kept', 1)`);
      database.close();
    },
  });
  await expect(overtaken).rejects.toMatchObject({ code: 'conflict' });
  await opened(target, async (store) => {
    const facts = await store.records
      .platform('test')
      .read(({ db }) => db.selectFrom('platform_facts').select(['name', 'value']).execute());
    expect(facts).toEqual([{ name: 'of another', value: 'kept' }]);
  });
});

/** An archive of these lines, well encrypted: its public key is all that one needs to make it. */
async function archiveOf(lines: readonly unknown[]): Promise<string> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(await identityToRecipient(identity));
  const path = archive();
  writeFileSync(
    path,
    await encrypter.encrypt(gzipSync(lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join(''))),
  );
  return path;
}

const manifest = {
  gatehouse: 'backup',
  format: 1,
  version: '1',
  at: 1,
  origin: 'x',
  migrations: migrations.map(({ name }) => name),
  master_keys: [],
  sealed: 'database',
};

describe('an archive', () => {
  plainTest('is for its owner only, tells nothing, has its name only once it is whole, and opens with the tool age', async () => {
    const filled = await openFilled(20);
    const path = archive();
    const { sha256, verified, manifest } = await write(homeOf(filled), path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(path, '..'))).toEqual(['one.age']);
    const bytes = readFileSync(path);
    expect(bytes.subarray(0, 21).toString()).toBe('age-encryption.org/v1');
    for (const word of ['connections', 'example-api', 'ada@example.com', manifest.origin]) expect(bytes.includes(word)).toBe(false);
    expect([sha256, verified]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), 'file']);
    expect(manifest.master_keys).toEqual(filled.people.keyring.all().map(({ id }) => id));
    if (!hasProgram('age')) return;
    const keyFile = join(temporaryFolder(), 'key');
    writeFileSync(keyFile, identity);
    const plain = execFileSync('sh', ['-c', `age -d -i ${keyFile} ${path} | gunzip`], { encoding: 'utf8' });
    expect(plain.split('\n')[0]).toContain('"gatehouse":"backup"');
  });

  plainTest('never holds a master key', async () => {
    const filled = await openFilled(2);
    const path = archive();
    await write(homeOf(filled), path);
    const { Decrypter } = await import('age-encryption');
    const decrypter = new Decrypter();
    decrypter.addIdentity(identity);
    const { gunzipSync } = await import('node:zlib');
    const plain = gunzipSync(await decrypter.decrypt(readFileSync(path)));
    for (const master of filled.people.keyring.all()) {
      const raw = master.key.export();
      for (const form of [raw, raw.toString('hex'), raw.toString('base64')]) expect(plain.includes(form)).toBe(false);
    }
    expect(plain.includes('credential 0')).toBe(false);
  });
});

describe('is refused, and nothing is restored:', () => {
  async function made(): Promise<{ readonly bytes: Buffer; readonly path: string }> {
    const filled = await openFilled(60);
    const path = archive();
    await write(homeOf(filled), path);
    return { bytes: readFileSync(path), path };
  }

  async function expectRefused(path: string, code: string, given: Partial<Parameters<typeof restoreArchive>[0]> = {}): Promise<void> {
    const target = files();
    await expect(restore(path, target, given)).rejects.toMatchObject({ code });
    await expectUntouched(target);
  }

  plainTest('a wrong key', async () => {
    const { path } = await made();
    await expectRefused(path, 'backup_key_wrong', { key: { identities: [new Secret(await generateX25519Identity())] } });
    await expectRefused(path, 'invalid_usage', { key: { identities: [new Secret('nonsense')] } });
  });

  plainTest(
    'an archive that was cut anywhere',
    async () => {
      const { bytes, path } = await made();
      for (const length of [0, 10, 100, bytes.length >> 1, bytes.length - 17, bytes.length - 1]) {
        writeFileSync(path, bytes.subarray(0, length));
        await expectRefused(path, 'backup_damaged');
      }
      writeFileSync(path, Buffer.concat([bytes, Buffer.from('x')]));
      await expectRefused(path, 'backup_damaged');
    },
    60_000,
  );

  plainTest(
    'an archive of which a byte was changed',
    async () => {
      const { bytes, path } = await made();
      for (let tries = 0; tries < 12; tries++) {
        const changed = Buffer.from(bytes);
        const at = 250 + Math.floor(((bytes.length - 250) * tries) / 12);
        changed[at] = (changed[at] as number) ^ 1;
        writeFileSync(path, changed);
        await expectRefused(path, 'backup_damaged');
      }
    },
    60_000,
  );

  const none = '0'.repeat(64);

  plainTest.each<[string, string, readonly unknown[]]>([
    ['an older format', 'backup_format', [{ ...manifest, format: 0 }, { end: [] }]],
    ['a newer format', 'backup_format', [{ ...manifest, format: 2 }, { end: [] }]],
    ['another schema', 'backup_format', [{ ...manifest, migrations: ['0000-none'] }, { end: [] }]],
    ['nothing at all', 'backup_damaged', []],
    ['text', 'backup_damaged', ['hello']],
    ['no end', 'backup_damaged', [manifest]],
    ['something after the end', 'backup_damaged', [manifest, { end: [] }, ['users', {}]]],
    ['a row that its end does not know', 'backup_damaged', [manifest, ['users', { row: 1 }], { end: [] }]],
    [
      'an end that tells of other rows',
      'backup_damaged',
      [manifest, ['users', { row: 1 }], { end: [{ table: 'users', rows: 1, sha256: none }] }],
    ],
    ['a line that is no row', 'backup_damaged', [manifest, ['users'], { end: [] }]],
  ])('an archive that holds %s', async (_, code, lines) => {
    await expectRefused(await archiveOf(lines), code);
  });

  plainTest('an archive whose line does not end is read no further than any row is long', async () => {
    const value = 'x'.repeat(70 * 1024 * 1024);
    const digest = digesting('platform_facts');
    digest.add({ name: 'long', value, version: 1 });
    const lines = [manifest, ['platform_facts', { name: 'long', value, version: 1 }], { end: [digest.end()] }];
    const path = await archiveOf(lines);
    expect(statSync(path).size).toBeLessThan(1_000_000);
    await expect(restore(path, files())).rejects.toMatchObject({ code: 'backup_damaged', message: expect.stringContaining('a line') });
  });

  plainTest('a file of another kind, and one that is not there', async () => {
    const path = archive();
    writeFileSync(path, randomBytes(5_000));
    await expectRefused(path, 'backup_damaged');
    await expectRefused(join(path, 'none'), 'not_found');
    await expectRefused(temporaryFolder(), 'not_found');
  });

  plainTest('a database that holds something', async () => {
    const { path } = await made();
    const other = await openFilled(2);
    await expect(restore(path, homeOf(other))).rejects.toMatchObject({ code: 'store_not_empty' });
    await opened(homeOf(other), async (store) => expect(await openAll(other, store)).toBe(2));
    await expect(restore(path, homeOf(other), { dryRun: true })).rejects.toMatchObject({ code: 'store_not_empty' });
  });
});

plainTest('a dry run reads to the end and makes nothing', async () => {
  const filled = await openFilled(5);
  const path = archive();
  await write(homeOf(filled), path);
  const target = { home: join(temporaryFolder(), 'none') };
  expect((await restore(path, target, { dryRun: true })).tables.find(({ table }) => table === 'connections')?.rows).toBe(5);
  expect(existsSync(target.home)).toBe(false);
});

plainTest('a backup that cannot be written leaves no file behind', async () => {
  const filled = await openFilled(1);
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'one.age'));
  await expect(write(homeOf(filled), join(folder, 'one.age'))).rejects.toThrow();
  expect(readdirSync(folder)).toEqual(['one.age']);
  await expect(write(files(), archive())).rejects.toMatchObject({ code: 'not_found' });
});

testWith('redis-server')(
  'sealed values that lie on Redis are in it, and go to the Redis of the restored',
  async () => {
    const [from, to] = [await startRedis(), await startRedis()];
    const optionsOf = ({ port }: { port: number }) => ({
      url: new Secret(`redis://127.0.0.1:${port}`),
      connectTimeout: 5_000,
      commandTimeout: 5_000,
    });
    const filled = await openFilled(700, { sealed: 'redis', redis: optionsOf(from) });
    const [here, there] = [
      await openSealedOnRedis(optionsOf(from), systemClock, silentLog),
      await openSealedOnRedis(optionsOf(to), systemClock, silentLog),
    ];
    const path = archive();
    await here.store.put(`vault:${newId('vlt')}:example-api:connection:c0`, Buffer.from('of another installation'), 0);
    await expect(write(homeOf(filled), path)).rejects.toMatchObject({ code: 'invalid_setting' });
    await write(homeOf(filled), path, { sealed: here.store });
    const target = files();
    await expect(restore(path, target)).rejects.toMatchObject({ code: 'invalid_setting' });
    await there.store.put('vault:other', Buffer.from('x'), 0);
    await restore(path, target, { sealed: there.store });
    here.close();
    const store = await openTestStore({ ...target, sealed: 'redis', redis: optionsOf(to), clock: 'system' });
    expect(await openAll(filled, store)).toBe(700);
    expect(await there.store.list('vault:', { limit: 1000 })).toHaveLength(701);
    await expect(restore(path, files(), { sealed: there.store })).resolves.toBeDefined();
    const key = (await there.store.list('vault:vlt', { limit: 1 }))[0] ?? '';
    await there.store.put(key, Buffer.from('changed since'), (await there.store.get(key))?.version ?? 0);
    const third = files();
    await expect(restore(path, third, { sealed: there.store })).rejects.toMatchObject({ code: 'store_not_empty' });
    await expectUntouched(third);
    there.close();
  },
  patience,
);

testWith('redis-server')('an archive that somebody else made writes nothing to Redis but values of vaults', async () => {
  const { port, admin } = await startRedis();
  const options = { url: new Secret(`redis://127.0.0.1:${port}`), connectTimeout: 5_000, commandTimeout: 5_000 };
  const { store, close } = await openSealedOnRedis(options, systemClock, silentLog);
  const before = await admin.keys('*');
  for (const key of ['gatehouse:ephemera:rate:x', 'of another program', 'vault:', 'vault:vlt_x:y', 7]) {
    const row = { key, envelope: Buffer.from('planted') };
    const digest = digesting('sealed_on_redis');
    digest.add(row);
    const lines = [
      { ...manifest, sealed: 'redis' },
      ['sealed_on_redis', { key, envelope: { b: row.envelope.toString('base64') } }],
      { end: [digest.end()] },
    ];
    const target = files();
    await expect(restore(await archiveOf(lines), target, { sealed: store })).rejects.toMatchObject({ code: 'backup_damaged' });
    await expectUntouched(target);
  }
  expect(await admin.keys('*')).toEqual(before);
  close();
});
