import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newId, Secret, silentLog } from '#kernel';
import type { Schema } from '#store';
import { openTestStore, type TestStore, temporaryFolder } from '../../test/support/store.ts';
import { openTestVault, testKeyring } from '../../test/support/vault.ts';
import type { Label, Owner, Place } from './contract.ts';
import { createVault, generateMasterKey, keyringOf, loadKeyring, type MasterKey, parseMasterKey } from './index.ts';

const organization = newId('org');
const owner: Owner = { kind: 'organization', organization };
const label: Label = { owner, key: 'x', version: 1 };
const place: Place = { organization, vault: newId('vlt'), provider: 'github', kind: 'connection', name: 'work' };
const value = new Secret('value');

const key = (createdAt = 0): MasterKey => parseMasterKey(new Secret(generateMasterKey()), true, createdAt);

async function dataKeys(store: TestStore): Promise<readonly Schema['data_keys'][]> {
  const rows = await store.records.platform('test').read(({ db }) => db.selectFrom('data_keys').selectAll().orderBy('row').execute());
  return rows as unknown as Schema['data_keys'][];
}

describe('the start', () => {
  it('with another key stops', async () => {
    const store = await openTestStore();
    await openTestVault(store);
    await expect(openTestVault(store)).rejects.toMatchObject({ code: 'master_key_wrong' });
  });

  it('with another key stops, although nothing but the platform was ever sealed, and leaves no mark', async () => {
    const store = await openTestStore();
    const keyring = testKeyring();
    await openTestVault(store, { keyring });
    await openTestVault(store).catch(() => {});
    const marks = await store.records.platform('test').read(({ db }) => db.selectFrom('master_key_marks').select('id').execute());
    expect(marks).toEqual([{ id: keyring.current().id }]);
  });

  it('without a key that is still needed stops, and says which', async () => {
    const store = await openTestStore();
    const [old, young] = [key(1), key(2)];
    await openTestVault(store, { keyring: keyringOf([old]) });
    await openTestVault(store, { keyring: keyringOf([old, young]) });
    const failure = openTestVault(store, { keyring: keyringOf([young]) });
    await expect(failure).rejects.toMatchObject({ code: 'master_key_missing', message: expect.stringContaining(old.id) });
  });

  it('with a damaged data key or mark stops', async () => {
    for (const damage of ['data_keys', 'master_key_marks'] as const) {
      const store = await openTestStore();
      const keyring = testKeyring();
      await openTestVault(store, { keyring });
      await store.records.platform('test').write(async ({ db }) => {
        if (damage === 'data_keys')
          await db
            .updateTable('data_keys')
            .set({ wrapped: Buffer.alloc(61, 1) })
            .execute();
        else
          await db
            .updateTable('master_key_marks')
            .set({ check_value: Buffer.alloc(32) })
            .execute();
      });
      await expect(openTestVault(store, { keyring })).rejects.toMatchObject({ code: 'master_key_wrong' });
    }
  });

  it('of many processes on an empty store makes one key', async () => {
    const store = await openTestStore();
    const keyring = testKeyring();
    const stores = [store, ...(await Promise.all(Array.from({ length: 3 }, () => openTestStore({ home: store.home }))))];
    await Promise.all(Array.from({ length: 12 }, (_, i) => openTestVault(stores[i % 4] as TestStore, { keyring })));
    expect((await dataKeys(store)).map(({ scope }) => scope)).toEqual(['platform']);
  });

  it('of two processes with different keys on an empty store lets one of them in', async () => {
    const store = await openTestStore();
    const other = await openTestStore({ home: store.home });
    const outcomes = await Promise.allSettled([openTestVault(store), openTestVault(other)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(outcomes.find((outcome) => outcome.status === 'rejected')?.reason).toMatchObject({ code: 'master_key_wrong' });
  });
});

describe('a data key', () => {
  it('is made once by all who seal first at once, in two processes', async () => {
    const store = await openTestStore();
    const keyring = testKeyring();
    const other = await openTestStore({ home: store.home });
    const vaults = [await openTestVault(store, { keyring }), await openTestVault(other, { keyring })];
    const envelopes = await Promise.all(Array.from({ length: 40 }, (_, i) => vaults[i % 2]?.enclose(label, new Secret(`v${i}`))));
    expect((await dataKeys(store)).filter(({ scope }) => scope === `organization:${organization}`)).toHaveLength(1);
    for (const [i, envelope] of envelopes.entries()) {
      expect((await vaults[(i + 1) % 2]?.disclose(label, envelope as Uint8Array))?.reveal()).toBe(`v${i}`);
    }
  });

  it('is one per vault, one per organization and one for the platform', async () => {
    const store = await openTestStore();
    const vault = await openTestVault(store);
    await vault.seal(place, value, 0);
    await vault.seal({ ...place, vault: newId('vlt') }, value, 0);
    await vault.enclose(label, value);
    await vault.enclose({ ...label, owner: { kind: 'platform' } }, value);
    expect((await dataKeys(store)).map(({ scope }) => scope.split(':')[0])).toEqual(['platform', 'vault', 'vault', 'organization']);
  });

  it('is made ahead in a transaction, and with it', async () => {
    const store = await openTestStore();
    const vault = await openTestVault(store);
    const platform = store.records.platform('test');
    await platform
      .write(async (tx) => {
        await vault.prepare(tx, owner);
        await vault.prepare(tx, owner);
        throw new Error('undone');
      })
      .catch(() => {});
    expect(await dataKeys(store)).toHaveLength(1);
    await platform.write((tx) => vault.prepare(tx, owner));
    await platform.write((tx) => vault.prepare(tx, owner));
    expect(await dataKeys(store)).toHaveLength(2);
    expect((await vault.disclose(label, await vault.enclose(label, value))).reveal()).toBe('value');
  });

  it('retires after its number of seals, counted ahead, and still opens what it sealed', async () => {
    const store = await openTestStore();
    const keyring = testKeyring();
    const limits = { seals: 10, block: 4, cached: 100 };
    const vault = await openTestVault(store, { keyring, limits });
    const envelopes = await Promise.all(Array.from({ length: 25 }, (_, i) => vault.enclose(label, new Secret(`v${i}`))));
    const keys = (await dataKeys(store)).filter(({ scope }) => scope.startsWith('organization'));
    expect(keys.map(({ status, seals }) => [status, seals])).toEqual([
      ['retired', 10],
      ['retired', 10],
      ['active', 8],
    ]);
    const uses = Map.groupBy(envelopes, (envelope) => Buffer.from(envelope.subarray(1, 31)).toString());
    for (const used of uses.values()) expect(used.length).toBeLessThanOrEqual(10);
    for (const [i, envelope] of envelopes.entries()) expect((await vault.disclose(label, envelope)).reveal()).toBe(`v${i}`);
    const again = await openTestVault(store, { keyring, limits });
    await again.enclose(label, value);
    expect((await dataKeys(store)).at(-1)).toMatchObject({ seals: 10 });
  });

  it('is never used more often than its number by processes that seal at the same time', async () => {
    const store = await openTestStore();
    const keyring = testKeyring();
    const other = await openTestStore({ home: store.home });
    const limits = { seals: 16, block: 3, cached: 100 };
    const vaults = [await openTestVault(store, { keyring, limits }), await openTestVault(other, { keyring, limits })];
    const envelopes = await Promise.all(Array.from({ length: 100 }, (_, i) => vaults[i % 2]?.enclose(label, value)));
    const uses = Map.groupBy(envelopes, (envelope) => Buffer.from((envelope as Uint8Array).subarray(1, 31)).toString());
    for (const used of uses.values()) expect(used.length).toBeLessThanOrEqual(16);
  });

  it('stays in a memory that is bounded', async () => {
    const store = await openTestStore();
    const vault = await openTestVault(store, { limits: { cached: 3 } });
    const places = Array.from({ length: 10 }, () => ({ ...place, vault: newId('vlt') }));
    for (const one of places) await vault.seal(one, new Secret(one.vault), 0);
    for (const one of places) expect((await vault.open(one))?.value.reveal()).toBe(one.vault);
  });

  it('whose row was exchanged for that of another scope opens nothing', async () => {
    const store = await openTestStore();
    const keyring = testKeyring();
    const vault = await openTestVault(store, { keyring });
    const envelope = await vault.enclose(label, value);
    await vault.enclose({ ...label, owner: { kind: 'organization', organization: newId('org') } }, value);
    const [, one, other] = await dataKeys(store);
    await store.records.platform('a thief with the database').write(async ({ db }) => {
      await db
        .updateTable('data_keys')
        .set({ wrapped: other?.wrapped as Uint8Array })
        .where('id', '=', one?.id as never)
        .execute();
    });
    const again = await openTestVault(store, { keyring });
    await expect(again.disclose(label, envelope)).rejects.toMatchObject({ code: 'sealed_value_unreadable' });
  });

  it('that is not there opens nothing', async () => {
    const store = await openTestStore();
    const keyring = testKeyring();
    const envelope = await (await openTestVault(store, { keyring })).enclose(label, value);
    await store.records.platform('test').write(async ({ db }) => {
      await db.deleteFrom('data_keys').where('scope', '!=', 'platform').execute();
    });
    await expect((await openTestVault(store, { keyring })).disclose(label, envelope)).rejects.toMatchObject({
      code: 'sealed_value_unreadable',
    });
  });

  it('is looked up anew while changes of other processes may be unheard of', async () => {
    const store = await openTestStore();
    const keyring = testKeyring();
    let age = 0;
    const changes = { ...store.changes, age: () => age };
    const vault = await createVault({
      records: store.records,
      sealed: store.sealed,
      changes: { ...changes, watch: () => () => {} },
      keyring,
      clock: store.clock,
      log: silentLog,
    });
    const before = await vault.enclose(label, value);
    const row = (await dataKeys(store)).at(-1) as Schema['data_keys'];
    await store.records.platform('test').write(async ({ db }) => {
      await db
        .updateTable('data_keys')
        .set({ scope: `${row.scope}#${row.id}`, status: 'retired' })
        .where('id', '=', row.id)
        .execute();
    });
    const trusting = await vault.enclose(label, value);
    age = 3001;
    const doubting = await vault.enclose(label, value);
    const idOf = (envelope: Uint8Array) => Buffer.from(envelope.subarray(1, 31)).toString();
    expect(idOf(trusting)).toBe(idOf(before));
    expect(idOf(doubting)).not.toBe(idOf(before));
  });
});

describe('a master key that another process added', () => {
  it('is read again when a data key asks for it', async () => {
    const store = await openTestStore();
    const [old, young] = [key(1), key(2)];
    const file = join(temporaryFolder(), 'master.key');
    const keep = (...keys: readonly MasterKey[]) => {
      const text = keys.map((one) => ({ id: one.id, key: one.key.export().toString('hex'), created_at: one.createdAt }));
      writeFileSync(file, JSON.stringify({ version: 1, keys: text }), { mode: 0o600 });
    };
    keep(old);
    const here = await loadKeyring({ file, defaultFile: file, production: false, storeIsEmpty: false });
    const vault = await openTestVault(store, { keyring: here });
    const other = await openTestVault(store, { keyring: keyringOf([old, young]) });
    const envelope = await other.enclose(label, value);
    await expect(vault.disclose(label, envelope)).rejects.toMatchObject({ code: 'master_key_missing' });
    keep(old, young);
    expect((await vault.disclose(label, envelope)).reveal()).toBe('value');
  });

  it('changes no code that is open', async () => {
    const store = await openTestStore();
    const [old, young] = [key(1), key(2)];
    const before = (await openTestVault(store, { keyring: keyringOf([old]) })).mac('claim', 'CODE');
    const vault = await openTestVault(store, { keyring: keyringOf([old, young]) });
    expect(vault.mac('claim', 'CODE')).toBe(before);
    expect(vault.verifyMac('claim', 'CODE', before)).toBe(true);
    expect((await vault.keys()).map(({ id, use, wraps }) => [id, use, wraps])).toEqual([
      [old.id, 'old', 1],
      [young.id, 'current', 0],
    ]);
  });
});
