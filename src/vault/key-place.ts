import { Fault, type Secret } from '#kernel';
import { alone } from './key-lock.ts';

/** Where the text of the master keys is kept: a file, or the keyring of the operating system. */
export interface KeyPlace {
  /** Undefined where nothing is kept yet. @throws {Fault} where it cannot be read, or others could read it */
  read(): Promise<Secret<string> | undefined>;
  /** Keeps this text unless some is kept already: of any number of processes at once, one does. */
  make(text: string): Promise<void>;
  /** Keeps what `change` makes of the text, alone among processes. @throws {Fault} `master_key_missing`, `conflict` */
  change(change: (text: Secret<string>) => string): Promise<void>;
}

/** The text that is kept. @throws {Fault} `master_key_missing` */
export async function textIn({ read }: Pick<KeyPlace, 'read'>): Promise<Secret<string>> {
  const text = await read();
  if (text === undefined) throw new Fault('master_key_missing');
  return text;
}

/** How a place changes its text that can write another, alone among processes by `lock`. */
export function changing(place: Pick<KeyPlace, 'read'>, lock: string, write: (text: string) => Promise<void>): KeyPlace['change'] {
  return (change) => alone(lock, async () => write(change(await textIn(place))));
}
