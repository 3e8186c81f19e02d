import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { type Clock, Fault, type Log, Secret } from '#kernel';
import type { Changes, Records, SealedStore } from '#store';
import type { Label, MasterKeyFact, Opened, Place, SealedColumn, Sealing, Vault } from './contract.ts';
import { type DataKeyQueries, dataKeyQueries } from './data-keys.sql.ts';
import { createDataKeys, type DataKeyLimits, type DataKeys, dataKeyLimits, scopeOf } from './data-keys.ts';
import { type Envelope, openEnvelope, parseEnvelope, sealEnvelope, unreadable } from './envelope.ts';
import type { Keyring } from './keyring.ts';
import { derive, type MasterKey } from './master-key.ts';
import { keyOf, labelOf } from './place.ts';
import { rotate } from './rotation.ts';
import { proveKeyring } from './start.ts';

export interface VaultDeps {
  readonly records: Records;
  readonly sealed: SealedStore;
  readonly changes: Changes;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly log: Log;
  /** The sealed columns of every room, for `rotate`. Called when it needs them, so that they may be made after the vault. */
  readonly sealedColumns?: () => readonly SealedColumn[];
  readonly limits?: Partial<DataKeyLimits>;
  /** How long a compromised rotation waits for other processes to hear of it, milliseconds. */
  readonly settle?: number;
}

/** Other processes hear of new keys within a second, and trust what they know for three. */
const settleTime = 4_000;
const largestValue = 1024 * 1024;

/**
 * Makes the vault, once the keyring is proven to open this database.
 * @throws {Fault} `master_key_wrong`, `master_key_missing`
 */
export async function createVault(deps: VaultDeps): Promise<Vault> {
  const { records, sealed, changes, keyring, clock, log } = deps;
  const queries = dataKeyQueries(records);
  const dataKeys = createDataKeys({ queries, keyring, changes, clock, limits: { ...dataKeyLimits, ...deps.limits } });
  await proveKeyring({ queries, dataKeys, keyring, clock });
  const rotation = {
    queries,
    dataKeys,
    keyring,
    sealed,
    clock,
    log,
    columns: deps.sealedColumns ?? (() => []),
    settle: deps.settle ?? settleTime,
  };

  return Object.freeze({
    prepare: dataKeys.prepare,
    seal: (place, value, expected) => seal(dataKeys, sealed, place, value, expected),
    open: (place) => open(dataKeys, sealed, place),
    destroy: (place) => destroy(sealed, place),
    enclose: (label, value) => enclose(dataKeys, label, value),
    disclose: (label, envelope) => disclose(dataKeys, label, envelope),
    labelOf(place, version) {
      keyOf(place);
      return labelOf(place, version);
    },
    mac: (purpose, value) => macWith(keyring.oldest(), purpose, value).toString('base64url'),
    verifyMac: (purpose, value, mac) => verifyMac(keyring, purpose, value, mac),
    keys: () => facts(queries, keyring),
    rotate: (options) => rotate(rotation, options),
    async close() {
      dataKeys.close();
    },
  } satisfies Vault);
}

/** A rotation may seal the same value anew meanwhile: that is no conflict, as long as the value's own version stands. */
async function seal(dataKeys: DataKeys, sealed: SealedStore, place: Place, value: Secret<string>, expected: number): Promise<Sealing> {
  const key = keyOf(place);
  const version = expected + 1;
  for (;;) {
    const stored = await storedVersion(sealed, key);
    if (stored.value !== expected) return { kind: 'conflict' };
    const envelope = await enclose(dataKeys, labelOf(place, version), value);
    if (await sealed.put(key, envelope, stored.entry)) return { kind: 'sealed', version };
  }
}

/** The value's version, and the one by which the store compares. */
async function storedVersion(sealed: SealedStore, key: string): Promise<{ readonly value: number; readonly entry: number }> {
  const entry = await sealed.get(key);
  return entry === undefined ? { value: 0, entry: 0 } : { value: parseEnvelope(entry.envelope).version, entry: entry.version };
}

async function open(dataKeys: DataKeys, sealed: SealedStore, place: Place): Promise<Opened | undefined> {
  const entry = await sealed.get(keyOf(place));
  if (entry === undefined) return undefined;
  const envelope = parseEnvelope(entry.envelope);
  const { version } = envelope;
  return { value: await openParsed(dataKeys, labelOf(place, version), envelope), version };
}

async function destroy(sealed: SealedStore, place: Place): Promise<boolean> {
  const key = keyOf(place);
  for (;;) {
    const entry = await sealed.get(key);
    if (entry === undefined) return false;
    if (await sealed.remove(key, entry.version)) return true;
  }
}

async function enclose(dataKeys: DataKeys, label: Label, value: Secret<string>): Promise<Uint8Array> {
  refuseBadVersion(label);
  const text = value.reveal();
  if (!text.isWellFormed()) throw new Fault('invalid_request', { detail: 'the value is not well-formed text' });
  const plain = Buffer.from(text, 'utf8');
  if (plain.length > largestValue) throw new Fault('payload_too_large');
  const key = await dataKeys.forSealing(label.owner);
  return sealEnvelope(key.key, key.id, label, plain);
}

async function disclose(dataKeys: DataKeys, label: Label, envelope: Uint8Array): Promise<Secret<string>> {
  return await openParsed(dataKeys, label, parseEnvelope(envelope));
}

async function openParsed(dataKeys: DataKeys, label: Label, envelope: Envelope): Promise<Secret<string>> {
  const key = await dataKeys.find(envelope.dataKey);
  if (key.scope !== scopeOf(label.owner)) throw unreadable();
  const plain = openEnvelope(key.key, envelope, label);
  const value = new Secret(plain.toString('utf8'));
  plain.fill(0);
  return value;
}

function refuseBadVersion(label: Label): void {
  if (!Number.isSafeInteger(label.version) || label.version < 0)
    throw new Fault('internal', { detail: 'the version of a sealed value is a whole number' });
}

function macWith(master: MasterKey, purpose: string, value: string): Buffer {
  return createHmac('sha256', macKey(master, purpose)).update(value).digest();
}

const macKeys = new WeakMap<MasterKey, Map<string, KeyObject>>();

/** Purposes are words of our own code: few. */
function macKey(master: MasterKey, purpose: string): KeyObject {
  const known = macKeys.get(master) ?? new Map<string, KeyObject>();
  const key = known.get(purpose) ?? derive(master.key, `mac ${purpose}`);
  macKeys.set(master, known.set(purpose, key));
  return key;
}

function verifyMac(keyring: Keyring, purpose: string, value: string, mac: string): boolean {
  const given = Buffer.from(mac, 'base64url');
  let found = false;
  for (const master of keyring.all()) {
    const expected = macWith(master, purpose, value);
    if (given.length === expected.length && timingSafeEqual(given, expected)) found = true;
  }
  return found;
}

async function facts(queries: DataKeyQueries, keyring: Keyring): Promise<readonly MasterKeyFact[]> {
  const wraps = await queries.wrapsByMasterKey();
  const current = keyring.current().id;
  return keyring.all().map(({ id }) => ({ id, use: id === current ? 'current' : 'old', wraps: wraps.get(id) ?? 0 }));
}
