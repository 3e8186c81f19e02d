import type { Settings } from './settings.ts';

export type RedisParts = Pick<
  Settings,
  'redisUrl' | 'redisMode' | 'redisHosts' | 'redisSocket' | 'redisPrimary' | 'redisDatabase' | 'redisTls'
>;

export interface NamedRedis {
  readonly url: string | undefined;
  /** What does not fit together, as sentences by variable. */
  readonly problems: Readonly<Record<string, string>>;
}

/** Where Redis is, as one URL: the one that was given, or what the single settings spell out. */
export function redisUrlOf(parts: RedisParts): NamedRedis {
  const problems = problemsOf(parts);
  if (Object.keys(problems).length > 0) return { url: undefined, problems };
  return { url: parts.redisUrl ?? composed(parts), problems };
}

function composed({ redisMode: mode, redisHosts: hosts, redisSocket: socket, redisPrimary, redisDatabase, redisTls }: RedisParts) {
  const database = redisDatabase ?? 0;
  if (socket !== undefined) return `unix:${socket}?db=${database}`;
  if (hosts.length === 0) return undefined;
  const scheme = redisTls === true ? 'rediss' : 'redis';
  const places = hosts.join(',');
  if (mode === 'cluster') return `${scheme}+cluster://${places}`;
  if (mode === 'sentinel') return `${scheme}+sentinel://${places}/${encodeURIComponent(redisPrimary ?? '')}/${database}`;
  return `${scheme}://${places}/${database}`;
}

function problemsOf(parts: RedisParts): Readonly<Record<string, string>> {
  const { redisUrl: url, redisMode: mode, redisHosts: hosts, redisSocket: socket, redisPrimary, redisDatabase, redisTls } = parts;
  const anyPart = [mode, socket, redisPrimary, redisDatabase, redisTls].some((part) => part !== undefined) || hosts.length > 0;
  const place = hosts.length > 0 || socket !== undefined;
  const wrong: readonly (readonly [boolean, string, string])[] = [
    [url !== undefined && anyPart, 'GATEHOUSE_REDIS_URL', 'give the URL, or the single settings of where Redis is, not both'],
    [url === undefined && anyPart && !place, 'GATEHOUSE_REDIS_HOSTS', 'say where Redis is, or give GATEHOUSE_REDIS_SOCKET'],
    [socket !== undefined && hosts.length > 0, 'GATEHOUSE_REDIS_SOCKET', 'give a socket or hosts, not both'],
    [socket !== undefined && redisTls === true, 'GATEHOUSE_REDIS_TLS', 'there is no TLS over a unix socket'],
    [
      socket !== undefined && mode !== undefined && mode !== 'standalone',
      'GATEHOUSE_REDIS_MODE',
      'over a socket there is one server; write standalone',
    ],
    [
      (mode ?? 'standalone') === 'standalone' && hosts.length > 1,
      'GATEHOUSE_REDIS_MODE',
      'several hosts are sentinels or nodes of a cluster; write which',
    ],
    [
      mode === 'sentinel' && redisPrimary === undefined,
      'GATEHOUSE_REDIS_PRIMARY',
      'give the name under which the sentinels watch the primary',
    ],
    [mode !== 'sentinel' && redisPrimary !== undefined, 'GATEHOUSE_REDIS_PRIMARY', 'only sentinels know primaries by name'],
    [mode === 'cluster' && (redisDatabase ?? 0) !== 0, 'GATEHOUSE_REDIS_DATABASE', 'a cluster has one database'],
  ];
  return Object.fromEntries(wrong.filter(([holds]) => holds).map(([, name, sentence]) => [name, sentence]));
}
