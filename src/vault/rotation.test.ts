import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newId, Secret, silentLog } from '#kernel';
import type { SealedStore } from '#store';
import { openTestStore, type TestStore } from '../../test/support/store.ts';
import { openTestVault } from '../../test/support/vault.ts';
import type { Label, Place, SealedColumn, Vault } from './contract.ts';
import { generateMasterKey, keyringOf, type MasterKey, parseMasterKey, type RotationProgress, sealedColumnNames } from './index.ts';
import { unwrapDataKey } from './wrapping.ts';

const organization = newId('org');
const key = (createdAt: number): MasterKey => parseMasterKey(new Secret(generateMasterKey()), true, createdAt);
const placeAt = (i: number): Place => ({
  organization,
  vault: vaults[i % 3] as Place['vault'],
  provider: 'github',
  kind: 'connection',
  name: `n${i}`,
});
const vaults = [newId('vlt'), newId('vlt'), newId('vlt')];
const labelAt = (i: number): Label => ({ owner: { kind: 'organization', organization }, key: `authorities/key/${i}`, version: i });

/** A column of a room that keeps its cells in an array. */
function column(cells: Uint8Array[]): SealedColumn {
  return {
    name: 'authorities.key_envelope',
    list: async (after, limit) =>
      cells
        .map((envelope, i) => ({
          cursor: String(i).padStart(6, '0'),
          label: labelAt(i),
          envelope,
          update: async (anew: Uint8Array) => {
            if (cells[i] !== envelope) return false;
            cells[i] = anew;
            return true;
          },
        }))
        .filter((cell) => after === undefined || cell.cursor > after)
        .slice(0, limit),
  };
}

const others: readonly SealedColumn[] = sealedColumnNames
  .filter((name) => name !== 'authorities.key_envelope')
  .map((name) => ({ name, list: async () => [] }));

interface House {
  readonly store: TestStore;
  readonly old: MasterKey;
  readonly young: MasterKey;
  readonly cells: Uint8Array[];
  /** A vault whose keyring has the newer key too. */
  readonly vault: Vault;
}

/** A store with values sealed under an old key, and a vault that has a newer one too. */
async function sealedHouse(values = 20, sealed?: (store: SealedStore) => SealedStore): Promise<House> {
  const store = await openTestStore();
  const [old, young] = [key(1), key(2)];
  const before = await openTestVault(store, { keyring: keyringOf([old]) });
  const cells: Uint8Array[] = [];
  for (let i = 0; i < values; i++) {
    await before.seal(placeAt(i), new Secret(`value ${i}`), 0);
    cells.push(await before.enclose(labelAt(i), new Secret(`cell ${i}`)));
  }
  const vault = await openTestVault(store, {
    keyring: keyringOf([old, young]),
    sealedColumns: () => [column(cells), ...others],
    ...(sealed === undefined ? {} : { sealed: sealed(store.sealed) }),
  });
  return { store, old, young, cells, vault };
}

async function opensEverything(vault: Vault, { cells }: House): Promise<void> {
  for (const [i, cell] of cells.entries()) {
    const opened = await vault.open(placeAt(i));
    expect([opened?.value.reveal(), opened?.version]).toEqual([`value ${i}`, 1]);
    expect((await vault.disclose(labelAt(i), cell)).reveal()).toBe(`cell ${i}`);
  }
}

async function wrappedRows(store: TestStore) {
  return await store.records.platform('test').read(({ db }) => db.selectFrom('data_keys').selectAll().execute());
}

