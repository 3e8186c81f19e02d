import type { Clock, Log } from '#kernel';
import { migrate, schemaState } from './migrate.ts';
import { migrations } from './migrations/index.ts';
import { type DatabasePlace, mayBeThere, openDatabase } from './open-database.ts';
import type { SchemaState } from './ports.ts';

/** The schema alone, for whoever may change it. */
export interface SchemaKeeper {
  state(): Promise<SchemaState>;
  /** @throws {Fault} `store_foreign`, `store_newer` */
  migrate(options: { readonly intoExisting: boolean }): Promise<readonly string[]>;
  close(): Promise<void>;
}

const unmade: SchemaState = { applied: [], pending: migrations.map(({ name }) => name), newer: [], foreign: [] };

/** Opens only what migrations need. On SQLite the file is made by `migrate`, not by looking. */
export async function openSchema(
  place: DatabasePlace,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<SchemaKeeper> {
  let records = mayBeThere(place) ? await openDatabase(place, clock) : undefined;
  return Object.freeze({
    state: async () => (records === undefined ? unmade : await schemaState(records)),
    async migrate({ intoExisting }: { readonly intoExisting: boolean }) {
      records ??= await openDatabase(place, clock);
      return await migrate(records, clock, { log, intoExisting });
    },
    close: async () => records?.close(),
  });
}
