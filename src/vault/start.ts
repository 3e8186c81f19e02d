import { timingSafeEqual } from 'node:crypto';
import { type Clock, Fault } from '#kernel';
import { isUniqueViolation } from '#store';
import type { DataKeyQueries, DataKeyRow, MarkRow } from './data-keys.sql.ts';
import type { DataKeys } from './data-keys.ts';
import type { Keyring } from './keyring.ts';
import { checkValueOf, type MasterKey } from './master-key.ts';

interface Deps {
  readonly queries: DataKeyQueries;
  readonly dataKeys: DataKeys;
  readonly keyring: Keyring;
  readonly clock: Clock;
}

/**
 * Proves that the keyring opens this database, before anything else does: the platform's data key is made once, by
 * whichever process is first, and every other must be able to unwrap it.
 * @throws {Fault} `master_key_wrong`, `master_key_missing`
 */
export async function proveKeyring(deps: Deps): Promise<void> {
  const { queries, dataKeys, keyring } = deps;
  const row = await platformKey(deps);
  const marks = await queries.marks();
  const wrapping = [...(await queries.wrapsByMasterKey()).keys()];
  const missing = wrapping.filter((id) => keyring.find(id) === undefined);
  if (missing.length > 0) throw absent(keyring, marks, wrapping, missing);
  await dataKeys.unwrap(row).catch((cause: unknown) => {
    throw new Fault('master_key_wrong', { cause });
  });
  for (const master of keyring.all()) await proveMark(deps, master, marks);
}

/** Leaves the mark of a master key that is new to this database. */
export async function markMasterKey(deps: Pick<Deps, 'queries' | 'clock'>, master: MasterKey): Promise<void> {
  try {
    await deps.queries.mark({ id: master.id, check_value: checkValueOf(master), created_at: deps.clock.now() });
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
  }
}

async function platformKey(deps: Deps): Promise<DataKeyRow> {
  const { queries, dataKeys } = deps;
  for (;;) {
    const row = await queries.active('platform');
    if (row !== undefined) return row;
    try {
      await queries.insert(dataKeys.fresh('platform'));
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
    }
  }
}

/** A keyring that this database never saw is the wrong one; one that it knows lacks a key. */
function absent(keyring: Keyring, marks: readonly MarkRow[], wrapping: readonly string[], missing: readonly string[]): Fault {
  const known = new Set([...wrapping, ...marks.map((mark) => mark.id)]);
  if (!keyring.all().some((key) => known.has(key.id))) return new Fault('master_key_wrong');
  return new Fault('master_key_missing', {
    detail: `The keyring lacks ${missing.length === 1 ? 'the master key' : 'the master keys'} ${missing.join(', ')}`,
    hint: 'put it back into the key file until gatehouse keys rotate has ended',
  });
}

async function proveMark(deps: Deps, master: MasterKey, marks: readonly MarkRow[]): Promise<void> {
  const mark = marks.find((one) => one.id === master.id);
  if (mark === undefined) return await markMasterKey(deps, master);
  const expected = checkValueOf(master);
  if (mark.check_value.length !== expected.length || !timingSafeEqual(mark.check_value, expected)) throw new Fault('master_key_wrong');
}