describe('rotating', () => {
  it('wraps every data key with the newest master key: the old one opens nothing any more and can go', async () => {
    const house = await sealedHouse();
    const { store, vault, old, young } = house;
    expect(await vault.rotate({ compromised: false })).toEqual({ done: 5, total: 5, resealed: 0, unreadable: 0 });
    for (const row of await wrappedRows(store)) {
      expect(row.master_key_id).toBe(young.id);
      expect(unwrapDataKey({ ...old, id: row.master_key_id }, row, row.wrapped)).toBeUndefined();
    }
    expect(await vault.keys()).toEqual([
      { id: old.id, use: 'old', wraps: 0 },
      { id: young.id, use: 'current', wraps: 5 },
    ]);
    await opensEverything(await openTestVault(store, { keyring: keyringOf([young]) }), house);
    await expect(openTestVault(store, { keyring: keyringOf([old]) })).rejects.toMatchObject({ code: 'master_key_missing' });
  });

  it('a second time does nothing', async () => {
    const { vault } = await sealedHouse();
    await vault.rotate({ compromised: false });
    expect(await vault.rotate({ compromised: false })).toMatchObject({ done: 0, total: 0 });
  });

  it('leaves a data key that does not unwrap as it is, tells of it, and wraps the others', async () => {
    const { store, vault, old } = await sealedHouse();
    await store.records.platform('test').write(async ({ db }) => {
      await db
        .updateTable('data_keys')
        .set({ wrapped: Buffer.alloc(61, 1) })
        .where('scope', '=', `organization:${organization}`)
        .execute();
    });
    expect(await vault.rotate({ compromised: false })).toEqual({ done: 4, total: 5, resealed: 0, unreadable: 1 });
    expect((await vault.keys()).find(({ id }) => id === old.id)?.wraps).toBe(1);
  });

  it('goes on while values are sealed and opened, and loses none', async () => {
    const house = await sealedHouse(10);
    const { store, old, young, vault } = house;
    const elsewhere = await openTestStore({ home: store.home });
    const other = await openTestVault(elsewhere, { keyring: keyringOf([old, young]) });
    let done = false;
    let count = 0;
    const working = (async () => {
      while (!done || count < 20) {
        count += 1;
        const place: Place = { ...placeAt(0), name: `w${count}` };
        await other.seal(place, new Secret('w'), 0);
        await other.open(placeAt(count % 10));
      }
    })();
    await vault.rotate({ compromised: true });
    done = true;
    await working;
    const after = await openTestVault(store, { keyring: keyringOf([young]) });
    for (let i = 1; i <= count; i++) expect((await after.open({ ...placeAt(0), name: `w${i}` }))?.value.reveal()).toBe('w');
    await opensEverything(after, house);
  });

  it('by several processes at once is one rotation', async () => {
    const house = await sealedHouse();
    const { store, old, young, cells } = house;
    const rotating = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const elsewhere = await openTestStore({ home: store.home });
        return await openTestVault(elsewhere, { keyring: keyringOf([old, young]), sealedColumns: () => [column(cells), ...others] });
      }),
    );
    await Promise.all(rotating.map((vault) => vault.rotate({ compromised: true })));
    const active = (await wrappedRows(store)).filter(({ status }) => status === 'active');
    expect(active).toHaveLength(5);
    expect(active.every(({ made_under }) => made_under === young.id)).toBe(true);
    await opensEverything(await openTestVault(store, { keyring: keyringOf([young]) }), house);
  });
});

/** The data keys that a thief of the old master key could unwrap from a copy of the database. */
async function stolenKeyIds(store: TestStore, old: MasterKey): Promise<ReadonlySet<string>> {
  return new Set((await wrappedRows(store)).filter((row) => row.made_under === old.id).map(({ id }) => id as string));
}

async function envelopes({ store, cells }: House): Promise<readonly Uint8Array[]> {
  const keys = await store.sealed.list('vault:', { limit: 1000 });
  const sealed = await Promise.all(keys.map((one) => store.sealed.get(one)));
  return [...cells, ...sealed.flatMap((entry) => (entry === undefined ? [] : [entry.envelope]))];
}

const dataKeyOf = (envelope: Uint8Array) => Buffer.from(envelope.subarray(1, 31)).toString();

