import { expect } from 'vitest';
import { readSettings } from '#config';
import { silentLog, systemClock } from '#kernel';
import { buildParts } from '../../src/bin/parts.ts';
import { freePort, until } from '../support/installation.ts';
import { testWith } from '../support/need.ts';
import { startSentinel } from '../support/redis.ts';
import { temporaryFolder } from '../support/store.ts';

testWith('redis-server')(
  'servers that a sentinel names are closed to agents, also where the operator opened their address',
  async () => {
    const { url, servers, sentinels } = await startSentinel();
    const [named, ...others] = sentinels;
    const other = await freePort();
    const ports = [...servers, ...sentinels].map(({ port }) => port);
    const folder = temporaryFolder();
    const env = {
      HOME: folder,
      XDG_CONFIG_HOME: `${folder}/config`,
      XDG_RUNTIME_DIR: folder,
      GATEHOUSE_HOME: `${folder}/home`,
      // One sentinel is named: it names the others, the primary and the replicas.
      GATEHOUSE_REDIS_URL: url.replace(/127\.0\.0\.1.*\/mymaster/, `127.0.0.1:${named?.port}/mymaster`),
      GATEHOUSE_ALLOW_PRIVATE: [...ports, other].map((port) => `cache.internal:${port}=127.0.0.0/8`).join(','),
      GATEHOUSE_RESOLVE: 'cache.internal=127.0.0.1',
    };
    const { settings } = readSettings({ env, aliases: false });
    const parts = await buildParts({ settings, env, dev: false, clock: systemClock, log: silentLog });
    try {
      expect(others).toHaveLength(2);
      const judged = (port: number) =>
        parts.net.judge('cache.internal', port, { timeout: 5_000 }).then(
          () => 'open',
          (error: { code?: string }) => error.code,
        );
      expect(await judged(other)).toBe('open');
      await until(async () => (await Promise.all(ports.map(judged))).every((answer) => answer === 'address_refused'), 20_000);
    } finally {
      await parts.close();
    }
  },
  60_000,
);
