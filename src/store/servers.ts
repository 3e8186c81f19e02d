import { parseRedisUrl } from './backends/redis/address.ts';
import { parseDatabaseUrl } from './database-url.ts';
import type { StoreServer } from './ports.ts';

const usualPorts = { postgres: 5432, mysql: 3306 } as const;

/**
 * The servers that these URLs name; what those name later is told by `Store.watchServers`.
 * @throws {Fault} `invalid_setting`, which never repeats a URL
 */
export function serversNamed(urls: {
  readonly database?: string | undefined;
  readonly redis?: string | undefined;
}): readonly StoreServer[] {
  return [...databaseServers(urls.database), ...redisServers(urls.redis)];
}

function databaseServers(url: string | undefined): readonly StoreServer[] {
  const address = url === undefined ? undefined : parseDatabaseUrl(url);
  if (address === undefined || address.socket !== undefined) return [];
  return [{ host: address.host, port: address.port ?? usualPorts[address.kind] }];
}

function redisServers(url: string | undefined): readonly StoreServer[] {
  if (url === undefined) return [];
  const { address } = parseRedisUrl(url);
  switch (address.kind) {
    case 'server':
      return [{ host: address.host, port: address.port }];
    case 'socket':
      return [];
    case 'sentinel':
      return address.sentinels;
    case 'cluster':
      return address.nodes;
  }
}
