import { type Clock, Fault, type Secret, settingFault } from '#kernel';
import type { RecordsBackend } from '../backend.ts';
import { isEmpty, migrate } from '../migrate.ts';
import { migrations } from '../migrations/index.ts';
import { digestsOf, refuseDifferent } from '../moving/copy.ts';
import { beginFilling, type Filling } from '../moving/filling.ts';
import { clearTable, insertRows, type MovedRow, pageSize, type TableDigest } from '../moving/rows.ts';
import { type MovedTable, movedTables } from '../moving/tables.ts';
import { type DatabasePlace, openDatabase } from '../open-database.ts';
import type { SealedStore } from '../ports.ts';
import { type Standing, standingOf } from '../standing.ts';
import { fileKeyOf, type Key, readEncrypted } from './encryption.ts';
import { type ArchivedRow, type Manifest, redisTable } from './lines.ts';
import { type ArchiveContent, readArchive } from './read.ts';
import type { ArchiveProgress } from './write.ts';

export interface RestoreOptions {
  readonly path: string;
  readonly key: Key;
  readonly to: DatabasePlace;
  /** Where sealed values go, if not into the database. */
  readonly sealed: SealedStore | undefined;
  readonly clock: Clock;
  /** Only reads the archive to its end, and looks whether the target would take it. */
  readonly dryRun?: boolean;
  readonly onProgress?: (progress: ArchiveProgress) => void;
}

/** A restore whose archive has been opened. */
type Restoring = RestoreOptions & { readonly fileKey: Secret<Uint8Array> };

/**
 * Puts an archive into an empty database. It is read to its end before anything is written; the restored installation is
 * paused. One that was cut is not served, and begins again when it is repeated.
 * @throws {Fault} `backup_key_wrong`, `backup_damaged`, `backup_format`, `store_not_empty`, `invalid_setting`
 */
export async function restoreArchive(given: RestoreOptions): Promise<ArchiveContent> {
  const options = { ...given, fileKey: await fileKeyOf(given.path, given.key) };
  const content = await prove(options);
  refuseMismatch(content.manifest, options);
  if (options.sealed !== undefined) await refuseForeignSealed(options, options.sealed);
  if (options.dryRun === true) return content;
  const target = await openDatabase(options.to, options.clock);
  try {
    await restoreInto(target, content, options);
  } finally {
    await target.close();
  }
  return content;
}

/** Reads everything once, and where something is there already looks at it too. */
async function prove({ path, fileKey, to, clock, onProgress = () => {} }: Restoring): Promise<ArchiveContent> {
  let done = 0;
  const content = await readArchive(readEncrypted(path, fileKey), async () => {
    done += 1;
    onProgress({ step: 'verifying', done, total: done });
  });
  const target = await openDatabase(to, clock, { mustExist: true }).catch((error: unknown) => {
    if (error instanceof Fault && error.code === 'not_found') return undefined;
    throw error;
  });
  if (target === undefined) return content;
  try {
    await refuseOccupied(target);
  } finally {
    await target.close();
  }
  return content;
}

function refuseMismatch({ sealed: lay, migrations: steps }: Manifest, { sealed }: RestoreOptions): void {
  if (JSON.stringify(steps) !== JSON.stringify(migrations.map(({ name }) => name)))
    throw new Fault('backup_format', { detail: 'The archive was written by a version with another schema' });
  if ((lay === 'redis') === (sealed !== undefined)) return;
  const sentence = `the sealed values of this archive lay ${lay === 'redis' ? 'on Redis' : 'in the database'}; write ${lay}`;
  throw settingFault({ GATEHOUSE_VAULT_BACKEND: sentence });
}

/** What a restore that was cut has left was never served, so it is no data. */
async function refuseOccupied(target: RecordsBackend): Promise<void> {
  if (await isEmpty(target)) return;
  const standing = await standingOf(target);
  if (standing === undefined || !isLeft(standing)) throw new Fault('store_not_empty');
}

