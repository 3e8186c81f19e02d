/**
 * sealed secrets: envelopes, data keys, the master keyring, rotation.
 *
 * Owns: that.
 * Leans on: store (SealedStore), jobs.
 * Lives elsewhere: what a secret is for, when it expires, who may use it.
 */
export type { Label, MasterKeyFact, Opened, Owner, Place, RotationProgress, Sealing, Vault } from './contract.ts';
