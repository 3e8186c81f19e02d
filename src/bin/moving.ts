import type { CopyOrder, CopyOutcome } from '#cli';
import { type Settings, settingsTable } from '#config';
import { type Clock, Fault } from '#kernel';
import { copyDatabase } from '#store';
import { databasePlace, placeOfUrl } from './places.ts';

/** Copies the database of the settings to another one. @throws {Fault} `invalid_setting` for a URL that is none */
export async function copyTo(order: CopyOrder, settings: Settings, clock: Clock): Promise<CopyOutcome> {
  const judged = settingsTable.databaseUrl.schema.safeParse(order.to);
  if (!judged.success || judged.data === undefined)
    throw new Fault('invalid_usage', { hint: 'write --to as sqlite:/folder, postgres://user@host/database or mysql://user@host/database' });
  return await copyDatabase({
    from: databasePlace(settings),
    to: placeOfUrl(judged.data, order.schema ?? settings.databaseSchema),
    clock,
    dryRun: order.dryRun,
    onProgress: ({ step, table, done, total }) => order.onProgress({ step: `${step} ${table}`, done, total }),
  });
}
