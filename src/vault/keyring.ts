import { isAbsolute, relative, resolve } from 'node:path';
import { type Clock, Fault, type Secret, systemClock } from '#kernel';
import { makeKeyFile, readKeyFile } from './key-file.ts';
import { type MasterKey, parseMasterKey } from './master-key.ts';

/** The master keys this process holds. Never empty. */
export interface Keyring {
  /** The newest: what wraps from now on. */
  current(): MasterKey;
  /** The oldest: what codes are authenticated with, so that adding a key changes no code. */
  oldest(): MasterKey;
  find(id: string): MasterKey | undefined;
  all(): readonly MasterKey[];
  /** Reads the key file again, where there is one. */
  reload(): Promise<void>;
}

export interface KeyringSettings {
  /** `GATEHOUSE_MASTER_KEY`. */
  readonly value?: Secret<string>;
  /** `GATEHOUSE_MASTER_KEY_FILE`. */
  readonly file?: string;
  readonly production: boolean;
  /** True only for an empty SQLite store: the one case in which a key file is made (SECURITY 20). */
  readonly storeIsEmpty: boolean;
  /** Where the key file is when no setting says so; in the configuration folder, never the data folder. */
  readonly defaultFile: string;
  /** A key file in this folder is refused. */
  readonly dataFolder?: string;
  readonly clock?: Clock;
}

/**
 * Finds the master keys: the value, else the named file, else the default file, which is made for an empty SQLite store
 * without production rules and never overwritten.
 * @throws {Fault} `master_key_missing`, `master_key_malformed`, `invalid_setting`
 */
export async function loadKeyring(settings: KeyringSettings): Promise<Keyring> {
  const { value, file, production } = settings;
  if (value !== undefined && file !== undefined) {
    throw new Fault('invalid_setting', {
      detail: 'GATEHOUSE_MASTER_KEY and GATEHOUSE_MASTER_KEY_FILE are both set',
      hint: 'keep one of them',
    });
  }
  if (value !== undefined) return keyringOf([parseMasterKey(value, production)]);
  const path = file ?? settings.defaultFile;
  refuseDataFolder(path, settings.dataFolder);
  const mayMake = file === undefined && settings.storeIsEmpty && !production;
  const read = () => readKeyFile(path, production);
  return keyringOf(mayMake ? await readOrMake(path, read, settings.clock ?? systemClock) : required(await read()), read);
}

/** A keyring of these keys, oldest first. `read` is how they are read again. */
export function keyringOf(keys: readonly MasterKey[], read?: () => Promise<readonly MasterKey[] | undefined>): Keyring {
  let held = sorted(keys);
  return Object.freeze({
    current: () => at(held, -1),
    oldest: () => at(held, 0),
    find: (id: string) => held.find((key) => key.id === id),
    all: () => held,
    async reload() {
      if (read !== undefined) held = sorted(required(await read()));
    },
  });
}

type ReadKeys = () => Promise<readonly MasterKey[] | undefined>;

async function readOrMake(path: string, read: ReadKeys, clock: Clock): Promise<readonly MasterKey[]> {
  const present = await read();
  if (present !== undefined) return present;
  await makeKeyFile(path, clock);
  return required(await read());
}

function required(keys: readonly MasterKey[] | undefined): readonly MasterKey[] {
  if (keys === undefined) throw new Fault('master_key_missing');
  return keys;
}

function refuseDataFolder(path: string, folder: string | undefined): void {
  if (folder === undefined) return;
  const inside = relative(resolve(folder), resolve(path));
  if (inside === '' || (!inside.startsWith('..') && !isAbsolute(inside))) {
    throw new Fault('invalid_setting', {
      detail: 'The key file is in the data folder, where a copy of the database would take it along',
      hint: 'move it out and set GATEHOUSE_MASTER_KEY_FILE',
    });
  }
}

/** By age; keys of the same time stay in the order of the file. */
function sorted(keys: readonly MasterKey[]): readonly MasterKey[] {
  return keys.toSorted((a, b) => a.createdAt - b.createdAt);
}

function at(keys: readonly MasterKey[], index: number): MasterKey {
  const key = keys.at(index);
  if (key === undefined) throw new Fault('master_key_missing');
  return key;
}
