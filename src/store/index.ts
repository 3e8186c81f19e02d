/**
 * State: Records (SQL), Ephemera (TTL), SealedStore (ciphertext by key) and the change feed.
 *
 * Owns: the ports, the schema, migrations, and every word of a SQL dialect (`backends/`).
 * Leans on: nothing but the kernel.
 * Lives elsewhere: queries (each room's `*.sql.ts`), meaning, sealing.
 */

export { checkRecipients, type Key, type Lock } from './archive/encryption.ts';
export { archiveName, outlived, removeOutlived } from './archive/folder.ts';
export { type RestoreOptions, restoreArchive } from './archive/restore.ts';
export { type ArchiveOptions, type ArchiveReport, writeArchive } from './archive/write.ts';
export { createMemoryEphemera } from './backends/memory.ts';
export { redisAcl } from './backends/redis/acl.ts';
export { type HeldSealed, openSealedOnRedis } from './backends/redis/open.ts';
export { aloneByFile } from './backends/sqlite/file-lock.ts';
export { isUniqueViolation, StoreMisuse, UniqueViolation } from './errors.ts';
export { cacheByGeneration, type GenerationCache } from './generation-cache.ts';
export { type Build, hotQuery } from './hot-query.ts';
export { bearerKey, type EphemeraKind, ephemeraKey, ephemeraKinds, sha256 } from './keys.ts';
export { type CopyOptions, type CopyReport, copyDatabase, type MovingProgress } from './moving/copy.ts';
export type { TableDigest } from './moving/rows.ts';
export { type MoveOptions, type MoveReport, moveSealed } from './moving/sealed.ts';
export { openStore, type StoreOptions } from './open.ts';
export { type DatabasePlace, inspectDatabase, standingAt } from './open-database.ts';
export { containing, type Page, pageLimit, pageOf, rowOfCursor } from './paging.ts';
export {
  type Changes,
  type Ephemera,
  type Reading,
  type Records,
  type SchemaState,
  type Scope,
  type SealedEntry,
  type SealedStore,
  type Store,
  type StoreServer,
  stalest,
  type Topic,
  topics,
  type Writing,
} from './ports.ts';
export type { Schema } from './schema.ts';
export { openSchema, type SchemaKeeper } from './schema-keeper.ts';
export { serversNamed } from './servers.ts';
export { forgetSpent, madeFrom, type SpentValue, spend } from './spent.ts';
export { beginPause, endPause, refuseStanding, type Standing } from './standing.ts';
