import type { KeyObject } from 'node:crypto';
import { type Clock, type DataKeyId, Fault, newId } from '#kernel';
import { type Changes, isUniqueViolation, type Writing } from '#store';
import type { Owner } from './contract.ts';
import { type DataKeyQueries, type DataKeyRow, hasActiveKey, insertDataKey, type NewDataKey, scopeOfRow } from './data-keys.sql.ts';
import { unreadable } from './envelope.ts';
import type { Keyring } from './keyring.ts';
import { makeDataKey, unwrapDataKey, wrapDataKey } from './wrapping.ts';

/** A data key, unwrapped. */
export interface DataKey {
  readonly id: DataKeyId;
  readonly scope: string;
  readonly madeUnder: string;
  readonly key: KeyObject;
}

export interface DataKeys {
  /** A data key by id, from memory when it is there. @throws {Fault} `sealed_value_unreadable`, `master_key_missing` */
  find(id: DataKeyId): Promise<DataKey>;
  /** The active key of the owner, with one seal counted; made if there is none. */
  forSealing(owner: Owner): Promise<DataKey>;
  prepare(tx: Writing, owner: Owner): Promise<void>;
  /** A row's key, out of memory. @throws {Fault} `master_key_missing`, `sealed_value_unreadable` */
  unwrap(row: DataKeyRow): Promise<DataKey>;
  /** A new key for a scope, wrapped with the current master key. */
  fresh(scope: string): NewDataKey;
  close(): void;
}

/** How many seals one data key serves (SECURITY 19), in what blocks they are counted, and how many keys stay in memory. */
export interface DataKeyLimits {
  readonly seals: number;
  readonly block: number;
  readonly cached: number;
}

export const dataKeyLimits: DataKeyLimits = Object.freeze({ seals: 2 ** 31, block: 1024, cached: 10_000 });

/** How old what we know of other processes may be before the active key is looked up again. */
const stale = 3_000;

interface Deps {
  readonly queries: DataKeyQueries;
  readonly keyring: Keyring;
  readonly changes: Changes;
  readonly clock: Clock;
  readonly limits: DataKeyLimits;
}

interface Reservation {
  readonly key: DataKey;
  left: number;
}

/** `vault:<organization>:<id>`, `organization:<id>` or `platform`. */
export function scopeOf(owner: Owner): string {
  if (owner.kind === 'platform') return 'platform';
  return owner.kind === 'organization' ? `organization:${owner.organization}` : `vault:${owner.organization}:${owner.vault}`;
}

/** Data keys: kept wrapped in Records, unwrapped in a bounded memory that is dropped when keys change. */
export function createDataKeys(deps: Deps): DataKeys {
  const { queries, keyring, changes, clock, limits } = deps;
  let loaded = new Map<DataKeyId, DataKey>();
  let reserved = new Map<string, Reservation>();
  let reserving = new Map<string, Promise<Reservation>>();
  const forget = () => {
    loaded = new Map();
    reserved = new Map();
    reserving = new Map();
  };
  const stopWatching = changes.watch('keys', forget);

  function keep(key: DataKey, into: Map<DataKeyId, DataKey>): void {
    if (into.size >= limits.cached) dropOldest(into);
    into.set(key.id, key);
  }

  async function unwrap(row: DataKeyRow): Promise<DataKey> {
    if (keyring.find(row.master_key_id) === undefined) await keyring.reload();
    const master = keyring.find(row.master_key_id);
    if (master === undefined)
      throw new Fault('master_key_missing', { detail: `The master key ${row.master_key_id} is not in the keyring` });
    const scope = scopeOfRow(row);
    const key = unwrapDataKey(master, { id: row.id, scope }, row.wrapped);
    if (key === undefined) throw unreadable();
    return { id: row.id, scope, madeUnder: row.made_under, key };
  }

  async function find(id: DataKeyId): Promise<DataKey> {
    const known = loaded.get(id);
    if (known !== undefined) return known;
    const into = loaded;
    const row = await queries.byId(id);
    if (row === undefined) throw unreadable();
    const key = await unwrap(row);
    keep(key, into);
    return key;
  }

  function fresh(scope: string): NewDataKey {
    const master = keyring.current();
    const now = clock.now();
    const id = newId('dky', now);
    const wrapped = wrapDataKey(master, { id, scope }, makeDataKey());
    return { id, scope, master_key_id: master.id, wrapped, created_at: now };
  }

  /** The active row; of any number that make one at once, one is there afterwards. */
  async function activeRow(scope: string): Promise<DataKeyRow> {
    const row = await queries.active(scope);
    if (row !== undefined) return row;
    try {
      await queries.insert(fresh(scope));
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
    }
    return await activeRow(scope);
  }

  /** Counts a block of seals ahead of use; a key that has served its number is replaced. */
  async function reserve(scope: string): Promise<Reservation> {
    for (;;) {
      const row = await activeRow(scope);
      const block = Math.min(limits.block, limits.seals - row.seals);
      if (block <= 0) await queries.replace(row, fresh(scope));
      else if (await queries.reserve(row, block)) return { key: await unwrap(row), left: block };
    }
  }

  function reserveOnce(scope: string): Promise<Reservation> {
    const waiting = reserving.get(scope);
    if (waiting !== undefined) return waiting;
    const [mine, into] = [reserving, reserved];
    const made = reserve(scope)
      .then((reservation) => {
        if (into.size >= limits.cached) dropOldest(into);
        into.set(scope, reservation);
        return reservation;
      })
      .finally(() => mine.delete(scope));
    mine.set(scope, made);
    return made;
  }

  /** While we may not have heard of a change, memory is trusted only after a look at the table. */
  async function isStillActive(reservation: Reservation): Promise<boolean> {
    if (changes.age() <= stale) return true;
    return (await queries.activeId(reservation.key.scope)) === reservation.key.id;
  }

  async function forSealing(owner: Owner): Promise<DataKey> {
    const scope = scopeOf(owner);
    for (;;) {
      const reservation = reserved.get(scope) ?? (await reserveOnce(scope));
      if (!(await isStillActive(reservation)) || reservation.left <= 0) {
        if (reserved.get(scope) === reservation) reserved.delete(scope);
        continue;
      }
      reservation.left -= 1;
      return reservation.key;
    }
  }

  return Object.freeze({
    find,
    forSealing,
    async prepare(tx: Writing, owner: Owner) {
      const scope = scopeOf(owner);
      if (!(await hasActiveKey(tx, scope))) await insertDataKey(tx, fresh(scope));
    },
    unwrap,
    fresh,
    close() {
      stopWatching();
      forget();
    },
  });
}

function dropOldest(map: Map<unknown, unknown>): void {
  map.delete(map.keys().next().value);
}
