import type { CopyOrder, CopyOutcome, VaultOrder, VaultOutcome } from '#cli';
import { type Settings, settingsTable } from '#config';
import { type Clock, Fault, silentLog } from '#kernel';
import { copyDatabase, moveSealed, openSealedOnRedis, stalest } from '#store';
import { databasePlace, placeOfUrl, redisPlace } from './places.ts';

/** Copies the database of the settings to another one. @throws {Fault} `invalid_setting` for a URL that is none */
export async function copyTo(order: CopyOrder, settings: Settings, clock: Clock): Promise<CopyOutcome> {
  const judged = settingsTable.databaseUrl.schema.safeParse(order.to);
  if (!judged.success || judged.data === undefined)
    throw new Fault('invalid_usage', { hint: 'write --to as sqlite:/folder, postgres://user@host/database or mysql://user@host/database' });
  return await copyDatabase({
    from: databasePlace(settings),
    to: placeOfUrl(judged.data, order.schema ?? settings.databaseSchema, settings),
    clock,
    dryRun: order.dryRun,
    onProgress: ({ step, table, done, total }) => order.onProgress({ step: `${step} ${table}`, done, total }),
  });
}

/** More than the oldest that a server may know, so that each has heard. */
const heard = stalest + 1_000;

/** What a server began before it heard may wait for a fail-over, and then be on its way to Redis; milliseconds. */
export function settleTime({ redisFailoverSeconds, redisCommandSeconds }: Pick<Settings, 'redisFailoverSeconds' | 'redisCommandSeconds'>) {
  return heard + (redisFailoverSeconds + redisCommandSeconds) * 1000;
}

/** Moves the sealed values of the settings' installation. @throws {Fault} `invalid_setting` for a Redis that must not hold them */
export async function moveVault({ to, dryRun, onProgress }: VaultOrder, settings: Settings, clock: Clock): Promise<VaultOutcome> {
  const held = await openSealedOnRedis(redisPlace(settings), clock, silentLog);
  try {
    const place = { database: databasePlace(settings), redis: held.store };
    return await moveSealed({ ...place, to, settle: settleTime(settings), clock, dryRun, onProgress });
  } finally {
    held.close();
  }
}
