import type { ColumnDefinitionBuilder, Kysely } from 'kysely';
import { sql } from 'kysely';
import type { ColumnWords } from '../backend.ts';

/** A column: a word of `ColumnWords`; a question mark says that it may be null. `row` is the row id. */
export type ColumnShape = 'row' | `${Exclude<keyof ColumnWords, 'row' | 'ending' | 'ephemera'>}${'' | '?'}`;

/** One table, without a dialect word. Every column is NOT NULL unless its shape says otherwise. */
export interface TableShape<C extends string = string> {
  readonly columns: Readonly<Record<C, ColumnShape>>;
  readonly primary?: readonly C[];
  readonly unique?: readonly (readonly C[])[];
  readonly indexes?: readonly (readonly C[])[];
}

// biome-ignore lint/suspicious/noExplicitAny: a migration is older or newer than the schema type, so it has none
type AnyDatabase = Kysely<any>;

/** Creates a table with its constraints and indexes, named after their columns. */
export async function createTable(db: AnyDatabase, words: ColumnWords, name: string, shape: TableShape): Promise<void> {
  let table = db.schema.createTable(name);
  for (const [column, kind] of Object.entries(shape.columns)) {
    const nullable = kind.endsWith('?');
    const word = words[kind.replace('?', '') as Exclude<keyof ColumnWords, 'ending' | 'ephemera'>];
    table = table.addColumn(column, sql.raw(word), (definition) => constrain(definition, kind, nullable));
  }
  if (shape.primary !== undefined) table = table.addPrimaryKeyConstraint(`${name}_primary`, [...shape.primary] as never[]);
  for (const columns of shape.unique ?? [])
    table = table.addUniqueConstraint(`${name}_${columns.join('_')}_unique`, [...columns] as never[]);
  if (words.ending !== undefined) table = table.modifyEnd(sql.raw(words.ending));
  await table.execute();
  for (const columns of shape.indexes ?? []) {
    await db.schema
      .createIndex(`${name}_${columns.join('_')}`)
      .on(name)
      .columns([...columns])
      .execute();
  }
}

function constrain(definition: ColumnDefinitionBuilder, kind: ColumnShape, nullable: boolean): ColumnDefinitionBuilder {
  if (kind === 'row') return definition.primaryKey();
  return nullable ? definition : definition.notNull();
}
