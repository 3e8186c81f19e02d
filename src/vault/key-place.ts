import type { Secret } from '#kernel';

/** Where the text of the master keys is kept: a file, or the keyring of the operating system. */
export interface KeyPlace {
  /** Undefined where nothing is kept yet. @throws {Fault} where it cannot be read, or others could read it */
  read(): Promise<Secret<string> | undefined>;
  /** Keeps this text unless some is kept already: of any number of processes at once, one does. */
  make(text: string): Promise<void>;
  /** Keeps what `change` makes of the text, alone among processes. @throws {Fault} `master_key_missing`, `conflict` */
  change(change: (text: Secret<string>) => string): Promise<void>;
}
