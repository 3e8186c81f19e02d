import type { Settings } from '#config';
import type { Clock, Log } from '#kernel';
import { openSchema, type SchemaKeeper, type SchemaState, type Store } from '#store';
import { databasePlace, placeOfUrl } from './places.ts';
import { whenItComes } from './waiting.ts';

interface Ground {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly log: Log;
}

/** Before a server starts: by its own role, by the one that is named for it, or by nobody here. */
export async function bringUpToDate(ground: Ground, store: Store): Promise<void> {
  const { migrate, migrateDatabaseUrl } = ground.settings;
  if (migrate === 'off') return await store.checkSchema();
  if (migrateDatabaseUrl === undefined) return void (await store.migrate());
  await withSchema(ground, (schema) => schema.migrate({ intoExisting: false }));
  await store.checkSchema();
}

export interface MigrateReport extends SchemaState {
  /** What was run now. */
  readonly ran: readonly string[];
}

/** `gatehouse migrate`: the migrations alone, without a server. */
export async function migrateAlone(
  ground: Ground,
  options: { readonly changes: boolean; readonly intoExisting: boolean },
): Promise<MigrateReport> {
  return await withSchema(ground, async (schema) => {
    const ran = options.changes ? await schema.migrate(options) : [];
    return { ...(await schema.state()), ran };
  });
}

async function withSchema<T>({ settings, clock, log }: Ground, use: (schema: SchemaKeeper) => Promise<T>): Promise<T> {
  const url = settings.migrateDatabaseUrl ?? settings.databaseUrl;
  const place = url === undefined ? databasePlace(settings) : placeOfUrl(url, settings.databaseSchema, settings);
  const open = () => openSchema(place, { clock, log });
  const schema = await whenItComes('the database', settings.waitSeconds * 1000, log, open);
  try {
    return await use(schema);
  } finally {
    await schema.close();
  }
}
