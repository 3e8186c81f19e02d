import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newId, Secret } from '#kernel';
import { openTestStore, type TestStore } from '../../test/support/store.ts';
import { openTestVault, testKeyring } from '../../test/support/vault.ts';
import { type Label, type Place, sealedColumnNames } from './index.ts';

const organization = newId('org');
const place: Place = { organization, vault: newId('vlt'), provider: 'github', kind: 'connection', name: 'work' };
const value = new Secret('canary-7f3a9d-é-🔑');
const label: Label = { owner: { kind: 'organization', organization }, key: 'authorities/key/1', version: 1 };

const unreadable = expect.objectContaining({ code: 'sealed_value_unreadable' });

async function envelopeAt(store: TestStore, at: Place): Promise<Uint8Array> {
  const entry = await store.sealed.get(`vault:${at.vault}:${at.provider}:${at.kind}:${at.name}`);
  if (entry === undefined) throw new Error('nothing there');
  return entry.envelope;
}

describe('a sealed value', () => {
  it('opens where it was sealed, with its version', async () => {
    const vault = await openTestVault(await openTestStore());
    expect(await vault.open(place)).toBeUndefined();
    expect(await vault.seal(place, value, 0)).toEqual({ kind: 'sealed', version: 1 });
    const opened = await vault.open(place);
    expect(opened?.value.reveal()).toBe(value.reveal());
    expect(opened?.version).toBe(1);
  });

  it('is replaced only by who knows its version', async () => {
    const vault = await openTestVault(await openTestStore());
    await vault.seal(place, value, 0);
    expect(await vault.seal(place, new Secret('late'), 0)).toEqual({ kind: 'conflict' });
    expect(await vault.seal(place, new Secret('guess'), 2)).toEqual({ kind: 'conflict' });
    expect(await vault.seal(place, new Secret('next'), 1)).toEqual({ kind: 'sealed', version: 2 });
    expect((await vault.open(place))?.value.reveal()).toBe('next');
  });

  it('has exactly one winner of fifty that replace it at once', async () => {
    const vault = await openTestVault(await openTestStore());
    await vault.seal(place, value, 0);
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => vault.seal(place, new Secret(`v${i}`), 1)));
    expect(answers.filter((answer) => answer.kind === 'sealed')).toHaveLength(1);
  });

  it('can be destroyed once', async () => {
    const vault = await openTestVault(await openTestStore());
    await vault.seal(place, value, 0);
    const answers = await Promise.all(Array.from({ length: 10 }, () => vault.destroy(place)));
    expect(answers.filter(Boolean)).toHaveLength(1);
    expect(await vault.open(place)).toBeUndefined();
  });

  it('may be empty, and may be long, but not endless, and is text', async () => {
    const vault = await openTestVault(await openTestStore());
    for (const text of ['', 'x'.repeat(100_000)]) {
      expect((await vault.disclose(label, await vault.enclose(label, new Secret(text)))).reveal()).toBe(text);
    }
    await expect(vault.enclose(label, new Secret('x'.repeat(2 ** 20 + 1)))).rejects.toMatchObject({ code: 'payload_too_large' });
    await expect(vault.enclose(label, new Secret('\ud800'))).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('has a place only under a proper name', async () => {
    const vault = await openTestVault(await openTestStore());
    for (const name of ['', 'A', 'a:b', '../a', `a${'x'.repeat(64)}`, 'é']) {
      await expect(vault.seal({ ...place, name }, value, 0)).rejects.toMatchObject({ code: 'invalid_request' });
      expect(() => vault.labelOf({ ...place, provider: name }, 1)).toThrow(expect.objectContaining({ code: 'invalid_request' }));
    }
  });

  it('is not in the bytes of the database, and neither is the master key', async () => {
    const store = await openTestStore();
    const keyring = testKeyring();
    const vault = await openTestVault(store, { keyring });
    await vault.seal(place, value, 0);
    await vault.enclose(label, value);
    const raw = value.reveal();
    const forms = [raw, Buffer.from(raw).toString('base64').slice(0, -4), Buffer.from(raw).toString('hex')];
    for (const file of readdirSync(store.home)) {
      const bytes = readFileSync(join(store.home, file));
      for (const form of forms) expect(bytes.includes(form)).toBe(false);
      expect(bytes.includes(keyring.current().key.export())).toBe(false);
    }
  });
});

