import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { isFileDatabase, type Settings } from '#config';
import { Secret, settingFault } from '#kernel';
import type { DatabasePlace, StoreOptions } from '#store';

/** Redis is used where it is asked for, also under `--dev`: nothing ever stands in for it. */
export function storePlaces(settings: Settings, dev: boolean): Pick<StoreOptions, 'ephemera' | 'sealed' | 'redis'> {
  const chosen = settings.ephemera ?? (settings.redisUrl === undefined ? 'sql' : 'redis');
  const ephemera = dev && chosen === 'sql' ? 'memory' : chosen;
  const sealed = settings.vaultBackend === 'redis' ? 'redis' : 'database';
  if (ephemera !== 'redis' && sealed !== 'redis') return { ephemera, sealed };
  return { ephemera, sealed, redis: redisPlace(settings) };
}

export const redisMissing = 'say where Redis is, since another setting asks for it';

/** How Redis is reached. @throws {Fault} `invalid_setting` where no setting says so */
export function redisPlace(settings: Settings): NonNullable<StoreOptions['redis']> {
  if (settings.redisUrl === undefined) throw settingFault({ GATEHOUSE_REDIS_URL: redisMissing });
  return redisOptions(settings, settings.redisUrl);
}

function redisOptions(settings: Settings, url: string): NonNullable<StoreOptions['redis']> {
  const secret = (value: string | undefined) => (value === undefined ? undefined : new Secret(value));
  return {
    url: new Secret(url),
    username: settings.redisUsername,
    password: secret(settings.redisPassword),
    sentinelUsername: settings.redisSentinelUsername,
    sentinelPassword: secret(settings.redisSentinelPassword),
    ca: pem('GATEHOUSE_REDIS_CA', settings.redisCa),
    cert: pem('GATEHOUSE_REDIS_CERT', settings.redisCert),
    key: pem('GATEHOUSE_REDIS_KEY', settings.redisKey),
    prefix: settings.redisPrefix,
    connectTimeout: settings.redisConnectSeconds * 1000,
    commandTimeout: settings.redisCommandSeconds * 1000,
    failoverTimeout: settings.redisFailoverSeconds * 1000,
    patience: settings.waitSeconds * 1000,
  };
}

/** `sqlite:/folder` moves the data folder. */
export function homeOf({ home, databaseUrl }: Settings): string {
  return databaseUrl !== undefined && isFileDatabase(databaseUrl) ? folderOfUrl(databaseUrl) : home;
}

/** Where the settings say that the master keys are. */
export function masterKey(settings: Settings) {
  const { masterKey: value, masterKeyFile: file, masterKeyIn } = settings;
  return {
    ...(value === undefined ? {} : { value: new Secret(value) }),
    ...(file === undefined ? {} : { file }),
    ...(masterKeyIn === 'keyring' ? { osAccount: homeOf(settings) } : {}),
  };
}

/** A file of a setting. @throws {Fault} `invalid_setting` */
function pem(setting: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw settingFault({ [setting]: 'the file cannot be read' }, cause);
  }
}

export function databaseOf(settings: Settings): Pick<DatabasePlace, 'database'> {
  const { databaseUrl: url } = settings;
  if (url === undefined || isFileDatabase(url)) return {};
  const { databaseSchema: schema, databaseConnections: connections, databasePooler: pooler } = settings;
  return { database: { url, schema, tls: databaseTls(settings), connections, idle: settings.databaseIdleSeconds * 1000, pooler } };
}

function databaseTls({ databaseCa, databaseCert, databaseKey }: Settings) {
  return {
    ca: pem('GATEHOUSE_DATABASE_CA', databaseCa),
    cert: pem('GATEHOUSE_DATABASE_CERT', databaseCert),
    key: pem('GATEHOUSE_DATABASE_KEY', databaseKey),
  };
}

/** Where the settings say that Records lie. */
export function databasePlace(settings: Settings): DatabasePlace {
  return { home: homeOf(settings), ...databaseOf(settings) };
}

/** A place that a command names by its URL; over TLS it is known by the same authority as that of the settings. */
export function placeOfUrl(url: string, schema: string, settings: Settings): DatabasePlace {
  return isFileDatabase(url) ? { home: folderOfUrl(url) } : { home: '', database: { url, schema, tls: databaseTls(settings) } };
}

/** `sqlite:/folder` and `sqlite:///folder`. */
export function folderOfUrl(url: string): string {
  return url.replace(/^sqlite:(\/\/)?/i, '');
}

/** A folder for its owner only, made if it is not there. */
export function privateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
}

/** What one process may take of a bound that a service has as a whole. */
export function shareOf(whole: number, processes: number): number {
  return Math.max(1, Math.floor(whole / processes));
}