function isLeft({ state, by }: Standing): boolean {
  return state === 'incomplete' && by === 'restore';
}

async function refuseForeignSealed({ path, fileKey }: Restoring, sealed: SealedStore): Promise<void> {
  await readArchive(readEncrypted(path, fileKey), async ({ table, row }) => {
    if (table !== redisTable) return;
    const { key, envelope } = sealedOf(row);
    const there = await sealed.get(key);
    if (there !== undefined && !Buffer.from(there.envelope).equals(envelope))
      throw new Fault('store_not_empty', {
        detail: 'Redis holds sealed values of the same names already',
        hint: 'choose another GATEHOUSE_REDIS_PREFIX',
      });
  });
}

async function restoreInto(place: RecordsBackend, content: ArchiveContent, options: Restoring): Promise<void> {
  const { clock } = options;
  await migrate(place, clock);
  const filling = await beginFilling(place, { by: 'restore', origin: content.manifest.origin, at: clock.now() }, isLeft);
  const { target } = filling;
  try {
    for (const table of movedTables) await clearTable(target, table);
    await fill(target, content, options);
    refuseDifferent(
      content.tables.filter(({ table }) => table !== redisTable),
      await digestsOf(target),
    );
  } catch (error) {
    await undo(filling).catch(() => {});
    throw error;
  }
  await filling.end('paused');
}

/** As if nobody had begun; where that fails the target stays marked as incomplete. */
async function undo({ target, end }: Filling): Promise<void> {
  for (const table of movedTables) await clearTable(target, table);
  await end(undefined);
}

async function fill(target: RecordsBackend, { tables }: ArchiveContent, options: Restoring): Promise<void> {
  const { path, fileKey, onProgress = () => {} } = options;
  const total = tables.reduce((sum: number, { rows }: TableDigest) => sum + rows, 0);
  const put = putting(target, options);
  let done = 0;
  const again = await readArchive(readEncrypted(path, fileKey), async (archived) => {
    await put.row(archived);
    done += 1;
    onProgress({ step: 'restoring', done, total });
  });
  await put.end();
  refuseDifferent(tables, again.tables);
  await target.renumber(movedTables.filter(({ numbered }) => numbered).map(({ name }) => name));
}

/** Rows go in by the page. */
function putting(target: RecordsBackend, { sealed }: RestoreOptions) {
  const byName = new Map<string, MovedTable>(movedTables.map((table) => [table.name, table]));
  let current: MovedTable | undefined;
  let waiting: MovedRow[] = [];

  async function end(): Promise<void> {
    if (current !== undefined && waiting.length > 0) await insertRows(target, current, waiting);
    waiting = [];
  }

  return {
    end,
    async row({ table, row }: ArchivedRow): Promise<void> {
      if (table === redisTable) return await putSealed(sealed, row);
      const found = byName.get(table);
      if (found === undefined) throw new Fault('backup_damaged');
      if (found !== current || waiting.length >= pageSize) await end();
      current = found;
      waiting.push(row);
    },
  };
}

/** Nothing but values of vaults: whoever has the public key can make an archive, and Redis holds keys of others too. */
const ofVault = /^vault:vlt_[0-9a-z]{26}:./;

function sealedOf({ key, envelope }: MovedRow): { readonly key: string; readonly envelope: Uint8Array } {
  if (typeof key === 'string' && ofVault.test(key) && envelope instanceof Uint8Array) return { key, envelope };
  throw new Fault('backup_damaged');
}

async function putSealed(sealed: SealedStore | undefined, row: MovedRow): Promise<void> {
  if (sealed === undefined) throw new Fault('backup_damaged');
  const { key, envelope } = sealedOf(row);
  if (await sealed.put(key, envelope, 0)) return;
  const there = await sealed.get(key);
  if (there === undefined || !Buffer.from(there.envelope).equals(envelope)) throw new Fault('store_not_empty');
}
