import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Fault, Secret } from '#kernel';
import { alone } from './key-lock.ts';
import { changing, type KeyPlace } from './key-place.ts';

export interface OsKeyringOptions {
  /** Which installation of this user: its data folder. */
  readonly account: string;
  /** A file that only one process can make at a time. */
  readonly lock: string;
}

type Entry = import('@napi-rs/keyring').AsyncEntry;

/**
 * The keyring of the operating system: Keychain, Credential Manager, or the Secret Service of a Linux desktop. The
 * kernel's keyring, which forgets at a restart, never stands in for it. Processes of one user agree by a file, since
 * a keyring has no verb that makes an entry only once.
 * @throws {Fault} `invalid_setting` where the package or the keyring is not there, or is locked
 */
export function osKeyring({ account, lock }: OsKeyringOptions): KeyPlace {
  let opened: Promise<Entry> | undefined;
  const entry = () => {
    opened ??= openEntry(account);
    return opened;
  };
  const read = async () => {
    const text = await (await entry()).getPassword().catch(refused);
    return text === null || text === undefined ? undefined : new Secret(text);
  };
  /** What was written is read again: a keyring may keep less than it says. */
  const write = async (text: string) => {
    await (await entry()).setPassword(text).catch(refused);
    if ((await read())?.reveal() !== text) throw unavailable('The keyring did not keep what was given to it');
  };
  return Object.freeze({
    read,
    async make(text: string) {
      await mkdir(dirname(lock), { recursive: true, mode: 0o700 });
      await alone(lock, async () => {
        if ((await read()) === undefined) await write(text);
      });
    },
    change: changing({ read }, lock, write),
  });
}

async function openEntry(account: string): Promise<Entry> {
  const { AsyncEntry } = await import('@napi-rs/keyring').catch((cause: unknown) => {
    const detail = 'the keyring of GATEHOUSE_MASTER_KEY_IN is reached with the package @napi-rs/keyring, which is not installed';
    throw new Fault('invalid_setting', { detail, hint: 'install it beside gatehouse: npm i @napi-rs/keyring', cause });
  });
  try {
    return new AsyncEntry('gatehouse', account, { linux: { store: 'secret-service' } });
  } catch (cause) {
    return refused(cause);
  }
}

/** The cause may quote what was stored, so it is not passed on. */
function refused(_: unknown): never {
  throw unavailable('The keyring of the operating system is not there, or is locked');
}

function unavailable(detail: string): Fault {
  return new Fault('invalid_setting', { detail, hint: 'unlock it, or keep the master keys in a file: GATEHOUSE_MASTER_KEY_IN=file' });
}
