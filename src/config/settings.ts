import { isIP } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';

/** Who reads a setting: the server, a client command, a program under `run`, the launcher or the tests. */
export type Reader = 'server' | 'command' | 'run' | 'launcher' | 'test';

/** Systems people come from whose unprefixed names count only when `GATEHOUSE_COMPAT` says so. */
const compatibilities = ['authsome', 'authos', 'quint'] as const;
export type Compatibility = (typeof compatibilities)[number];

export interface Alias {
  readonly name: string;
  /** Read only when `GATEHOUSE_COMPAT` is this; absent: always (the name has its system's own prefix). */
  readonly with?: Compatibility;
  /** Read only where no other name is set, and from the environment alone: every program on a hosting platform has it. */
  readonly last?: true;
}

export interface SettingRow<S extends z.ZodType = z.ZodType> {
  readonly env: string;
  /** From text (undefined: not given) to the value. */
  readonly schema: S;
  readonly tells: string;
  readonly example: string;
  readonly readers: readonly Reader[];
  readonly secret?: true;
  readonly unsafe?: true;
  readonly aliases?: readonly Alias[];
}

const row = <S extends z.ZodType>(given: SettingRow<S>): SettingRow<S> => given;

const port = (fallback: number) =>
  z.coerce
    .number('give a port number')
    .int('give a whole number')
    .min(0, 'give a port from 0 to 65535')
    .max(65_535, 'give a port from 0 to 65535')
    .default(fallback);

const seconds = (fallback: number, most: number) =>
  z.coerce.number('give a number of seconds').positive('give more than 0').max(most, `give at most ${most}`).default(fallback);

const whole = (fallback: number, least: number, most: number) =>
  z.coerce
    .number('give a number')
    .int('give a whole number')
    .min(least, `give at least ${least}`)
    .max(most, `give at most ${most}`)
    .default(fallback);

const list = z
  .string()
  .default('')
  .transform((text) =>
    text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  );

const privateAddress = /^([a-z0-9.-]+):(\d{1,5})=([0-9a-fA-F.:]+\/\d{1,3})$/;

const allowPrivate = list.transform((parts, context) =>
  parts.flatMap((part) => {
    const match = privateAddress.exec(part);
    if (match) return [{ host: match[1] as string, port: Number(match[2]), cidr: match[3] as string }];
    context.addIssue({ code: 'custom', message: 'write each as host:port=CIDR, for example api.internal:443=10.1.0.0/16' });
    return [];
  }),
);

const upstreamCa = list.transform((parts, context) =>
  parts.flatMap((part) => {
    const at = part.indexOf('=');
    if (at > 0 && at < part.length - 1) return [{ host: part.slice(0, at), file: part.slice(at + 1) }];
    context.addIssue({ code: 'custom', message: 'write each as host=/path/to/authority.pem' });
    return [];
  }),
);

const fingerprints = list.transform((parts, context) =>
  parts.flatMap((part) => {
    const plain = part.replaceAll(':', '').toUpperCase();
    if (/^[0-9A-F]{64}$/.test(plain)) return [plain];
    context.addIssue({ code: 'custom', message: 'write each as the SHA-256 fingerprint of a certificate, 64 hex digits' });
    return [];
  }),
);

const resolve = list.transform((parts, context) =>
  parts.flatMap((part) => {
    const match = /^([a-z0-9.-]+)=([0-9a-fA-F.:]+)$/.exec(part);
    if (match) return [{ host: match[1] as string, address: match[2] as string }];
    context.addIssue({ code: 'custom', message: 'write each as host=address, for example api.internal=10.1.2.3' });
    return [];
  }),
);

const networks = list.transform((parts, context) => {
  for (const part of parts) {
    const [address = '', bits, ...more] = part.split('/');
    const most = isIP(address) === 4 ? 32 : 128;
    const narrow = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= most);
    if (isIP(address) === 0 || !narrow || more.length > 0) {
      context.addIssue({ code: 'custom', message: 'give addresses or networks, such as 10.0.0.7 or 10.0.0.0/8' });
    }
  }
  return parts;
});

