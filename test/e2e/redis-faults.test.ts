import { randomBytes, randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { isFault, newId, type OrganizationId, Secret, silentLog, systemClock } from '#kernel';
import { isUniqueViolation, type Store, spend as spendValue } from '#store';
import { spend } from '../../src/identity/prove.ts';
import { until } from '../support/installation.ts';
import { count, testWith } from '../support/need.ts';
import { type RedisServer, startCluster, startRedis, startSentinel } from '../support/redis.ts';
import { openTestStore, temporaryFolder } from '../support/store.ts';

const trying = testWith('redis-server', 'redis-cli');
const organization = newId('org', Date.now()) as OrganizationId;
const skew = 5_000;

/** Two replicas of a service: one database, one Redis, a connection each. */
async function openReplicas(url: string, commandTimeout = 1_000): Promise<readonly [Store, Store]> {
  const home = temporaryFolder();
  const redis = { url: new Secret(url), connectTimeout: 1_000, commandTimeout };
  const open = () => openTestStore({ home, clock: systemClock, log: silentLog, ephemera: 'redis', redis });
  return [await open(), await open()];
}

interface Proof {
  readonly jti: string;
  readonly issuedAt: number;
  readonly rememberUntil: number;
}

/** Dated as far ahead as clocks may differ, at times. */
function newProof(): Proof {
  const issuedAt = Date.now() + randomInt(skew);
  return { jti: randomBytes(16).toString('hex'), issuedAt, rememberUntil: issuedAt + 60_000 + skew };
}

/** What one use of a proof comes to. */
async function use({ ephemera }: Store, proof: Proof): Promise<'accepted' | 'refused'> {
  try {
    await spend({ ephemera, clock: systemClock, directory: undefined as never }, organization, 'did:key:test', proof);
    return 'accepted';
  } catch (error) {
    if (isFault(error, 'proof_replayed') || isFault(error, 'proof_unremembered') || isFault(error, 'unavailable')) return 'refused';
    throw error;
  }
}

/** Takes a single-use value, and makes something of it in the records. */
async function makeFrom(store: Store, key: string): Promise<boolean> {
  const value = await store.ephemera.take(key).catch((error: unknown) => {
    if (!isFault(error, 'unavailable')) throw error;
    return undefined;
  });
  if (value === undefined) return false;
  const now = Date.now();
  const made = { kind: 'oauth_state' as const, value, made: 'it', now, expiresAt: now + 3_600_000 };
  return await store.records
    .platform('test')
    .write((tx) => spendValue(tx, made))
    .then(
      () => true,
      (error: unknown) => {
        if (isUniqueViolation(error)) return false;
        throw error;
      },
    );
}

interface Tally {
  readonly proofs: Map<Proof, number>;
  readonly values: Map<string, number>;
  refused: number;
}

/** Uses new proofs and values on both replicas at once until it is told to stop. */
async function contend([first, second]: readonly [Store, Store], tally: Tally, going: () => boolean): Promise<void> {
  const most = count(20_000, 1_000_000);
  while (going() && tally.proofs.size < most) {
    const proof = newProof();
    const key = `value:${proof.jti}`;
    const put = await first.ephemera.put(key, proof.jti, 60_000).then(
      () => true,
      () => false,
    );
    if (!put) tally.refused += 1;
    const uses = await Promise.all([use(first, proof), use(second, proof), use(first, proof)]);
    const takes = await Promise.all([makeFrom(first, key), makeFrom(second, key)]);
    tally.proofs.set(proof, uses.filter((one) => one === 'accepted').length);
    tally.values.set(key, takes.filter(Boolean).length);
    await sleep(1);
  }
}

/** Everything is used once more, on both replicas. */
async function useAgain(replicas: readonly [Store, Store], tally: Tally): Promise<void> {
  for (const store of replicas) {
    for (const [proof, times] of tally.proofs) if ((await use(store, proof)) === 'accepted') tally.proofs.set(proof, times + 1);
    for (const [key, times] of tally.values) if (await makeFrom(store, key)) tally.values.set(key, times + 1);
  }
}

const most = (times: Iterable<number>) => [...times].reduce((a, b) => Math.max(a, b), 0);

async function surviveKill(url: string, victim: RedisServer): Promise<void> {
  const replicas = await openReplicas(url);
  const tally: Tally = { proofs: new Map(), values: new Map(), refused: 0 };
  let going = true;
  const load = Promise.all(Array.from({ length: 4 }, () => contend(replicas, tally, () => going)));
  // The first proofs on an empty Redis are refused for as long as clocks may differ.
  await until(() => [...tally.proofs.values()].includes(1), 15_000);
  await sleep(1_000);
  const acceptedBefore = new Set([...tally.proofs].filter(([, times]) => times === 1).map(([proof]) => proof));
  await victim.stop('SIGKILL');
  const killed = performance.now();
  await until(() => tally.refused > 0, 10_000);
  const isBack = async () =>
    (await Promise.all(replicas.map(({ ephemera }) => ephemera.ping().catch(() => -1)))).every((time) => time >= 0);
  await until(isBack, 30_000);
  expect(performance.now() - killed).toBeLessThan(30_000);
  await useAgain(replicas, { ...tally, proofs: new Map([...tally.proofs].slice(-count(300, 5_000))), values: new Map() });
  const accepted = () =>
    [...tally.proofs].some(([proof, times]) => times === 1 && !acceptedBefore.has(proof) && proof.issuedAt > Date.now() - 2_000);
  await until(accepted, 20_000);
  going = false;
  await load;
  await useAgain(replicas, tally);
  expect(acceptedBefore.size).toBeGreaterThan(10);
  expect(most(tally.proofs.values())).toBe(1);
  expect(most(tally.values.values())).toBe(1);
  for (const store of replicas) await store.close();
}

describe('a primary that is killed under load', () => {
  trying(
    'under Sentinel: no proof is accepted twice, nothing is made twice, and it goes on by itself',
    async () => {
      const { url, servers } = await startSentinel();
      await surviveKill(url, servers[0] as RedisServer);
    },
    150_000,
  );

  trying(
    'in a cluster: no proof is accepted twice, nothing is made twice, and it goes on by itself',
    async () => {
      const { url, servers } = await startCluster();
      await surviveKill(url, servers[0] as RedisServer);
    },
    150_000,
  );
});

describe('a Redis that does not answer', () => {
  trying(
    'is unavailable within the timeout, gets nothing later that was asked meanwhile, and is used again when it answers',
    async () => {
      const redis = await startRedis();
      const [store, other] = await openReplicas(`redis://127.0.0.1:${redis.port}`, 300);
      await store.ephemera.put('before', 'value', 60_000);
      redis.signal('SIGSTOP');
      const asked = performance.now();
      await expect(store.ephemera.put('first', 'value', 60_000)).rejects.toMatchObject({ code: 'unavailable' });
      expect(performance.now() - asked).toBeLessThan(2_000);
      for (let index = 0; index < 20; index++)
        await expect(store.ephemera.put(`later ${index}`, 'value', 60_000)).rejects.toMatchObject({ code: 'unavailable' });
      redis.signal('SIGCONT');
      await until(async () => (await store.ephemera.ping().catch(() => -1)) >= 0, 10_000);
      expect(await store.ephemera.get('before')).toBe('value');
      for (let index = 0; index < 20; index++) expect(await store.ephemera.get(`later ${index}`)).toBeUndefined();
      expect(await store.ephemera.since('before')).toBeGreaterThan(0);
      await other.close();
      await store.close();
    },
    60_000,
  );

  trying(
    'that restarts empty begins a new epoch, and one that was only away does so for who lost it',
    async () => {
      const redis = await startRedis();
      const [store, other] = await openReplicas(`redis://127.0.0.1:${redis.port}`);
      const began = await store.ephemera.since('key');
      expect(await other.ephemera.since('key')).toBe(began);
      await redis.stop('SIGKILL');
      await redis.start();
      await until(async () => (await store.ephemera.ping().catch(() => -1)) >= 0, 10_000);
      expect(await store.ephemera.since('key')).toBeGreaterThan(began);
      const restarted = await store.ephemera.since('key');
      await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'normal');
      await until(async () => (await store.ephemera.ping().catch(() => -1)) >= 0, 10_000);
      expect(await store.ephemera.since('key')).toBeGreaterThan(restarted);
      await redis.admin.flushall();
      const cut = await store.ephemera.since('key');
      expect(cut).toBeGreaterThan(restarted);
      await store.close();
      await other.close();
    },
    60_000,
  );
});

