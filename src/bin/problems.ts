import { accessSync, constants, statSync } from 'node:fs';
import { url as inspectorUrl } from 'node:inspector';
import {
  type Environment,
  foldersOf,
  isFileDatabase,
  productionProblems,
  productionRules,
  type Settings,
  type TriedSettings,
} from '#config';
import { Fault, isFault } from '#kernel';
import { serversNamed } from '#store';
import { loadKeyring } from '#vault';
import { readPair } from './certificate.ts';
import { folderOfUrl, homeOf, masterKey, redisMissing } from './places.ts';

type Problems = Readonly<Record<string, string>>;

export interface ServingOptions {
  readonly env: Environment;
  readonly dev: boolean;
  /** Processes that are to serve together. */
  readonly workers: number;
}

/** What a server with these settings would stumble over, by variable, before anything is opened. */
function problemsOf(settings: Settings, { dev, workers }: ServingOptions): Problems {
  const production = productionRules(settings, dev);
  return {
    ...unreadable(settings),
    ...misaddressed(settings),
    ...certificateProblem(settings),
    ...crowded(settings, workers, dev),
    ...(production ? productionProblems(settings) : {}),
    ...(production && inspectorUrl() !== undefined ? { '--inspect': 'the inspector is open; start without it' } : {}),
  };
}

/** The same for the master key, which is looked for in files. */
async function masterKeyProblem(settings: Settings, { dev, env }: ServingOptions): Promise<Problems> {
  const production = productionRules(settings, dev);
  const home = homeOf(settings);
  try {
    await loadKeyring({
      ...masterKey(settings),
      production,
      storeIsEmpty: false,
      defaultFile: foldersOf(home, env).masterKey,
      dataFolder: home,
    });
    return {};
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    // The first start of a store of its own makes one.
    if (error.code === 'master_key_missing' && settings.masterKeyFile === undefined && !production) return {};
    return { [masterKeySetting(settings)]: `${error.message}; ${error.hint}` };
  }
}

function masterKeySetting({ masterKey: value, masterKeyIn }: Settings): string {
  if (value !== undefined) return 'GATEHOUSE_MASTER_KEY';
  return masterKeyIn === 'keyring' ? 'GATEHOUSE_MASTER_KEY_IN' : 'GATEHOUSE_MASTER_KEY_FILE';
}

/** What is wrong, of the settings as they were read and with what a server would do with them, all at once. */
export async function allProblems(read: TriedSettings, options: ServingOptions): Promise<Problems> {
  const key = await masterKeyProblem(read.settings, options);
  return { ...problemsOf(read.settings, options), ...key, ...read.problems };
}

function unreadable(settings: Settings): Problems {
  const named: readonly (readonly [string, string | undefined])[] = [
    ['GATEHOUSE_TLS_CERT', settings.tlsCert],
    ['GATEHOUSE_TLS_KEY', settings.tlsKey],
    ['GATEHOUSE_REDIS_CA', settings.redisCa],
    ['GATEHOUSE_REDIS_CERT', settings.redisCert],
    ['GATEHOUSE_REDIS_KEY', settings.redisKey],
    ...settings.upstreamCa.map(({ file }) => ['GATEHOUSE_UPSTREAM_CA', file] as const),
  ];
  const missing = named.filter(([, path]) => path !== undefined && !mayRead(path));
  return Object.fromEntries(missing.map(([name]) => [name, 'the file cannot be read']));
}

function mayRead(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function misaddressed({ databaseUrl, migrateDatabaseUrl, redisUrl, ephemera, vaultBackend }: Settings): Problems {
  const asked = redisUrl === undefined && (ephemera === 'redis' || vaultBackend === 'redis');
  return {
    ...malformed('GATEHOUSE_DATABASE_URL', { database: databaseUrl }),
    ...(databaseUrl !== undefined && isFileDatabase(databaseUrl) && isFile(folderOfUrl(databaseUrl))
      ? { GATEHOUSE_DATABASE_URL: 'it names a file; give the folder in which the database is to be' }
      : {}),
    ...malformed('GATEHOUSE_MIGRATE_DATABASE_URL', { database: migrateDatabaseUrl }),
    ...malformed('GATEHOUSE_REDIS_URL', { redis: redisUrl }),
    ...(asked ? { GATEHOUSE_REDIS_URL: redisMissing } : {}),
  };
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

function malformed(name: string, urls: Parameters<typeof serversNamed>[0]): Problems {
  try {
    serversNamed(urls);
    return {};
  } catch (error) {
    if (!isFault(error, 'invalid_setting')) throw error;
    return { [name]: Object.values(error.details.fields ?? {})[0] ?? error.message };
  }
}

/** SQLite has one writer, and the memory of --dev one process: more of them would only wait, or forget. */
function crowded({ databaseUrl }: Settings, workers: number, dev: boolean): Problems {
  if (workers === 1) return {};
  if (dev) return { GATEHOUSE_WORKERS: '--dev is one process' };
  if (databaseUrl !== undefined && !isFileDatabase(databaseUrl)) return {};
  return { GATEHOUSE_WORKERS: 'several workers need a database server (GATEHOUSE_DATABASE_URL): SQLite has one writer' };
}

function certificateProblem({ tlsCert: cert, tlsKey: key }: Settings): Problems {
  if (cert === undefined && key === undefined) return {};
  if (cert === undefined) return { GATEHOUSE_TLS_CERT: 'give it too: certificate and key go together' };
  if (key === undefined) return { GATEHOUSE_TLS_KEY: 'give it too: certificate and key go together' };
  if (!mayRead(cert) || !mayRead(key)) return {};
  const { problem } = readPair({ cert, key });
  return problem === undefined ? {} : { GATEHOUSE_TLS_CERT: problem };
}
