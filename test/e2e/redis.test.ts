import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { type HostileAgent, hostileAgent, say } from '../support/hostile.ts';
import { until } from '../support/installation.ts';
import { hasProgram, testWith } from '../support/need.ts';
import { keysOf, type RedisServer, startRedis } from '../support/redis.ts';
import { makeWorld, type World } from '../support/world.ts';

const trying = testWith('redis-server', 'curl');

let redis: RedisServer;
let world: World;
let agent: HostileAgent;
beforeAll(async () => {
  if (!hasProgram('redis-server')) return;
  redis = await startRedis({ config: ['requirepass word'], admin: { password: 'word' } });
  world = await makeWorld({
    env: {
      GATEHOUSE_REDIS_URL: `redis://127.0.0.1:${redis.port}`,
      GATEHOUSE_REDIS_PASSWORD: 'word',
      GATEHOUSE_REDIS_COMMAND_SECONDS: '1',
      GATEHOUSE_VAULT_BACKEND: 'redis',
    },
  });
  agent = await hostileAgent(world.site, 'known');
}, 120_000);
afterAll(() => world?.close());

const path = '/v1/whoami';
const present = (authorization: string) => say(world.site.port, { path, headers: { authorization } });
const readiness = async () => {
  const { status, text } = await say(world.site.port, { path: '/health/ready' });
  return { ...(JSON.parse(text) as { reason?: string; ephemera?: string }), status };
};
const calls = async (path: string) => await world.run(['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', `${world.api}${path}`]);

trying(
  'a run makes an authenticated call; what rests is ciphertext in Redis under its literal key',
  async () => {
    expect(await calls('/status/200')).toMatchObject({ code: 0, stdout: '200' });
    expect(world.upstream.seen.at(-1)?.headers.authorization).toBe(`Bearer ${world.canary}`);
    expect(existsSync(join(world.site.home, 'ephemera.db'))).toBe(false);
    const [sealed, ...more] = await keysOf(redis.admin, 'vault:');
    expect(more).toEqual([]);
    expect(sealed?.key).toMatch(/^vault:vlt_[0-9a-z]{26}:example-api:connection:default$/);
    expect((await redis.admin.getBuffer(sealed?.key ?? ''))?.includes(world.canary)).toBe(false);
    expect((await keysOf(redis.admin, 'gatehouse:ephemera:')).length).toBeGreaterThan(1);
  },
  60_000,
);

trying(
  'a proof whose mark was lost is refused, and the command line goes on with another',
  async () => {
    const proof = agent.proof('GET', path);
    expect((await present(proof)).status).toBe(200);
    expect((await present(proof)).text).toContain('proof_replayed');
    for (const { key } of await keysOf(redis.admin, 'gatehouse:ephemera:')) await redis.admin.del(key);
    const refused = await present(proof);
    expect([refused.status, refused.text]).toEqual([503, expect.stringContaining('proof_unremembered')]);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(await calls('/status/200')).toMatchObject({ code: 0, stdout: '200' });
  },
  60_000,
);

trying(
  'readiness names ephemera while Redis is away; the server goes on by itself when it is back',
  async () => {
    expect(await readiness()).toMatchObject({ status: 200, ephemera: 'connected' });
    redis.signal('SIGSTOP');
    await until(async () => (await readiness()).reason === 'ephemera', 15_000);
    const refused = await present(agent.proof('GET', path));
    expect([refused.status, refused.text]).toEqual([503, expect.stringContaining('"unavailable"')]);
    redis.signal('SIGCONT');
    await until(async () => (await readiness()).status === 200, 15_000);
    expect(await calls('/status/200')).toMatchObject({ code: 0, stdout: '200' });
    expect(existsSync(join(world.site.home, 'ephemera.db'))).toBe(false);
  },
  90_000,
);

trying(
  'after Redis was killed and came back empty, what was proven before is refused, and what is proven later is not',
  async () => {
    const before = agent.proof('GET', path);
    await redis.stop('SIGKILL');
    await until(async () => (await readiness()).reason === 'ephemera', 15_000);
    await redis.start();
    await until(async () => (await readiness()).status === 200, 15_000);
    expect((await present(before)).text).toContain('proof_unremembered');
    await until(async () => (await present(agent.proof('GET', path))).status === 200, 15_000);
  },
  60_000,
);
