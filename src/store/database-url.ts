import { type Fault, settingFault } from '#kernel';

/** Where a database server is, and as whom we come. */
export interface DatabaseAddress {
  readonly kind: 'postgres' | 'mysql';
  readonly host: string;
  readonly port: number | undefined;
  /** A unix socket, or the folder that holds it, instead of host and port. */
  readonly socket: string | undefined;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: string;
  /** What the URL says of TLS, in the words of libpq. */
  readonly tls: TlsMode | undefined;
}

/** `require`: encrypted, and checked only if an authority is given. */
export type TlsMode = 'disable' | 'require' | 'verify-ca' | 'verify-full';

const kinds: Readonly<Record<string, DatabaseAddress['kind']>> = {
  postgres: 'postgres',
  postgresql: 'postgres',
  mysql: 'mysql',
  mariadb: 'mysql',
};

/**
 * Reads `postgres://user:password@host:port/database` and its kin; a `+driver` part of the scheme is ignored. `?host=` or
 * `?socket=` with a path names a unix socket, `?sslmode=` says how far the server is checked. Undefined: a URL of SQLite.
 * @throws {Fault} `invalid_setting`, which never repeats the URL
 */
export function parseDatabaseUrl(text: string): DatabaseAddress | undefined {
  const [, scheme = ''] = /^([a-z]+)(?:\+[a-z0-9]+)?:/i.exec(text) ?? [];
  if (scheme.toLowerCase() === 'sqlite') return undefined;
  const kind = kinds[scheme.toLowerCase()];
  if (kind === undefined) throw refused('begin it with sqlite:, postgres:// or mysql://');
  const url = parse(text);
  const database = decodeURIComponent(url.pathname.slice(1));
  if (database === '' || database.includes('/')) throw refused('name one database, as in postgres://user@host/gatehouse');
  return {
    kind,
    host: url.hostname === '' ? 'localhost' : decodeURIComponent(url.hostname.replace(/^\[|\]$/g, '')),
    port: url.port === '' ? undefined : Number(url.port),
    ...parametersOf(url),
    user: url.username === '' ? undefined : decodeURIComponent(url.username),
    password: url.password === '' ? undefined : decodeURIComponent(url.password),
    database,
  };
}

/** The parser of the web takes a path or a port only of schemes it knows, or with an authority. */
function parse(text: string): URL {
  try {
    return new URL(text.replace(/^[^:]+:/, 'gatehouse:'));
  } catch {
    throw refused('it is not a URL; write reserved characters of the password percent-encoded');
  }
}

/** Of both systems, in lower case and without underscores. */
const modes: Readonly<Record<string, TlsMode>> = {
  disable: 'disable',
  disabled: 'disable',
  require: 'require',
  required: 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
  'verify-identity': 'verify-full',
};

const modeNames = /^ssl[-_]?mode$/i;
const fileNames = /^ssl[-_]?(rootcert|ca|cert|key)$/i;

/** A parameter that is not understood could be one that asks for TLS: it is refused, not ignored. */
function parametersOf(url: URL): Pick<DatabaseAddress, 'socket' | 'tls'> {
  let [socket, tls]: [string | undefined, TlsMode | undefined] = [undefined, undefined];
  for (const [name, value] of url.searchParams) {
    if ((name === 'host' || name === 'socket') && value.startsWith('/')) socket = value;
    else if (modeNames.test(name)) tls = modeOf(value);
    else if (fileNames.test(name))
      throw refused('files for TLS are settings of their own: GATEHOUSE_DATABASE_CA, GATEHOUSE_DATABASE_CERT and GATEHOUSE_DATABASE_KEY');
    else throw refused(`this version does not know the parameter ${/^[a-z_-]{1,32}$/i.test(name) ? name : 'given'}`);
  }
  return { socket, tls };
}

function modeOf(value: string): TlsMode {
  const mode = modes[value.toLowerCase().replaceAll('_', '-')];
  if (mode === undefined)
    throw refused('sslmode is disable, require, verify-ca or verify-full; nothing else keeps somebody in between from taking TLS away');
  return mode;
}

function refused(sentence: string): Fault {
  return settingFault({ GATEHOUSE_DATABASE_URL: sentence });
}
