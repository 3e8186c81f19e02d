import { spawn } from 'node:child_process';
import { expect } from 'vitest';
import { isFault, newId, Secret, silentLog, systemClock } from '#kernel';
import { copyDatabase, type DatabasePlace, moveSealed, openSealedOnRedis, type SealedStore } from '#store';
import { kinds, newDatabase } from '../support/databases.ts';
import { type Filled, openAll, openFilled } from '../support/filled.ts';
import { gatehouse, until } from '../support/installation.ts';
import { count, testWith } from '../support/need.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { openTestStore, type TestStore, temporaryFolder } from '../support/store.ts';

const test = testWith('redis-server');
const patience = 120_000;
const placeOf = ({ people }: Filled): DatabasePlace => ({ home: people.store.home });
const redisOf = ({ port }: RedisServer, prefix?: string) => ({
  url: new Secret(`redis://127.0.0.1:${port}`),
  connectTimeout: 5_000,
  commandTimeout: 5_000,
  ...(prefix === undefined ? {} : { prefix }),
});

async function withRedis<T>(server: RedisServer, work: (sealed: SealedStore) => Promise<T>, prefix?: string): Promise<T> {
  const held = await openSealedOnRedis(redisOf(server, prefix), systemClock, silentLog);
  try {
    return await work(held.store);
  } finally {
    held.close();
  }
}

const move = (
  server: RedisServer,
  database: DatabasePlace,
  to: 'redis' | 'database',
  more: { settle?: number; dryRun?: boolean; prefix?: string } = {},
) => withRedis(server, (redis) => moveSealed({ database, redis, to, settle: 0, clock: systemClock, ...more }), more.prefix);

const kept = ({ admin }: RedisServer) => admin.keys('vault:*');

/** The installation as a server with this setting opens it. */
function served(database: DatabasePlace, sealed: 'database' | 'redis', server: RedisServer, prefix?: string): Promise<TestStore> {
  return openTestStore({
    ...database,
    ...(database.home === '' ? { home: temporaryFolder() } : {}),
    sealed,
    redis: redisOf(server, prefix),
  });
}

async function opens(
  filled: Filled,
  database: DatabasePlace,
  sealed: 'database' | 'redis',
  server: RedisServer,
  prefix?: string,
): Promise<number> {
  const store = await served(database, sealed, server, prefix);
  try {
    return await openAll(filled, store);
  } finally {
    await store.close();
  }
}

test(
  'every value goes to Redis and back, under its literal key, as the ciphertext it is, and nothing stays behind',
  async () => {
    const server = await startRedis();
    const filled = await openFilled(1_200);
    const { store } = filled.people;
    await store.close();
    const told = await move(server, placeOf(filled), 'redis', { dryRun: true });
    expect(told).toMatchObject({ outcome: 'would move', values: 1_200 });
    expect(await kept(server)).toEqual([]);
    const moved = await move(server, placeOf(filled), 'redis');
    expect(moved).toMatchObject({ outcome: 'moved', values: 1_200, removed: 1_200 });
    const keys = await kept(server);
    expect(keys).toHaveLength(1_200);
    expect(keys.every((key) => /^vault:vlt_[0-9a-z]{26}:example-api:connection:c\d+$/.test(key))).toBe(true);
    for (const key of keys.slice(0, 50)) expect((await server.admin.getBuffer(key))?.includes('credential')).toBe(false);
    expect(await opens(filled, placeOf(filled), 'redis', server)).toBe(1_200);
    await expect(served(placeOf(filled), 'database', server)).rejects.toMatchObject({ code: 'invalid_setting' });
    const back = await move(server, placeOf(filled), 'database');
    expect([back.values, back.removed, back.sha256]).toEqual([1_200, 1_200, moved.sha256]);
    expect(await kept(server)).toEqual([]);
    expect(await opens(filled, placeOf(filled), 'database', server)).toBe(1_200);
  },
  patience,
);

for (const kind of kinds)
  testWith('redis-server', ...kind.needs)(
    `values of ${kind.name} go to Redis under a prefix, and back`,
    async () => {
      const server = await startRedis();
      const filled = await openFilled(300);
      const database = { home: '', database: await newDatabase(kind) };
      await copyDatabase({ from: placeOf(filled), to: database, clock: systemClock });
      await move(server, database, 'redis', { prefix: 'here:' });
      expect((await server.admin.keys('here:vault:vlt_*')).length).toBe(300);
      expect(await opens(filled, database, 'redis', server, 'here:')).toBe(300);
      await move(server, database, 'database', { prefix: 'here:' });
      expect(await opens(filled, database, 'database', server, 'here:')).toBe(300);
    },
    patience,
  );

