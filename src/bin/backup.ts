import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ArchiveFacts, BackupOrder, BackupOutcome, RestoreOrder, RestoreOutcome } from '#cli';
import { type Environment, foldersOf, type Settings } from '#config';
import { type Clock, Fault, isFault, Secret, settingFault, silentLog } from '#kernel';
import {
  type ArchiveReport,
  archiveName,
  checkRecipients,
  type Key,
  type Lock,
  openSealedOnRedis,
  outlived,
  removeOutlived,
  restoreArchive,
  type SealedStore,
  writeArchive,
} from '#store';
import { loadKeyring } from '#vault';
import { databasePlace, homeOf, masterKey, redisPlace } from './places.ts';

/** Writes one archive into a folder, then removes those that outlived their time. @throws {Fault} `folder_unusable`, and of `writeArchive` */
export async function backup(order: BackupOrder, settings: Settings, clock: Clock, version: string): Promise<BackupOutcome> {
  const lock = await lockOf(settings);
  try {
    mkdirSync(order.to, { recursive: true, mode: 0o700 });
    return await writeInto(order, lock, settings, clock, version);
  } catch (error) {
    throw folderFault(error);
  }
}

async function writeInto(order: BackupOrder, lock: Lock, settings: Settings, clock: Clock, version: string): Promise<BackupOutcome> {
  const { to, keep, dryRun, onProgress } = order;
  if (dryRun) return { archive: undefined, removed: keep === undefined ? [] : await outlived(to, keep, clock.now()) };
  const path = join(to, archiveName(clock.now()));
  const report = await withSealed(settings, clock, (sealed) =>
    writeArchive({ from: databasePlace(settings), sealed, path, lock, version, clock, onProgress }),
  );
  const removed = keep === undefined ? [] : await removeOutlived(to, keep, clock.now());
  const { bytes, sha256, verified } = report;
  return { archive: { ...factsOf(report), path, bytes, sha256, verified }, removed };
}

const fileCalls = new Set(['mkdir', 'scandir', 'open', 'write', 'fsync', 'rename', 'unlink', 'rm']);

/** What the system says of the folder of archives, or of a file in it, as a fault that a later try may mend. */
function folderFault(error: unknown): unknown {
  const { syscall = '', code = 'unknown' } = error as NodeJS.ErrnoException;
  if (!fileCalls.has(syscall)) return error;
  return new Fault('folder_unusable', { cause: error, detail: `The folder of the archives cannot be used (${code})` });
}

/** Puts an archive into the empty database of the settings. */
export async function restore(order: RestoreOrder, settings: Settings, env: Environment, clock: Clock): Promise<RestoreOutcome> {
  const { path, dryRun, onProgress } = order;
  const key = keyOf(order, settings);
  const content = await withSealed(settings, clock, (sealed) =>
    restoreArchive({ path, key, to: databasePlace(settings), sealed, clock, dryRun, onProgress }),
  );
  const held = await heldKeys(settings, env, clock);
  return { ...factsOf(content), missingKeys: content.manifest.master_keys.filter((id) => !held.has(id)) };
}

function factsOf({ manifest, tables }: Pick<ArchiveReport, 'manifest' | 'tables'>): ArchiveFacts {
  return { at: manifest.at, version: manifest.version, masterKeys: manifest.master_keys, tables };
}

async function withSealed<T>(settings: Settings, clock: Clock, work: (sealed: SealedStore | undefined) => Promise<T>): Promise<T> {
  if (settings.vaultBackend !== 'redis') return await work(undefined);
  const held = await openSealedOnRedis(redisPlace(settings), clock, silentLog);
  try {
    return await work(held.store);
  } finally {
    held.close();
  }
}

/** @throws {Fault} `invalid_setting` unless exactly one way is set */
async function lockOf({ backupPassphrase: passphrase, backupRecipient: recipients }: Settings): Promise<Lock> {
  if ((passphrase === undefined) === (recipients.length === 0)) {
    const sentence = 'give a passphrase, or the public keys of GATEHOUSE_BACKUP_RECIPIENT, and not both';
    throw settingFault({ GATEHOUSE_BACKUP_PASSPHRASE: sentence });
  }
  if (passphrase !== undefined) return { passphrase: new Secret(passphrase) };
  await checkRecipients(recipients);
  return { recipients };
}

function keyOf({ identity }: RestoreOrder, { backupPassphrase: passphrase }: Settings): Key {
  if (identity === undefined && passphrase === undefined)
    throw new Fault('invalid_usage', {
      detail: 'Nothing is given that opens the archive',
      hint: 'set GATEHOUSE_BACKUP_PASSPHRASE or its _FILE, or name a file of private keys with --identity',
    });
  return {
    passphrase: passphrase === undefined ? undefined : new Secret(passphrase),
    identities: identity === undefined ? [] : identitiesIn(identity),
  };
}

/** Lines of a file as age-keygen writes it; comments begin with `#`. */
function identitiesIn(path: string): readonly Secret<string>[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Fault('invalid_usage', { detail: 'The identity file cannot be read', hint: 'see --identity', cause });
  }
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => new Secret(line));
}

/** Ids of the master keys that the settings lead to; none is made. */
async function heldKeys(settings: Settings, env: Environment, clock: Clock): Promise<ReadonlySet<string>> {
  try {
    const defaultFile = foldersOf(homeOf(settings), env).masterKey;
    const keyring = await loadKeyring({ ...masterKey(settings), production: false, storeIsEmpty: false, defaultFile, clock });
    return new Set(keyring.all().map(({ id }) => id));
  } catch (error) {
    if (isFault(error, 'master_key_missing')) return new Set();
    throw error;
  }
}