describe('rotating after a theft', () => {
  it('seals every value and every column again under data keys the thief never had, and keeps the versions', async () => {
    const house = await sealedHouse();
    const { store, vault, old, young } = house;
    const stolen = await stolenKeyIds(store, old);
    expect((await envelopes(house)).every((envelope) => stolen.has(dataKeyOf(envelope)))).toBe(true);
    const steps: RotationProgress[] = [];
    const progress = await vault.rotate({ compromised: true, onProgress: (step) => steps.push(step) });
    expect(progress).toEqual({ done: 50, total: 50, resealed: 40, unreadable: 0 });
    expect((await envelopes(house)).some((envelope) => stolen.has(dataKeyOf(envelope)))).toBe(false);
    expect(steps.length).toBeGreaterThan(2);
    for (const step of steps) expect(step.done).toBeLessThanOrEqual(step.total);
    await opensEverything(await openTestVault(store, { keyring: keyringOf([young]) }), house);
    const bytes = readFileSync(join(store.home, 'gatehouse.db'));
    expect(bytes.includes('value 1')).toBe(false);
  });

  it('goes on where it was cut', async () => {
    let failAfter = 7;
    const house = await sealedHouse(20, (real) => ({
      ...real,
      put: async (...entry) => {
        failAfter -= 1;
        if (failAfter === 0) throw new Error('killed');
        return await real.put(...entry);
      },
    }));
    const { store, vault, old, young, cells } = house;
    const stolen = await stolenKeyIds(store, old);
    await expect(vault.rotate({ compromised: true })).rejects.toThrow('killed');
    await opensEverything(vault, house);
    const again = await openTestVault(store, { keyring: keyringOf([old, young]), sealedColumns: () => [column(cells), ...others] });
    expect(await again.rotate({ compromised: true })).toMatchObject({ resealed: 34, unreadable: 0 });
    expect((await envelopes(house)).some((envelope) => stolen.has(dataKeyOf(envelope)))).toBe(false);
    expect((await wrappedRows(store)).filter(({ status }) => status === 'active')).toHaveLength(5);
    expect(await again.rotate({ compromised: true })).toMatchObject({ resealed: 0 });
    await opensEverything(await openTestVault(store, { keyring: keyringOf([young]) }), house);
  });

  it('goes on after a rotation that only wrapped', async () => {
    const house = await sealedHouse();
    const stolen = await stolenKeyIds(house.store, house.old);
    await house.vault.rotate({ compromised: false });
    expect(await house.vault.rotate({ compromised: true })).toMatchObject({ resealed: 40 });
    expect((await envelopes(house)).some((envelope) => stolen.has(dataKeyOf(envelope)))).toBe(false);
  });

  it('is no conflict for who replaces a value at the same moment', async () => {
    const house = await sealedHouse(1);
    const { store, old, young, cells } = house;
    let rotated = false;
    const sealed: SealedStore = {
      ...store.sealed,
      put: async (...entry) => {
        if (!rotated) {
          rotated = true;
          await rotating.rotate({ compromised: true });
        }
        return await store.sealed.put(...entry);
      },
    };
    const keyring = keyringOf([old, young]);
    const rotating = await openTestVault(store, { keyring, sealedColumns: () => [column(cells), ...others] });
    const vault = await openTestVault(store, { keyring, sealed });
    expect(await vault.seal(placeAt(0), new Secret('newer'), 1)).toEqual({ kind: 'sealed', version: 2 });
    expect(await vault.open(placeAt(0))).toMatchObject({ version: 2 });
  });

  it('is refused without a newer master key, or without every sealed column', async () => {
    const store = await openTestStore();
    const columns = () => [column([]), ...others];
    const alone = await openTestVault(store, { keyring: keyringOf([key(1)]), sealedColumns: columns });
    await expect(alone.rotate({ compromised: true })).rejects.toMatchObject({
      code: 'invalid_request',
      hint: 'add one first with: gatehouse keys add',
    });
    const blind = await openTestVault(await openTestStore());
    await expect(blind.rotate({ compromised: true })).rejects.toMatchObject({ code: 'internal' });
  });

  it('leaves what does not open as it is, tells of it, and ends', async () => {
    const house = await sealedHouse(3);
    const { store, cells, young, old } = house;
    const lost = `vault:${vaults[0]}:github:connection:lost`;
    await store.sealed.put(lost, Buffer.alloc(90, 1), 0);
    cells.push(Buffer.from('no envelope at all'));
    const warnings: unknown[] = [];
    const log = { ...silentLog, warn: (_: string, fields?: object) => void warnings.push(fields) };
    const vault = await openTestVault(store, { log, keyring: keyringOf([old, young]), sealedColumns: () => [column(cells), ...others] });
    expect(await vault.rotate({ compromised: true })).toMatchObject({ resealed: 6, unreadable: 2 });
    expect(warnings).toEqual([{ value: lost }, { value: 'authorities.key_envelope authorities/key/3' }]);
    expect((await store.sealed.get(lost))?.version).toBe(1);
  });
});