test(
  'a server that runs refuses from the moment on at which they move, and no value that it said was written is lost',
  async () => {
    const server = await startRedis();
    const filled = await openFilled(50);
    const { people, vaults } = filled;
    const store = await openTestStore({ ...placeOf(filled), clock: 'system' });
    const key = `vault:${vaults[0]}:example-api:connection:counted`;
    let version = 0;
    const writer = (async () => {
      for (;;) {
        if (!(await store.sealed.put(key, Buffer.from(`value ${version + 1}`), version))) throw new Error('somebody else writes');
        version += 1;
      }
    })();
    const refused = writer.catch((error: unknown) => error);
    await until(() => version > 20);
    await move(server, placeOf(filled), 'redis', { settle: 1_500 });
    expect(isFault(await refused, 'vault_moving') || isFault(await refused, 'invalid_setting')).toBe(true);
    await until(async () => isFault(await store.sealed.get(key).catch((error: unknown) => error), 'invalid_setting'));
    await expect(store.sealed.list('vault:', { limit: 1 })).rejects.toMatchObject({ code: 'invalid_setting' });
    const held = await withRedis(server, (redis) => redis.get(key));
    expect(Buffer.from(held?.envelope ?? []).toString()).toBe(`value ${version}`);
    await store.close();
    await people.store.close();
  },
  patience,
);

test(
  'a move that was killed leaves nothing that could be served, goes on when it is repeated, and may turn back',
  async () => {
    const server = await startRedis();
    const filled = await openFilled(count(3_000, 20_000));
    await filled.people.store.close();
    const { home } = placeOf(filled);
    const env = { PATH: process.env.PATH ?? '', HOME: home, GATEHOUSE_HOME: home, GATEHOUSE_REDIS_URL: `redis://127.0.0.1:${server.port}` };
    const kill = async (when: () => Promise<boolean>) => {
      const [program, ...first] = gatehouse;
      const child = spawn(program, [...first, 'vault', 'move', '--to', 'redis'], { env, stdio: 'ignore' });
      const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
      await until(when, 60_000);
      child.kill('SIGKILL');
      expect(await ended).toBe('SIGKILL');
    };
    const some = async () => (await kept(server)).length > 100;
    await kill(some);
    for (const sealed of ['database', 'redis'] as const)
      await expect(served(placeOf(filled), sealed, server)).rejects.toMatchObject({ code: 'vault_moving' });
    expect(await move(server, placeOf(filled), 'database')).toMatchObject({ outcome: 'tidied' });
    expect(await kept(server)).toEqual([]);
    expect(await opens(filled, placeOf(filled), 'database', server)).toBe(filled.count);
    await kill(some);
    expect(await move(server, placeOf(filled), 'redis')).toMatchObject({ outcome: 'moved', values: filled.count });
    expect(await opens(filled, placeOf(filled), 'redis', server)).toBe(filled.count);
    expect(await move(server, placeOf(filled), 'redis')).toMatchObject({ outcome: 'tidied', removed: 0 });
  },
  patience * 2,
);

test(
  'values of another installation on the same Redis stay as they are, and one of the same name is never overwritten',
  async () => {
    const server = await startRedis();
    const filled = await openFilled(30);
    await filled.people.store.close();
    const foreign = `vault:${newId('vlt')}:example-api:connection:c1`;
    await withRedis(server, (redis) => redis.put(foreign, Buffer.from('theirs'), 0));
    await move(server, placeOf(filled), 'redis');
    await move(server, placeOf(filled), 'database');
    expect(await kept(server)).toEqual([foreign]);
    const own = `vault:${filled.vaults[0]}:example-api:connection:c7`;
    await withRedis(server, (redis) => redis.put(own, Buffer.from('another'), 0));
    await expect(move(server, placeOf(filled), 'redis')).rejects.toMatchObject({ code: 'store_not_empty' });
    expect(await withRedis(server, async (redis) => Buffer.from((await redis.get(own))?.envelope ?? []).toString())).toBe('another');
    await move(server, placeOf(filled), 'database');
    expect(await opens(filled, placeOf(filled), 'database', server)).toBe(30);
  },
  patience,
);

test('a Redis that may throw values away is refused before anything is moved', async () => {
  const server = await startRedis({ config: ['maxmemory-policy allkeys-lru'] });
  const filled = await openFilled(3);
  await filled.people.store.close();
  await expect(move(server, placeOf(filled), 'redis')).rejects.toMatchObject({ code: 'invalid_setting' });
  await server.admin.config('SET', 'maxmemory-policy', 'noeviction');
  expect(await opens(filled, placeOf(filled), 'database', server)).toBe(3);
}, 60_000);
