import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { type Clock, Fault, type Secret, systemClock } from '#kernel';
import { keyFile } from './key-file.ts';
import { type KeyPlace, textIn } from './key-place.ts';
import { newKeys, parseKeys, withNewKey } from './key-text.ts';
import { type MasterKey, parseMasterKey } from './master-key.ts';
import { osKeyring } from './os-keyring.ts';

/** The master keys this process holds. Never empty. */
export interface Keyring {
  /** The newest: what wraps from now on. */
  current(): MasterKey;
  /** The oldest: what codes are authenticated with, so that adding a key changes no code. */
  oldest(): MasterKey;
  find(id: string): MasterKey | undefined;
  all(): readonly MasterKey[];
  /** Reads them again, where they are kept. */
  reload(): Promise<void>;
  /**
   * Keeps one more key, which is current from now on, and answers with its id; the old ones stay. Two at once add two.
   * @throws {Fault} `invalid_setting` for keys that were given as a value; `master_key_missing`, `master_key_malformed`, `conflict`
   */
  add(): Promise<string>;
}

export interface KeyringSettings {
  /** `GATEHOUSE_MASTER_KEY`. */
  readonly value?: Secret<string>;
  /** `GATEHOUSE_MASTER_KEY_FILE`. */
  readonly file?: string;
  /** `GATEHOUSE_MASTER_KEY_IN=keyring`: the account in the keyring of the operating system. */
  readonly osAccount?: string;
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
 * Finds the master keys: the value, else the named file, else the keyring of the operating system where it is asked for,
 * else the default file. A place that no setting names gets a key for an empty SQLite store without production
 * rules; what is there is never overwritten.
 * @throws {Fault} `master_key_missing`, `master_key_malformed`, `invalid_setting`
 */
export async function loadKeyring(settings: KeyringSettings): Promise<Keyring> {
  const { value, file, production, clock = systemClock } = settings;
  refuseTwo(settings);
  if (value !== undefined) return keyringOf([parseMasterKey(value, production)]);
  const place = placeOf(settings);
  const mayMake = file === undefined && settings.storeIsEmpty && !production;
  if (mayMake && (await place.read()) === undefined) await place.make(newKeys(clock));
  return keyringOf(await readKeys(place, production), { place, production, clock });
}

/** Where keys can be read again, and added. */
interface Kept {
  readonly place: KeyPlace;
  readonly production: boolean;
  readonly clock: Clock;
}

/** A keyring of these keys, oldest first. */
export function keyringOf(keys: readonly MasterKey[], kept?: Kept): Keyring {
  let held = sorted(keys);
  const reload = async () => {
    if (kept !== undefined) held = sorted(await readKeys(kept.place, kept.production));
  };
  return Object.freeze({
    current: () => at(held, -1),
    oldest: () => at(held, 0),
    find: (id: string) => held.find((key) => key.id === id),
    all: () => held,
    reload,
    async add() {
      if (kept === undefined) throw givenAsValue();
      let id = '';
      await kept.place.change((text) => {
        const made = withNewKey(text, kept.clock);
        id = made.id;
        return made.text;
      });
      await reload();
      return id;
    },
  });
}

function placeOf({ file, osAccount, defaultFile, dataFolder }: KeyringSettings): KeyPlace {
  if (osAccount !== undefined) {
    const lock = join(dataFolder ?? dirname(defaultFile), `${basename(defaultFile)}.lock`);
    return osKeyring({ account: osAccount, lock });
  }
  const path = file ?? defaultFile;
  refuseDataFolder(path, dataFolder);
  return keyFile(path);
}

async function readKeys(place: KeyPlace, production: boolean): Promise<readonly MasterKey[]> {
  return parseKeys(await textIn(place), production);
}

function refuseTwo({ value, file, osAccount }: KeyringSettings): void {
  const said = Object.entries({
    GATEHOUSE_MASTER_KEY: value,
    GATEHOUSE_MASTER_KEY_FILE: file,
    'GATEHOUSE_MASTER_KEY_IN=keyring': osAccount,
  }).flatMap(([name, given]) => (given === undefined ? [] : [name]));
  if (said.length > 1) throw new Fault('invalid_setting', { detail: `${said.join(' and ')} are both set`, hint: 'keep one of them' });
}

function givenAsValue(): Fault {
  return new Fault('invalid_setting', {
    detail: 'the master key is given as a value',
    hint: 'keep the keys in a file, named by GATEHOUSE_MASTER_KEY_FILE, to add to them',
  });
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