describe('a Redis that must not be used', () => {
  trying(
    'is refused at the start when it may evict, and later when it begins to',
    async () => {
      const redis = await startRedis({ config: ['maxmemory-policy allkeys-lru'] });
      const url = `redis://127.0.0.1:${redis.port}`;
      const refused = await openReplicas(url).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 'invalid_setting', message: expect.stringContaining('noeviction') });
      await redis.admin.config('SET', 'maxmemory-policy', 'noeviction');
      const [store, other] = await openReplicas(url);
      await redis.admin.config('SET', 'maxmemory-policy', 'volatile-ttl');
      await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'normal');
      await until(
        async () =>
          await store.ephemera.get('key').then(
            () => false,
            (error: unknown) => isFault(error, 'unavailable') && /noeviction/.test(error.message),
          ),
        10_000,
      );
      await redis.admin.config('SET', 'maxmemory-policy', 'noeviction');
      await until(
        async () =>
          await store.ephemera.get('key').then(
            () => true,
            () => false,
          ),
        10_000,
      );
      await store.close();
      await other.close();
    },
    60_000,
  );

  trying(
    'is refused with a wrong password, at once',
    async () => {
      const redis = await startRedis({ config: ['requirepass word'], admin: { password: 'word' } });
      const refused = await openReplicas(`redis://:wrong@127.0.0.1:${redis.port}`).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 'invalid_setting' });
      expect(String(refused)).not.toContain('wrong@');
    },
    60_000,
  );
});
