import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as WebStream } from 'node:stream/web';
import { createGunzip, createGzip } from 'node:zlib';
import { Fault, Secret, settingFault } from '#kernel';

/** Who can open an archive: whoever knows the passphrase, or the holders of these public keys (`age1…`). */
export type Lock = { readonly passphrase: Secret<string> } | { readonly recipients: readonly string[] };

/** What opens one: a passphrase, or private keys (`AGE-SECRET-KEY-…`). */
export interface Key {
  readonly passphrase?: Secret<string> | undefined;
  readonly identities: readonly Secret<string>[];
}

type Bytes = ReadableStream<Uint8Array>;

const toWeb = (stream: Readable) => Readable.toWeb(stream) as unknown as Bytes;
const fromWeb = (stream: Bytes) => Readable.fromWeb(stream as unknown as WebStream<Uint8Array>);

/** Compresses and encrypts these lines into a file for its owner only, in the format age (age-encryption.org/v1). */
export async function writeEncrypted(
  path: string,
  lock: Lock,
  lines: AsyncIterable<string>,
  watch: (bytes: Uint8Array) => void,
): Promise<void> {
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  if ('passphrase' in lock) encrypter.setPassphrase(lock.passphrase.reveal());
  else for (const recipient of lock.recipients) encrypter.addRecipient(recipient);
  const compressed = createGzip({ level: 1 });
  const filled = pipeline(Readable.from(lines), compressed);
  // What fails in it is thrown by the pipeline that reads from it.
  filled.catch(() => {});
  const encrypted = await encrypter.encrypt(toWeb(compressed));
  const watched = async function* (parts: AsyncIterable<Uint8Array>) {
    for await (const part of parts) {
      watch(part);
      yield part;
    }
  };
  await pipeline(fromWeb(encrypted), watched, createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true }));
  await filled;
}

/** @throws {Fault} `invalid_setting` unless each is a public key */
export async function checkRecipients(recipients: readonly string[]): Promise<void> {
  const { Encrypter } = await import('age-encryption');
  try {
    for (const recipient of recipients) new Encrypter().addRecipient(recipient);
  } catch {
    throw settingFault({ GATEHOUSE_BACKUP_RECIPIENT: 'write public keys that begin with age1, as age-keygen prints them' });
  }
}

/** The longest header that is read: room for thousands of recipients. */
const headerBytes = 1024 * 1024;

/**
 * The key of this one file, found once however often it is read: to derive it from a passphrase is slow on purpose.
 * @throws {Fault} `not_found`, `backup_key_wrong`, `backup_damaged`, `invalid_usage`
 */
export async function fileKeyOf(path: string, { passphrase, identities }: Key): Promise<Secret<Uint8Array>> {
  const { Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  if (passphrase !== undefined) decrypter.addPassphrase(passphrase.reveal());
  addIdentities(decrypter, identities);
  const header = await buffer(await opened(path, headerBytes));
  try {
    return new Secret(await decrypter.decryptHeader(header));
  } catch (cause) {
    const wrong = cause instanceof Error && cause.message.includes('no identity matched');
    throw new Fault(wrong ? 'backup_key_wrong' : 'backup_damaged', { cause: plainError(cause) });
  }
}

/**
 * The lines of an archive. What was changed or cut is found out at its place, in blocks of 64 KiB, before the lines of that
 * block are given. @throws {Fault} `not_found`, `backup_damaged`
 */
export async function* readEncrypted(path: string, fileKey: Secret<Uint8Array>): AsyncGenerator<string> {
  const file = await opened(path);
  try {
    const unpacked = createGunzip();
    const flowing = pipeline(fromWeb(await decrypt(toWeb(file), fileKey)), unpacked);
    // What fails in it is thrown once its lines are read.
    flowing.catch(() => {});
    yield* linesOf(unpacked);
    await flowing;
  } catch (cause) {
    throw cause instanceof Fault ? cause : new Fault('backup_damaged', { cause: plainError(cause) });
  } finally {
    file.destroy();
  }
}

/** The file, or so many of its first bytes. @throws {Fault} `not_found` */
async function opened(path: string, bytes = Number.POSITIVE_INFINITY): Promise<Readable> {
  try {
    if (!(await stat(path)).isFile()) throw new Error('not a file');
    return createReadStream(path, { end: bytes - 1 });
  } catch (cause) {
    throw new Fault('not_found', { detail: 'There is no archive at that path', cause });
  }
}

async function decrypt(encrypted: Bytes, fileKey: Secret<Uint8Array>): Promise<Bytes> {
  const { Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  decrypter.addIdentity({ unwrapFileKey: () => fileKey.reveal() });
  return await decrypter.decrypt(encrypted);
}

/** @throws {Fault} `invalid_usage`, which repeats none */
function addIdentities(decrypter: { addIdentity(text: string): void }, identities: readonly Secret<string>[]): void {
  for (const identity of identities) {
    try {
      decrypter.addIdentity(identity.reveal());
    } catch {
      throw new Fault('invalid_usage', {
        detail: 'The identity file holds no private key of age',
        hint: 'name the file that age-keygen made',
      });
    }
  }
}

/** No row is nearly as long; one that never ends would take all the memory there is. */
const longestLine = 64 * 1024 * 1024;

/** What stands between line feeds, and nothing else ends a line. */
async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let begun: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(0x0a); at !== -1; at = chunk.indexOf(0x0a, from)) {
      yield Buffer.concat([...begun, chunk.subarray(from, at)]).toString('utf8');
      [begun, length] = [[], 0];
      from = at + 1;
    }
    length += chunk.length - from;
    if (length > longestLine) throw new Fault('backup_damaged', { detail: 'The archive holds a line that no backup writes' });
    if (from < chunk.length) begun.push(chunk.subarray(from));
  }
  if (begun.length > 0) throw new Fault('backup_damaged');
}

/** Of an error of the library only the words: it may hold what it read. */
function plainError(cause: unknown): Error {
  return new Error(cause instanceof Error ? cause.message : 'unknown');
}
