import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import type { Kysely } from 'kysely';
import { type Clock, Fault, settingFault } from '#kernel';
import { migrations } from '../migrations/index.ts';
import { originOf, refuseOutdated } from '../moving/copy.ts';
import { countRows, pagesOf, type TableDigest } from '../moving/rows.ts';
import { ownOf } from '../moving/sealed.ts';
import { movedTables } from '../moving/tables.ts';
import { type DatabasePlace, openDatabase } from '../open-database.ts';
import { placeOfSealed } from '../place-of-sealed.ts';
import type { SealedStore } from '../ports.ts';
import type { Schema } from '../schema.ts';
import { fileKeyOf, type Lock, readEncrypted, writeEncrypted } from './encryption.ts';
import { format, type Manifest, redisTable, writing } from './lines.ts';
import { readArchive } from './read.ts';

export interface ArchiveProgress {
  readonly step: 'writing' | 'verifying' | 'restoring';
  readonly done: number;
  readonly total: number;
}

export interface ArchiveOptions {
  readonly from: DatabasePlace;
  /** Where sealed values lie, if not in the database. */
  readonly sealed: SealedStore | undefined;
  readonly path: string;
  readonly lock: Lock;
  /** Of this program. */
  readonly version: string;
  readonly clock: Clock;
  readonly onProgress?: (progress: ArchiveProgress) => void;
}

export interface ArchiveReport {
  readonly manifest: Manifest;
  readonly tables: readonly TableDigest[];
  readonly bytes: number;
  /** Of the file. */
  readonly sha256: string;
  /** `content`: it was opened again, and read to its end. `file`: only its bytes were compared, since nobody here can open it. */
  readonly verified: 'content' | 'file';
}

/**
 * Writes one state of everything into an encrypted archive, while the installation may be served, and verifies it. The file
 * has its name only once it is whole. @throws {Fault} `store_outdated`, `not_found`, `copy_differs`
 */
export async function writeArchive(options: ArchiveOptions): Promise<ArchiveReport> {
  const partial = `${options.path}.partial`;
  try {
    const { manifest, tables, sha256 } = await writePartial(options, partial);
    const verified = await verify(options, partial, sha256, tables);
    const { size } = await stat(partial);
    await rename(partial, options.path);
    return { manifest, tables, bytes: size, sha256, verified };
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

async function writePartial(options: ArchiveOptions, partial: string) {
  const source = await openDatabase(options.from, options.clock, { mustExist: true });
  try {
    await refuseOutdated(source);
    const origin = await originOf(source);
    return await source.snapshot(async (db) => {
      const manifest = await manifestOf(db, options, origin);
      const content = writing();
      const hash = createHash('sha256');
      await writeEncrypted(partial, options.lock, linesOf(db, options, manifest, content), (bytes) => hash.update(bytes));
      return { manifest, tables: content.digests(), sha256: hash.digest('hex') };
    });
  } finally {
    await source.close();
  }
}

async function manifestOf(db: Kysely<Schema>, { sealed, version, clock }: ArchiveOptions, origin: string): Promise<Manifest> {
  const lies = await placeOfSealed(db);
  if ((lies === 'redis') !== (sealed !== undefined))
    throw settingFault({ GATEHOUSE_VAULT_BACKEND: `the sealed values of this installation lie on the other side; write ${lies}` });
  const keys = await db.selectFrom('data_keys').select('master_key_id').distinct().orderBy('master_key_id').execute();
  return {
    gatehouse: 'backup',
    format,
    version,
    at: clock.now(),
    origin,
    migrations: migrations.map(({ name }) => name),
    master_keys: keys.map(({ master_key_id: id }) => id),
    sealed: lies,
  };
}

/** The database first: a sealed value that is newer than its row opens, an older one does not. */
async function* linesOf(
  db: Kysely<Schema>,
  { sealed, onProgress = () => {} }: ArchiveOptions,
  manifest: Manifest,
  content: ReturnType<typeof writing>,
): AsyncGenerator<string> {
  yield content.manifest(manifest);
  let total = 0;
  for (const table of movedTables) total += await countRows(db, table);
  let done = 0;
  for (const table of movedTables) {
    content.table(table.name);
    for await (const rows of pagesOf(db, table)) {
      yield rows.map((row) => content.row(table.name, row)).join('');
      done += rows.length;
      onProgress({ step: 'writing', done, total });
    }
  }
  if (sealed !== undefined) yield* sealedLines(db, sealed, content);
  yield content.end();
}

const keysAtOnce = 500;

async function* sealedLines(db: Kysely<Schema>, sealed: SealedStore, content: ReturnType<typeof writing>): AsyncGenerator<string> {
  content.table(redisTable);
  let after: string | undefined;
  for (;;) {
    const keys = await sealed.list('vault:', { limit: keysAtOnce, ...(after === undefined ? {} : { after }) });
    for (const key of await ownOf(db, keys)) {
      const entry = await sealed.get(key);
      if (entry !== undefined) yield content.row(redisTable, { key, envelope: entry.envelope });
    }
    after = keys.at(-1);
    if (keys.length < keysAtOnce) return;
  }
}

async function verify(
  { lock, onProgress = () => {} }: ArchiveOptions,
  path: string,
  sha256: string,
  tables: readonly TableDigest[],
): Promise<ArchiveReport['verified']> {
  if ((await digestOfFile(path)) !== sha256) throw new Fault('copy_differs', { detail: 'The file is not what was written to it' });
  if (!('passphrase' in lock)) return 'file';
  const total = tables.reduce((sum, { rows }) => sum + rows, 0);
  let done = 0;
  const fileKey = await fileKeyOf(path, { passphrase: lock.passphrase, identities: [] });
  const found = await readArchive(readEncrypted(path, fileKey), async () => {
    done += 1;
    onProgress({ step: 'verifying', done, total });
  });
  if (JSON.stringify(found.tables) !== JSON.stringify(tables)) throw new Fault('copy_differs');
  return 'content';
}

async function digestOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path)) hash.update(part as Buffer);
  return hash.digest('hex');
}