describe('a sealed value that was moved or changed does not open', () => {
  it.each<[string, Partial<Place>]>([
    ['name', { name: 'home' }],
    ['provider', { provider: 'gitlab' }],
    ['kind', { kind: 'secret' }],
    ['vault', { vault: newId('vlt') }],
  ])('in another %s', async (_, change) => {
    const store = await openTestStore();
    const vault = await openTestVault(store);
    await vault.seal(place, value, 0);
    const other = { ...place, ...change };
    await store.sealed.put(`vault:${other.vault}:${other.provider}:${other.kind}:${other.name}`, await envelopeAt(store, place), 0);
    await expect(vault.open(other)).rejects.toEqual(unreadable);
  });

  it('for another organization', async () => {
    const vault = await openTestVault(await openTestStore());
    await vault.seal(place, value, 0);
    await expect(vault.open({ ...place, organization: newId('org') })).rejects.toEqual(unreadable);
  });

  it('under another key, version, owner or kind of owner', async () => {
    const vault = await openTestVault(await openTestStore());
    const envelope = await vault.enclose(label, value);
    const others: Label[] = [
      { ...label, key: 'authorities/key/2' },
      { ...label, version: 2 },
      { ...label, owner: { kind: 'organization', organization: newId('org') } },
      { ...label, owner: { kind: 'platform' } },
      { ...label, owner: { kind: 'vault', organization, vault: place.vault } },
    ];
    for (const other of others) await expect(vault.disclose(other, envelope)).rejects.toEqual(unreadable);
    expect((await vault.disclose(label, envelope)).reveal()).toBe(value.reveal());
  });

  it('with any single bit flipped, and cut anywhere', async () => {
    const vault = await openTestVault(await openTestStore());
    const envelope = await vault.enclose(label, new Secret('abc'));
    for (let at = 0; at < envelope.length; at++) {
      const flipped = Uint8Array.from(envelope);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      await expect(vault.disclose(label, flipped)).rejects.toEqual(unreadable);
      await expect(vault.disclose(label, envelope.subarray(0, at))).rejects.toEqual(unreadable);
    }
    await expect(vault.disclose(label, Buffer.concat([envelope, Buffer.of(0)]))).rejects.toEqual(unreadable);
  });

  it('from an older version, put back', async () => {
    const store = await openTestStore();
    const vault = await openTestVault(store);
    await vault.seal(place, value, 0);
    const old = await envelopeAt(store, place);
    await vault.seal(place, new Secret('new'), 1);
    await store.sealed.put(`vault:${place.vault}:github:connection:work`, old, 2);
    // It opens, but says which version it is: who keeps the version beside it sees the difference.
    expect((await vault.open(place))?.version).toBe(1);
  });
});

describe('a column that its room stores', () => {
  it('opens in the place that labelOf names', async () => {
    const store = await openTestStore();
    const vault = await openTestVault(store);
    const envelope = await vault.enclose(vault.labelOf(place, 1), value);
    await store.sealed.put(`vault:${place.vault}:github:connection:work`, envelope, 0);
    expect((await vault.open(place))?.value.reveal()).toBe(value.reveal());
  });
});

describe('a code under 128 bits', () => {
  it('has the same MAC in every process, another for another purpose, and one that is verified', async () => {
    const store = await openTestStore();
    const keyring = testKeyring();
    const vault = await openTestVault(store, { keyring });
    const again = await openTestVault(store, { keyring });
    const mac = vault.mac('claim', 'ABCD-EFGH');
    expect(again.mac('claim', 'ABCD-EFGH')).toBe(mac);
    expect(vault.mac('sign_in', 'ABCD-EFGH')).not.toBe(mac);
    expect(vault.verifyMac('claim', 'ABCD-EFGH', mac)).toBe(true);
    expect(vault.verifyMac('claim', 'ABCD-EFGI', mac)).toBe(false);
    expect(vault.verifyMac('claim', 'ABCD-EFGH', '')).toBe(false);
  });
});

describe('the table of sealed columns', () => {
  it('names every column of the schema that holds an envelope', async () => {
    const schema = readFileSync(new URL('../store/schema.ts', import.meta.url), 'utf8');
    const found = [...schema.matchAll(/^ {2}(\w+_envelope): /gm)].map(([, column]) => column).sort();
    expect(sealedColumnNames.map((name) => name.split('.')[1]).sort()).toEqual(found);
  });
});
