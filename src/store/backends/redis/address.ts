import { type Fault, Secret, settingFault } from '#kernel';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Where Redis is, as one URL says it. */
export type RedisAddress =
  | { readonly kind: 'server'; readonly host: string; readonly port: number; readonly database: number }
  | { readonly kind: 'socket'; readonly path: string; readonly database: number }
  | { readonly kind: 'sentinel'; readonly sentinels: readonly HostPort[]; readonly primary: string; readonly database: number }
  | { readonly kind: 'cluster'; readonly nodes: readonly HostPort[] };

export interface RedisLocation {
  readonly address: RedisAddress;
  readonly encrypted: boolean;
  readonly username: string | undefined;
  readonly password: Secret<string> | undefined;
}

const networkShape = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^?#]*))?$/;
const socketShape = /^unix:(?:\/\/(?:([^@/]*)@)?)?(\/[^?#]+)(?:\?db=(\d{1,5}))?$/;
const databaseShape = /^\d{1,5}$/;

/**
 * Reads `redis://`, `rediss://`, `unix:`, `redis+sentinel://…/primary/0`, `redis+cluster://` (`rediss+` with TLS). A user and
 * a password in it are percent-encoded.
 * @throws {Fault} `invalid_setting`, which never repeats the URL
 */
export function parseRedisUrl(url: string): RedisLocation {
  const socket = socketShape.exec(url);
  if (socket !== null) {
    const [, evidence, path = '', database = '0'] = socket;
    return { address: { kind: 'socket', path, database: Number(database) }, encrypted: false, ...evidenceOf(evidence) };
  }
  const match = networkShape.exec(url);
  if (match === null)
    throw wrong('write redis://host:6379, rediss://, redis+sentinel://host:26379/primary, redis+cluster://host or unix:/path');
  const [, secure, kind, evidence, hosts = '', path = ''] = match;
  return { address: addressOf(kind, hosts, path), encrypted: secure === 's', ...evidenceOf(evidence) };
}

function addressOf(kind: string | undefined, hosts: string, path: string): RedisAddress {
  const parts = path.split('/').filter((part) => part !== '');
  if (kind === 'cluster') {
    if (parts.length > 0) throw wrong('a cluster has one database, so nothing follows the hosts');
    return { kind, nodes: hosts.split(',').map((host) => hostPort(host, 6379)) };
  }
  if (kind === 'sentinel') {
    const [primary, database = '0', ...more] = parts;
    if (primary === undefined || more.length > 0)
      throw wrong('name the primary after the sentinels: redis+sentinel://host:26379/primary/0');
    return {
      kind,
      sentinels: hosts.split(',').map((host) => hostPort(host, 26_379)),
      primary: decoded(primary),
      database: numbered(database),
    };
  }
  const [database = '0', ...more] = parts;
  if (hosts.includes(',') || more.length > 0)
    throw wrong('one host and one database; several hosts are redis+sentinel:// or redis+cluster://');
  return { kind: 'server', ...hostPort(hosts, 6379), database: numbered(database) };
}

function hostPort(text: string, fallback: number): HostPort {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[2] ?? fallback);
  if (match === null || port < 1 || port > 65_535) throw wrong('a host is a name or an address, with a port after a colon');
  return { host: (match[1] as string).replace(/^\[|\]$/g, ''), port };
}

function numbered(database: string): number {
  if (!databaseShape.test(database)) throw wrong('a database is a number');
  return Number(database);
}

function evidenceOf(text: string | undefined): Pick<RedisLocation, 'username' | 'password'> {
  if (text === undefined) return { username: undefined, password: undefined };
  const [username = '', ...password] = text.split(':');
  return {
    username: username === '' ? undefined : decoded(username),
    password: password.length === 0 ? undefined : new Secret(decoded(password.join(':'))),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong('a user, a password and a name are percent-encoded');
  }
}

function wrong(sentence: string): Fault {
  return settingFault({ GATEHOUSE_REDIS_URL: sentence });
}
