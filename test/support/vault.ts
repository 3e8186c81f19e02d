import { type Clock, Secret, silentLog } from '#kernel';
import { createVault, generateMasterKey, type Keyring, keyringOf, parseMasterKey, type Vault, type VaultDeps } from '#vault';
import type { TestStore } from './store.ts';

/** A keyring of one new key. */
export function testKeyring(): Keyring {
  return keyringOf([parseMasterKey(new Secret(generateMasterKey()), true)]);
}

/** The real vault on a test store, under a new master key. */
export function openTestVault(store: TestStore<Clock>, deps: Partial<VaultDeps> = {}): Promise<Vault> {
  const { records, sealed, changes, clock } = store;
  return createVault({ records, sealed, changes, clock, log: silentLog, keyring: testKeyring(), settle: 0, ...deps });
}
