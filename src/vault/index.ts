/**
 * Sealed secrets: envelopes, data keys, the master keyring, rotation.
 *
 * Owns: the form of an envelope, the tables of data keys and master-key marks, the places of the master keys.
 * Leans on: store (Records, SealedStore).
 * Lives elsewhere: what a secret is for, when it expires, who may use it, which events tell of it.
 */
export {
  type Label,
  type MasterKeyFact,
  type Opened,
  type Owner,
  type Place,
  type RotationProgress,
  type SealedCell,
  type SealedColumn,
  type SealedColumnName,
  type Sealing,
  sealedColumnNames,
  type Vault,
} from './contract.ts';
export { type Keyring, type KeyringSettings, keyringOf, loadKeyring } from './keyring.ts';
export { generateMasterKey, type MasterKey, parseMasterKey } from './master-key.ts';
export { createVault, type VaultDeps } from './vault.ts';
