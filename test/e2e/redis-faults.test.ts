import { describe, expect } from 'vitest';
import { isFault, Secret, silentLog, systemClock } from '#kernel';
import type { Store } from '#store';
import { until } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { startRedis } from '../support/redis.ts';
import { openTestStore, temporaryFolder } from '../support/store.ts';

const trying = testWith('redis-server', 'redis-cli');

/** Two replicas of a service: one database, one Redis, a connection each. */
async function openReplicas(url: string, commandTimeout = 1_000): Promise<readonly [Store, Store]> {
  const home = temporaryFolder();
  const redis = { url: new Secret(url), connectTimeout: 1_000, commandTimeout };
  const open = () => openTestStore({ home, clock: systemClock, log: silentLog, ephemera: 'redis', redis });
  return [await open(), await open()];
}

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
