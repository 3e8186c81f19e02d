import { z } from 'zod';
import { Fault } from '#kernel';
import { digesting, type MovedRow, type TableDigest } from '../moving/rows.ts';

/**
 * The content of an archive, before it is compressed and encrypted: lines of JSON. First what it is, then every row as
 * `["table", {…}]`, bytes as `{"b": base64}`, at the end what it all comes to.
 */
export const format = 1;

/** Sealed values that lie on Redis are rows of a table that no database has. */
export const redisTable = 'sealed_on_redis';

const manifestShape = z.object({
  gatehouse: z.literal('backup'),
  format: z.int(),
  /** Of the program that wrote it. */
  version: z.string(),
  /** The state is the one of this time, milliseconds. */
  at: z.int(),
  origin: z.string(),
  migrations: z.array(z.string()),
  /** The master keys that open it; none of them is in it. */
  master_keys: z.array(z.string()),
  sealed: z.enum(['database', 'redis']),
});
export type Manifest = Readonly<z.infer<typeof manifestShape>>;

const endShape = z.object({ end: z.array(z.object({ table: z.string(), rows: z.int(), sha256: z.string() })) });
const rowShape = z.tuple([z.string(), z.record(z.string(), z.union([z.string(), z.number(), z.null(), z.object({ b: z.base64() })]))]);

export interface ArchivedRow {
  readonly table: string;
  readonly row: MovedRow;
}

/** Writes lines, and counts what goes by. */
export function writing() {
  const digests = new Map<string, ReturnType<typeof digesting>>();
  let ended: readonly TableDigest[] = [];
  return {
    /** Names a table that may have no row. */
    table: (name: string) => void digestOf(digests, name),
    manifest: (manifest: Manifest) => `${JSON.stringify(manifest)}\n`,
    row(table: string, row: MovedRow): string {
      digestOf(digests, table).add(row);
      return `${JSON.stringify([table, row], printBytes)}\n`;
    },
    end(): string {
      ended = [...digests.values()].map((digest) => digest.end());
      return `${JSON.stringify({ end: ended })}\n`;
    },
    /** Of every table, once the end was written. */
    digests: () => ended,
  };
}

function digestOf(digests: Map<string, ReturnType<typeof digesting>>, table: string) {
  const known = digests.get(table) ?? digesting(table);
  digests.set(table, known);
  return known;
}

/** A Buffer turns itself into an object before it gets here. */
function printBytes(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return { b: Buffer.from(value).toString('base64') };
  if (typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer' && 'data' in value)
    return { b: Buffer.from(value.data as number[]).toString('base64') };
  return value;
}

/** @throws {Fault} `backup_format` for another format, `backup_damaged` for anything that is none */
export function parseManifest(line: string): Manifest {
  const manifest = manifestShape.safeParse(parse(line));
  if (!manifest.success) throw new Fault('backup_damaged');
  if (manifest.data.format !== format) throw new Fault('backup_format');
  return manifest.data;
}

/** Reads lines after the first, and proves at the end that nothing is missing, doubled or changed. */
export function reading() {
  const digests = new Map<string, ReturnType<typeof digesting>>();
  let told: readonly TableDigest[] | undefined;
  return {
    /** A row; undefined at the end. @throws {Fault} `backup_damaged` */
    line(text: string): ArchivedRow | undefined {
      if (told !== undefined) throw new Fault('backup_damaged');
      const value = parse(text);
      if (!Array.isArray(value)) {
        told = shaped(endShape, value).end;
        return undefined;
      }
      const [table, cells] = shaped(rowShape, value);
      const row = Object.fromEntries(Object.entries(cells).map(([name, cell]) => [name, cellOf(cell)]));
      digestOf(digests, table).add(row);
      return { table, row };
    },
    /** @throws {Fault} `backup_damaged` */
    end(): readonly TableDigest[] {
      if (told === undefined) throw new Fault('backup_damaged');
      for (const { table } of told) digestOf(digests, table);
      const found = new Map([...digests].map(([table, digest]) => [table, digest.end()]));
      if (found.size !== told.length) throw new Fault('backup_damaged');
      for (const { table, rows, sha256 } of told)
        if (found.get(table)?.rows !== rows || found.get(table)?.sha256 !== sha256) throw new Fault('backup_damaged');
      return told;
    },
  };
}

function cellOf(cell: string | number | null | { readonly b: string }): MovedRow[string] {
  return typeof cell === 'object' && cell !== null ? Buffer.from(cell.b, 'base64') : cell;
}

function shaped<T>(shape: z.ZodType<T>, value: unknown): T {
  const parsed = shape.safeParse(value);
  if (!parsed.success) throw new Fault('backup_damaged');
  return parsed.data;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new Fault('backup_damaged');
  }
}
