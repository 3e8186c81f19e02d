import type { RedisLocation } from './address.ts';

export type Use = 'ephemera' | 'sealed';

export interface Standing {
  /** Why this Redis must not be used. */
  readonly problem: string | undefined;
  readonly warnings: readonly string[];
}

/** Judges a node by what it says of itself (SECURITY 14). */
export function admit(facts: ReadonlyMap<string, string>, location?: RedisLocation, uses: readonly Use[] = []): Standing {
  const warnings: string[] = [];
  if (location?.address.kind === 'sentinel' && !facts.has('min_slaves_good_slaves'))
    warnings.push(
      'redis keeps taking writes when it is cut off from its replicas; set min-replicas-to-write 1 and min-replicas-max-lag 10',
    );
  if (uses.includes('sealed') && facts.get('aof_enabled') !== '1')
    warnings.push('redis holds sealed values without an append-only file, so a crash loses the last ones; set appendonly yes');
  return { problem: problemOf(facts), warnings };
}

function problemOf(facts: ReadonlyMap<string, string>): string | undefined {
  const major = Number.parseInt(facts.get('redis_version') ?? '', 10);
  if (!(major >= 7)) return 'Redis 7 or newer is needed';
  const policy = facts.get('maxmemory_policy');
  if (policy !== 'noeviction') return `Redis may throw values away (maxmemory-policy is ${policy ?? 'not told'}); set it to noeviction`;
  return undefined;
}
