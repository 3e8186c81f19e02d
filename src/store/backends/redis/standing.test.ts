import { expect, test } from 'vitest';
import { admit } from './standing.ts';

const told = (facts: Readonly<Record<string, string>>) => admit(new Map(Object.entries(facts))).problem;

test('Redis 7 and Valkey, which names the release it is compatible with, are used; an older Redis is not', () => {
  expect(told({ redis_version: '7.0.15', maxmemory_policy: 'noeviction' })).toBeUndefined();
  expect(told({ redis_version: '7.2.4', server_name: 'valkey', valkey_version: '8.1.0', maxmemory_policy: 'noeviction' })).toBeUndefined();
  expect(told({ redis_version: '6.2.14', maxmemory_policy: 'noeviction' })).toContain('7');
  expect(told({ maxmemory_policy: 'noeviction' })).toContain('7');
});

test('a policy that may evict, or one that is not told, is refused', () => {
  expect(told({ redis_version: '7.4.0', maxmemory_policy: 'allkeys-lru' })).toContain('noeviction');
  expect(told({ redis_version: '7.4.0' })).toContain('noeviction');
});
