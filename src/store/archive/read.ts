import { Fault } from '#kernel';
import type { TableDigest } from '../moving/rows.ts';
import { type ArchivedRow, type Manifest, parseManifest, reading } from './lines.ts';

export interface ArchiveContent {
  readonly manifest: Manifest;
  readonly tables: readonly TableDigest[];
}

/**
 * Reads an archive to its end and proves that it is whole; rows come before that is proven.
 * @throws {Fault} `backup_damaged`, `backup_format`
 */
export async function readArchive(lines: AsyncGenerator<string>, onRow: (row: ArchivedRow) => Promise<void>): Promise<ArchiveContent> {
  const first = await lines.next();
  if (first.done === true) throw new Fault('backup_damaged');
  const manifest = parseManifest(first.value);
  const content = reading();
  for await (const line of lines) {
    const row = content.line(line);
    if (row !== undefined) await onRow(row);
  }
  return { manifest, tables: content.end() };
}