const databaseUrl = z
  .string()
  .optional()
  .refine(
    (url) => url === undefined || /^(sqlite:|(postgres|postgresql|mysql|mariadb)(\+[a-z0-9]+)?:\/\/)/i.test(url),
    'write sqlite:/path/to/folder, postgres://user:password@host/database or mysql://user:password@host/database',
  );

const redisUrl = z
  .string()
  .regex(
    /^(rediss?(\+sentinel|\+cluster)?:\/\/|unix:)./,
    'write redis://host:6379, rediss://, redis+sentinel://host:26379/primary, redis+cluster://host or unix:/path',
  )
  .optional();

const hosts = list.transform((parts, context) => {
  for (const part of parts) {
    if (/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/.test(part)) continue;
    context.addIssue({ code: 'custom', message: 'write each as host or host:port' });
  }
  return parts;
});

const redisPrefix = z
  .string()
  .regex(/^[A-Za-z0-9._:-]{1,64}$/, 'use 1 to 64 letters, digits, dots, dashes, underscores and colons')
  .optional();

const publicUrl = z
  .url({ protocol: /^https?$/, error: 'give a URL such as https://gatehouse.example.com' })
  .transform((url) => url.replace(/\/+$/, ''))
  .optional();

/** The only list of settings. The type, reading, `config print|check`, `.env.example` and the reference page derive from it. */
export const settingsTable = {
  home: row({
    env: 'GATEHOUSE_HOME',
    schema: z.string().default(() => join(homedir(), '.gatehouse')),
    tells: 'data folder: database, log, sockets',
    example: '~/.gatehouse',
    readers: ['server', 'command'],
  }),
  environment: row({
    env: 'GATEHOUSE_ENV',
    schema: z.enum(['development', 'production']).default('development'),
    tells: 'production adds the production rules; they also turn on by themselves',
    example: 'production',
    readers: ['server'],
    aliases: [{ name: 'AUTHSOME_ENV' }],
  }),
  host: row({
    env: 'GATEHOUSE_HOST',
    schema: z.string().default('127.0.0.1'),
    tells: 'address the server and the proxy listen on',
    example: '127.0.0.1',
    readers: ['server'],
    aliases: [{ name: 'AUTHSOME_HOST' }, { name: 'SERVER_HOST', with: 'authos' }],
  }),
  port: row({
    env: 'GATEHOUSE_PORT',
    schema: port(7300),
    tells: 'port of the server',
    example: '7300',
    readers: ['server'],
    aliases: [
      { name: 'AUTHSOME_PORT' },
      { name: 'SERVER_PORT', with: 'authos' },
      { name: 'AUTH_PORT', with: 'quint' },
      { name: 'PORT', last: true },
    ],
  }),
  proxyPort: row({ env: 'GATEHOUSE_PROXY_PORT', schema: port(7301), tells: 'port of the proxy', example: '7301', readers: ['server'] }),
  publicUrl: row({
    env: 'GATEHOUSE_PUBLIC_URL',
    schema: publicUrl,
    tells: 'URL people and programs reach the server by: issuer and links (default http://localhost and the port)',
    example: 'https://gatehouse.example.com',
    readers: ['server'],
    aliases: [{ name: 'AUTHSOME_BASE_URL' }, { name: 'BASE_URL', with: 'authos' }, { name: 'AUTH_SERVICE_URL', with: 'quint' }],
  }),
  hosts: row({
    env: 'GATEHOUSE_HOSTS',
    schema: list,
    tells: 'more Host names the server answers to, besides the public URL and loopback',
    example: 'gatehouse.internal',
    readers: ['server'],
  }),
  trustedProxies: row({
    env: 'GATEHOUSE_TRUSTED_PROXIES',
    schema: networks,
    tells: 'addresses or networks of reverse proxies whose X-Forwarded-For is believed; nobody is by default',
    example: '10.0.0.0/8',
    readers: ['server'],
  }),
  url: row({
    env: 'GATEHOUSE_URL',
    schema: publicUrl,
    tells: 'server a command talks to, instead of the local or pinned one',
    example: 'https://gatehouse.example.com',
    readers: ['command'],
  }),
  organization: row({
    env: 'GATEHOUSE_ORGANIZATION',
    schema: z
      .string()
      .regex(/^[a-z0-9-]{1,63}$/, 'write its slug')
      .optional(),
    tells: 'organization that commands about people, clients and tokens are for, by its slug; else the default one',
    example: 'acme',
    readers: ['command'],
  }),
  agent: row({
    env: 'GATEHOUSE_AGENT',
    schema: z.string().optional(),
    tells: 'agent that run uses, instead of the one chosen with agent use',
    example: 'default',
    readers: ['command'],
  }),
  tlsCert: row({
    env: 'GATEHOUSE_TLS_CERT',
    schema: z.string().optional(),
    tells: 'certificate file (PEM) for the server and the proxy',
    example: '/etc/gatehouse/tls.crt',
    readers: ['server'],
  }),
  tlsKey: row({
    env: 'GATEHOUSE_TLS_KEY',
    schema: z.string().optional(),
    tells: 'private key file (PEM) that goes with it',
    example: '/etc/gatehouse/tls.key',
    readers: ['server'],
  }),
  clientCertificates: row({
    env: 'GATEHOUSE_CLIENT_CERTIFICATES',
    schema: z
      .enum(['ask', 'off'], 'write ask or off')
      .default('off')
      .transform((word) => word === 'ask'),
    tells: 'ask: the server asks who connects by TLS for a certificate, for clients whose tokens are bound to one',
    example: 'ask',
    readers: ['server'],
  }),
  certificateHeader: row({
    env: 'GATEHOUSE_CLIENT_CERTIFICATE_HEADER',
    schema: z
      .string()
      .regex(/^[A-Za-z0-9-]{1,64}$/, 'give the name of a header')
      .transform((name) => name.toLowerCase())
      .optional(),
    tells: 'header in which the trusted proxies hand on the certificate of a client (and which they remove from what clients send)',
    example: 'Client-Cert',
    readers: ['server'],
  }),
  dpopNonce: row({
    env: 'GATEHOUSE_DPOP_NONCE',
    schema: z
      .enum(['yes', 'no'], 'write yes or no')
      .default('no')
      .transform((word) => word === 'yes'),
    tells: 'yes: DPoP proofs must hold a nonce that the server gave, so that none can be made ahead of time',
    example: 'yes',
    readers: ['server'],
  }),
  lives: row({
    env: 'GATEHOUSE_LIVES',
    schema: list,
    tells:
      'how long what is issued lives, where an organization or a client says nothing else: access_token, id_token, code, pushed_request, device_code, refresh_idle, grant',
    example: 'access_token=30m,refresh_idle=30d',
    readers: ['server'],
  }),
  databaseUrl: row({
    env: 'GATEHOUSE_DATABASE_URL',
    schema: databaseUrl,
    tells:
      'where records are kept: sqlite:, postgres:// or mysql:// (default: SQLite in the data folder); ?sslmode= as in libpq, verify-full to another host',
    example: 'postgres://gatehouse@db.internal/gatehouse',
    readers: ['server'],
    secret: true,
    aliases: [{ name: 'AUTHSOME_DATABASE_URL' }, { name: 'DATABASE_URL', with: 'authos' }, { name: 'AUTH_DATABASE_URL', with: 'quint' }],
  }),
  databaseSchema: row({
    env: 'GATEHOUSE_DATABASE_SCHEMA',
    schema: z
      .string()
      .regex(/^[a-z_][a-z0-9_]{0,62}$/, 'give lower-case letters, digits and underscores')
      .refine((name) => !name.startsWith('pg_'), 'names that begin with pg_ belong to PostgreSQL')
      .default('gatehouse'),
    tells: 'schema of a PostgreSQL database that holds everything; made if it is not there',
    example: 'gatehouse',
    readers: ['server'],
  }),
  migrate: row({
    env: 'GATEHOUSE_MIGRATE',
    schema: z.enum(['auto', 'off']).default('auto'),
    tells: 'off: serve leaves the schema alone, and does not start on an old one; gatehouse migrate brings it up to date',
    example: 'off',
    readers: ['server'],
  }),
  migrateDatabaseUrl: row({
    env: 'GATEHOUSE_MIGRATE_DATABASE_URL',
    schema: databaseUrl,
    tells: 'the same database, as a role that may change its schema; used for migrations only',
    example: 'postgres://gatehouse_owner@db.internal/gatehouse',
    readers: ['server'],
    secret: true,
  }),
  waitSeconds: row({
    env: 'GATEHOUSE_WAIT_SECONDS',
    schema: seconds(60, 3600),
    tells: 'how long a start waits for a database or a Redis that comes later',
    example: '60',
    readers: ['server'],
  }),
  databaseCa: row({
    env: 'GATEHOUSE_DATABASE_CA',
    schema: z.string().optional(),
    tells: 'file of the authority (PEM) that is believed for the database server, instead of those of the system',
    example: '/etc/gatehouse/database-ca.pem',
    readers: ['server'],
  }),
  databaseCert: row({
    env: 'GATEHOUSE_DATABASE_CERT',
    schema: z.string().optional(),
    tells: 'client certificate file (PEM) for the database server',
    example: '/etc/gatehouse/database-client.crt',
    readers: ['server'],
  }),
  databaseKey: row({
    env: 'GATEHOUSE_DATABASE_KEY',
    schema: z.string().optional(),
    tells: 'private key file (PEM) that goes with it',
    example: '/etc/gatehouse/database-client.key',
    readers: ['server'],
  }),
  databaseConnections: row({
    env: 'GATEHOUSE_DATABASE_CONNECTIONS',
    schema: whole(10, 6, 20),
    tells: 'connections to the database server that one service opens at most, shared by its workers (at least 6 for each)',
    example: '10',
    readers: ['server'],
  }),
  databaseIdleSeconds: row({
    env: 'GATEHOUSE_DATABASE_IDLE_SECONDS',
    schema: seconds(300, 86_400),
    tells: 'a connection to the database server that is not used this long is closed; always before that server would',
    example: '300',
    readers: ['server'],
  }),
  databasePooler: row({
    env: 'GATEHOUSE_DATABASE_POOLER',
    schema: z.enum(['transaction'], 'write transaction, or leave it out').optional(),
    tells: 'transaction: a pooler such as pgbouncer stands in between and lends a connection for one transaction; changes are polled for',
    example: 'transaction',
    readers: ['server'],
  }),
  redisUrl: row({
    env: 'GATEHOUSE_REDIS_URL',
    schema: redisUrl,
    tells: 'Redis 7 or newer for what lives briefly: redis://, rediss:// (TLS), redis+sentinel://, redis+cluster:// or unix:',
    example: 'redis+sentinel://gatehouse@sentinel-1:26379,sentinel-2:26379/mymaster/0',
    readers: ['server'],
    secret: true,
    aliases: [{ name: 'AUTHSOME_REDIS_URL' }, { name: 'REDIS_URL', with: 'quint' }],
  }),
  redisMode: row({
    env: 'GATEHOUSE_REDIS_MODE',
    schema: z.enum(['standalone', 'sentinel', 'cluster'], 'write standalone, sentinel or cluster').optional(),
    tells: 'what GATEHOUSE_REDIS_HOSTS names, instead of a URL: one server (the default), sentinels, or nodes of a cluster',
    example: 'sentinel',
    readers: ['server'],
  }),
  redisHosts: row({
    env: 'GATEHOUSE_REDIS_HOSTS',
    schema: hosts,
    tells: 'servers, sentinels or nodes, as host:port separated by commas, instead of a URL',
    example: 'sentinel-1:26379,sentinel-2:26379,sentinel-3:26379',
    readers: ['server'],
  }),
  redisSocket: row({
    env: 'GATEHOUSE_REDIS_SOCKET',
    schema: z
      .string()
      .regex(/^\/[^?#]+$/, 'give a path from the root')
      .optional(),
    tells: 'unix socket of Redis, instead of a URL',
    example: '/run/redis/redis.sock',
    readers: ['server'],
  }),
  redisPrimary: row({
    env: 'GATEHOUSE_REDIS_PRIMARY',
    schema: z.string().optional(),
    tells: 'name under which the sentinels watch the primary, instead of the one in the URL',
    example: 'mymaster',
    readers: ['server'],
  }),
  redisDatabase: row({
    env: 'GATEHOUSE_REDIS_DATABASE',
    schema: z.coerce
      .number('give a number')
      .int('give a whole number')
      .min(0, 'give 0 or more')
      .max(99_999, 'give at most 99999')
      .optional(),
    tells: 'number of the database, instead of the one in the URL (default 0)',
    example: '0',
    readers: ['server'],
  }),
  redisTls: row({
    env: 'GATEHOUSE_REDIS_TLS',
    schema: z
      .enum(['yes', 'no'], 'write yes or no')
      .optional()
      .transform((word) => (word === undefined ? undefined : word === 'yes')),
    tells: 'yes: TLS to the nodes and the sentinels, instead of rediss:// in a URL',
    example: 'yes',
    readers: ['server'],
  }),
  redisUsername: row({
    env: 'GATEHOUSE_REDIS_USERNAME',
    schema: z.string().optional(),
    tells: 'user of the Redis nodes, instead of the one in the URL',
    example: 'gatehouse',
    readers: ['server'],
  }),
  redisPassword: row({
    env: 'GATEHOUSE_REDIS_PASSWORD',
    schema: z.string().optional(),
    tells: 'password of the Redis nodes, instead of the one in the URL',
    example: '',
    readers: ['server'],
    secret: true,
  }),
  redisSentinelUsername: row({
    env: 'GATEHOUSE_REDIS_SENTINEL_USERNAME',
    schema: z.string().optional(),
    tells: 'user of the sentinels',
    example: 'gatehouse-sentinel',
    readers: ['server'],
  }),
  redisSentinelPassword: row({
    env: 'GATEHOUSE_REDIS_SENTINEL_PASSWORD',
    schema: z.string().optional(),
    tells: 'password of the sentinels',
    example: '',
    readers: ['server'],
    secret: true,
  }),
  redisCa: row({
    env: 'GATEHOUSE_REDIS_CA',
    schema: z.string().optional(),
    tells: 'file of the authority (PEM) that is believed for Redis, instead of those of the system',
    example: '/etc/gatehouse/redis-ca.pem',
    readers: ['server'],
  }),
  redisCert: row({
    env: 'GATEHOUSE_REDIS_CERT',
    schema: z.string().optional(),
    tells: 'client certificate file (PEM) for Redis',
    example: '/etc/gatehouse/redis-client.crt',
    readers: ['server'],
  }),
  redisKey: row({
    env: 'GATEHOUSE_REDIS_KEY',
    schema: z.string().optional(),
    tells: 'private key file (PEM) that goes with it',
    example: '/etc/gatehouse/redis-client.key',
    readers: ['server'],
  }),
  redisPrefix: row({
    env: 'GATEHOUSE_REDIS_PREFIX',
    schema: redisPrefix,
    tells: 'what every key in Redis begins with (default: gatehouse: for what lives briefly, nothing for sealed values)',
    example: 'staging:',
    readers: ['server', 'command'],
  }),
  redisConnectSeconds: row({
    env: 'GATEHOUSE_REDIS_CONNECT_SECONDS',
    schema: seconds(5, 60),
    tells: 'how long connecting to Redis may take',
    example: '5',
    readers: ['server'],
  }),
  redisCommandSeconds: row({
    env: 'GATEHOUSE_REDIS_COMMAND_SECONDS',
    schema: seconds(2, 60),
    tells: 'how long Redis may take to answer; after that the request gets 503 and the connection is made anew',
    example: '2',
    readers: ['server'],
  }),
  redisFailoverSeconds: row({
    env: 'GATEHOUSE_REDIS_FAILOVER_SECONDS',
    schema: z.coerce.number('give a number of seconds').min(0, 'give 0 or more').max(30, 'give at most 30').default(1),
    tells: 'how long a request waits while the connection is made again, as after a failover, before it gets 503',
    example: '1',
    readers: ['server'],
  }),
  vaultBackend: row({
    env: 'GATEHOUSE_VAULT_BACKEND',
    schema: z.enum(['database', 'disk', 'redis'], 'write database (disk is its name on SQLite) or redis').default('database'),
    tells: 'where sealed values are kept; gatehouse vault move changes it later',
    example: 'database',
    readers: ['server'],
    aliases: [{ name: 'AUTHSOME_VAULT_BACKEND' }],
  }),
  ephemera: row({
    env: 'GATEHOUSE_EPHEMERA',
    schema: z.enum(['sql', 'redis', 'memory']).optional(),
    tells: 'where what lives briefly is kept (default: redis with GATEHOUSE_REDIS_URL, else sql); memory only with --dev',
    example: 'sql',
    readers: ['server'],
  }),
  masterKey: row({
    env: 'GATEHOUSE_MASTER_KEY',
    schema: z.string().optional(),
    tells: 'master key: 64 hexadecimal characters or 32 bytes in base64',
    example: '',
    readers: ['server'],
    secret: true,
    aliases: [{ name: 'AUTHSOME_MASTER_KEY' }, { name: 'ENCRYPTION_KEY', with: 'authos' }, { name: 'AUTH_MASTER_KEY', with: 'quint' }],
  }),
  masterKeyFile: row({
    env: 'GATEHOUSE_MASTER_KEY_FILE',
    schema: z.string().optional(),
    tells: 'file that holds the master keys (default: gatehouse/master.key in the configuration folder)',
    example: '/etc/gatehouse/master.key',
    readers: ['server'],
  }),
  masterKeyIn: row({
    env: 'GATEHOUSE_MASTER_KEY_IN',
    schema: z.enum(['file', 'keyring'], 'write file or keyring').default('file'),
    tells: 'where the master keys are, if not in a setting: a file, or the keyring of the operating system',
    example: 'keyring',
    readers: ['server'],
  }),
  backupPassphrase: row({
    env: 'GATEHOUSE_BACKUP_PASSPHRASE',
    schema: z.string().min(12, 'give at least 12 characters').optional(),
    tells: 'passphrase that archives of backup are encrypted to, and that opens them',
    example: '',
    readers: ['server'],
    secret: true,
  }),
  backupRecipient: row({
    env: 'GATEHOUSE_BACKUP_RECIPIENT',
    schema: list,
    tells:
      'public keys (age1…, as age-keygen prints them) that archives of backup are encrypted to, instead of a passphrase; separated by commas',
    example: 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p',
    readers: ['server'],
  }),
  ownerEmail: row({
    env: 'GATEHOUSE_OWNER_EMAIL',
    schema: z.email('give an e-mail address').optional(),
    tells: 'only this address can use the set-up link',
    example: 'owner@example.com',
    readers: ['server'],
    aliases: [{ name: 'PLATFORM_OWNER_EMAIL', with: 'authos' }],
  }),
  clientRegistration: row({
    env: 'GATEHOUSE_CLIENT_REGISTRATION',
    schema: z.enum(['open', 'token', 'off'], 'write open, token or off').optional(),
    tells:
      'whether OAuth clients may register themselves: open (the default without production rules), token (with one that gatehouse registration-token made; the default with them) or off, which also lets in no client that a document describes',
    example: 'token',
    readers: ['server'],
  }),
  otherHosts: row({
    env: 'GATEHOUSE_OTHER_HOSTS',
    schema: z.enum(['blind', 'deny']).default('blind'),
    tells: 'hosts without a connection: tunnelled blind, or denied',
    example: 'deny',
    readers: ['server'],
  }),
  githubClientId: row({
    env: 'GATEHOUSE_GITHUB_CLIENT_ID',
    schema: z.string().optional(),
    tells: "the platform's own OAuth client at GitHub, for organizations that let people sign in there and have none",
    example: 'Iv23liExample',
    readers: ['server'],
    aliases: [{ name: 'PLATFORM_GITHUB_CLIENT_ID', with: 'authos' }],
  }),
  githubClientSecret: row({
    env: 'GATEHOUSE_GITHUB_CLIENT_SECRET',
    schema: z.string().optional(),
    tells: 'the secret that goes with it',
    example: '/run/secrets/github',
    readers: ['server'],
    secret: true,
    aliases: [{ name: 'PLATFORM_GITHUB_CLIENT_SECRET', with: 'authos' }],
  }),
  googleClientId: row({
    env: 'GATEHOUSE_GOOGLE_CLIENT_ID',
    schema: z.string().optional(),
    tells: "the platform's own OAuth client at Google, for organizations that let people sign in there and have none",
    example: '1234.apps.googleusercontent.com',
    readers: ['server'],
    aliases: [{ name: 'PLATFORM_GOOGLE_CLIENT_ID', with: 'authos' }],
  }),
  googleClientSecret: row({
    env: 'GATEHOUSE_GOOGLE_CLIENT_SECRET',
    schema: z.string().optional(),
    tells: 'the secret that goes with it',
    example: '/run/secrets/google',
    readers: ['server'],
    secret: true,
    aliases: [{ name: 'PLATFORM_GOOGLE_CLIENT_SECRET', with: 'authos' }],
  }),
  microsoftClientId: row({
    env: 'GATEHOUSE_MICROSOFT_CLIENT_ID',
    schema: z.string().optional(),
    tells: "the platform's own OAuth client at Microsoft, for organizations that let people sign in there and have none",
    example: '00000000-0000-0000-0000-000000000000',
    readers: ['server'],
    aliases: [{ name: 'PLATFORM_MICROSOFT_CLIENT_ID', with: 'authos' }],
  }),
  microsoftClientSecret: row({
    env: 'GATEHOUSE_MICROSOFT_CLIENT_SECRET',
    schema: z.string().optional(),
    tells: 'the secret that goes with it',
    example: '/run/secrets/microsoft',
    readers: ['server'],
    secret: true,
    aliases: [{ name: 'PLATFORM_MICROSOFT_CLIENT_SECRET', with: 'authos' }],
  }),
  allowPrivate: row({
    env: 'GATEHOUSE_ALLOW_PRIVATE',
    schema: allowPrivate,
    tells: 'private addresses that may be reached, as host:port=CIDR, separated by commas',
    example: 'api.internal:443=10.1.0.0/16',
    readers: ['server'],
    unsafe: true,
  }),
  upstreamCa: row({
    env: 'GATEHOUSE_UPSTREAM_CA',
    schema: upstreamCa,
    tells: 'extra authorities for single upstream hosts, as host=file, separated by commas',
    example: 'api.internal=/etc/ssl/internal.pem',
    readers: ['server'],
  }),
  upstreamDistrust: row({
    env: 'GATEHOUSE_UPSTREAM_DISTRUST',
    schema: fingerprints,
    tells:
      'certificates that no upstream may rest on, such as a revoked authority, by their SHA-256 fingerprints; lists of issuers are not asked',
    example: '0F1E2D3C4B5A69788796A5B4C3D2E1F00F1E2D3C4B5A69788796A5B4C3D2E1F0',
    readers: ['server'],
  }),
  resolve: row({
    env: 'GATEHOUSE_RESOLVE',
    schema: resolve,
    tells: 'addresses of single upstream names instead of asking DNS, as host=address; they are judged like any other',
    example: 'api.internal=10.1.2.3',
    readers: ['server'],
  }),
  upstreamSkipVerify: row({
    env: 'GATEHOUSE_UPSTREAM_SKIP_VERIFY',
    schema: list,
    tells: 'upstream hosts whose certificate is not checked',
    example: 'old.internal',
    readers: ['server'],
    unsafe: true,
  }),
  audit: row({
    env: 'GATEHOUSE_AUDIT',
    schema: z.enum(['before', 'after']).default('before'),
    tells: 'after lets a call leave up to 50 ms before its record is durable: kill -9 can lose it',
    example: 'before',
    readers: ['server'],
    unsafe: true,
  }),
  logLevel: row({
    env: 'GATEHOUSE_LOG_LEVEL',
    schema: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
    tells: 'what is written to the log',
    example: 'info',
    readers: ['server'],
  }),
  idleSeconds: row({
    env: 'GATEHOUSE_IDLE_SECONDS',
    schema: seconds(300, 86_400),
    tells: 'a proxied connection with no byte in either direction for this long is closed',
    example: '300',
    readers: ['server'],
  }),
  signingKeyDays: row({
    env: 'GATEHOUSE_SIGNING_KEY_DAYS',
    schema: z.coerce
      .number('give a number')
      .int('give a whole number')
      .min(1, 'give at least 1')
      .max(3650, 'give at most 3650')
      .default(90),
    tells: 'days for which a key signs tokens before the next one is made by itself',
    example: '90',
    readers: ['server'],
  }),
  sessionIdleMinutes: row({
    env: 'GATEHOUSE_SESSION_IDLE_MINUTES',
    schema: whole(720, 1, 129_600),
    tells: 'a session that nobody used for so many minutes has ended',
    example: '720',
    readers: ['server'],
  }),
  sessionHours: row({
    env: 'GATEHOUSE_SESSION_HOURS',
    schema: whole(336, 1, 2_160),
    tells: 'a session ends so many hours after the sign-in, however busy it is',
    example: '336',
    readers: ['server'],
  }),
  shutdownSeconds: row({
    env: 'GATEHOUSE_SHUTDOWN_SECONDS',
    schema: seconds(20, 3600),
    tells: 'how long exchanges under way may take to end at shutdown',
    example: '20',
    readers: ['server'],
  }),
  workers: row({
    env: 'GATEHOUSE_WORKERS',
    schema: z.coerce.number('give a number').int('give a whole number').min(1, 'give at least 1').max(64, 'give at most 64').default(1),
    tells: 'processes that serve together at the same ports, and share the bounds of one; more than 1 needs a database server',
    example: '4',
    readers: ['server'],
  }),
  compat: row({
    env: 'GATEHOUSE_COMPAT',
    schema: z.enum(compatibilities).optional(),
    tells: 'also read the unprefixed names of the system you come from',
    example: 'authos',
    readers: ['server'],
  }),
  run: row({
    env: 'GATEHOUSE_RUN',
    schema: z.string().optional(),
    tells: 'set by run in the program it starts: the id of the run',
    example: '',
    readers: ['run'],
  }),
  runLevel: row({
    env: 'GATEHOUSE_RUN_LEVEL',
    schema: z.string().optional(),
    tells: 'set by run in the program it starts: separated or cooperative',
    example: '',
    readers: ['run'],
  }),
  node: row({
    env: 'GATEHOUSE_NODE',
    schema: z.string().optional(),
    tells: 'a Node 24 or newer that the launcher uses instead of fetching one',
    example: '/usr/local/bin/node',
    readers: ['launcher'],
  }),
  cache: row({
    env: 'GATEHOUSE_CACHE',
    schema: z.string().optional(),
    tells: 'where the launcher keeps the runtime it fetched',
    example: '~/.cache/gatehouse',
    readers: ['launcher'],
  }),
  testRequire: row({
    env: 'GATEHOUSE_TEST_REQUIRE',
    schema: z.string().optional(),
    tells: 'all: a test that cannot run is a failure',
    example: 'all',
    readers: ['test'],
  }),
  testPostgresUrl: row({
    env: 'GATEHOUSE_TEST_POSTGRES_URL',
    schema: z.string().optional(),
    tells: 'PostgreSQL database for the tests, instead of a throw-away server; they make schemas in it',
    example: 'postgres://postgres@localhost/postgres',
    readers: ['test'],
  }),
  testMariadbUrl: row({
    env: 'GATEHOUSE_TEST_MARIADB_URL',
    schema: z.string().optional(),
    tells: 'MariaDB server for the tests, instead of a throw-away one; they make databases in it',
    example: 'mariadb://root@localhost/mysql',
    readers: ['test'],
  }),
  testMysqlUrl: row({
    env: 'GATEHOUSE_TEST_MYSQL_URL',
    schema: z.string().optional(),
    tells: 'MySQL 8 server for the tests, which run on it only if it is given',
    example: 'mysql://root@localhost/mysql',
    readers: ['test'],
  }),
  testLong: row({
    env: 'GATEHOUSE_TEST_LONG',
    schema: z.string().optional(),
    tells: '1: full counts and real durations',
    example: '1',
    readers: ['test'],
  }),
} as const;

export type SettingKey = keyof typeof settingsTable;

/** Every setting, parsed. */
export type Settings = { readonly [K in SettingKey]: z.output<(typeof settingsTable)[K]['schema']> };
